"""Score a model: datasets, metrics with intervals, composition rules, galleries."""
