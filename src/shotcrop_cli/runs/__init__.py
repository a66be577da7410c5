"""Whole runs over a photo library: crop, apply sidecars, write captions."""
