"""Text in and scores out of a bundle on emulated processors: `python -m benchmarks.texts`."""
