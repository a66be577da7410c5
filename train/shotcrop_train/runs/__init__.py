"""What a training run records: settings, log, curves, validation, final model."""
