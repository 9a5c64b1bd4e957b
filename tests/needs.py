"""Tools that a machine may lack: a test that needs one is skipped there, and fails where POCKETFORMER_REQUIRE_ALL=1 asks for every test."""

import os
import shutil
from pathlib import Path

import pytest


def need_program(name: str, package: str) -> str:
    """Its path."""
    found = shutil.which(name)
    if not found:
        _absent(f"{name} is not installed (Debian: {package})")
    return str(found)


def need_folder(path: str, package: str) -> Path:
    if not Path(path).is_dir():
        _absent(f"{path} does not exist (Debian: {package})")
    return Path(path)


def _absent(reason: str) -> None:
    if os.environ.get("POCKETFORMER_REQUIRE_ALL") == "1":
        pytest.fail(f"{reason}, and POCKETFORMER_REQUIRE_ALL=1")
    pytest.skip(reason)
