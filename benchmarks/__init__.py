"""Measure speed, quality and reliability. Run a script with, for example, `python -m benchmarks.speed.start_up`."""
