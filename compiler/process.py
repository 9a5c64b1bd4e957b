"""Starting this project's own modules in processes of their own."""

import os
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent


def module_command(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", module, *arguments]


def module_environment() -> dict[str, str]:
    """This process's environment, in which the project's packages are found from any working directory."""
    path = os.pathsep.join(filter(None, (str(PROJECT), os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path}
