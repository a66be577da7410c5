"""Export of the compact model."""
