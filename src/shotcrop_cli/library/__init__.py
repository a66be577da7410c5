"""The photos, the output folder and what is in it: what to crop, what is done already, and how to write it safely."""
