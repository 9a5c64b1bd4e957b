"""Strategies against each other on a table of one whole space: `python -m benchmarks.search table|run`."""
