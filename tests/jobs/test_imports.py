"""What the page and the command import must be there at once: no torch, no database, no broker's client."""

import subprocess
import sys

import pytest

HEAVY = ("torch", "tvm", "transformers", "datasets", "duckdb", "celery", "numpy")


@pytest.mark.parametrize(
    "module",
    ["engine.settings", "engine.space", "engine.strategies", "engine.search", "jobs.driver", "jobs.local", "jobs.supervisor"],
)
def test_light(module: str):
    code = f"import sys, {module}; print([name for name in {HEAVY} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
