"""Measurements: speed, quality and reliability. Run one with `python -m benchmarks.benchmarks.speed.start_up`."""
