"""What a run of a large model will need, from its recipe and configuration alone."""
