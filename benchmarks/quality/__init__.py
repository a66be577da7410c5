"""Measure how good the crops of a model are, next to baselines."""
