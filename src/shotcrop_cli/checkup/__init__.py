"""The checks of `shotcrop doctor`: each finds out what works on this machine, and names a fix for what does not."""
