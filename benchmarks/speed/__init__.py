"""Measure how fast shotcrop is, next to the limit without a model and to other tools."""
