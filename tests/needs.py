"""Tools that a machine may lack: a test that needs one is skipped there, and fails where POCKETFORMER_REQUIRE_ALL=1 asks for every test."""

import os
import shutil
from pathlib import Path

import pytest


def need_program(name: str, package: str) -> str:
    """Its path."""
    found = shutil.which(name)
    if not found:
        absent(f"{name} is not installed (Debian: {package})")
    return str(found)


def need_folder(path: str, package: str) -> Path:
    if not Path(path).is_dir():
        absent(f"{path} does not exist (Debian: {package})")
    return Path(path)


def absent(reason: str) -> None:
    """Skip the test, or fail it where every test is asked for."""
    if os.environ.get("POCKETFORMER_REQUIRE_ALL") == "1":
        pytest.fail(f"{reason}, and POCKETFORMER_REQUIRE_ALL=1")
    pytest.skip(reason)
