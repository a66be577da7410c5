"""Training data: datasets, samples, augmentation, answer contracts, importers and checks."""
