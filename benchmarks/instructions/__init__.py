"""Counts on an emulated processor: `python -m benchmarks.instructions`."""
