"""Captions by rule from what the model saw."""
