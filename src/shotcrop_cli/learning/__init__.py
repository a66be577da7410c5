"""Learn a personal style from the boxes that people set: what `shotcrop learn` does."""
