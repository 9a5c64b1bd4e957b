"""Slower proofs than `make test`, each a command: `python -m benchmarks.NAME`."""
