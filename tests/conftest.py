"""Every test runs on a state folder of its own, kept for the session so that kernels and trunks are made once. Zig's libc, a
minute to build, is kept between test runs of a machine."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

_HOME = tempfile.mkdtemp(prefix="pocketformer-tests-")
os.environ["POCKETFORMER_HOME"] = _HOME
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
for name in ("STORE_URL", "REDIS_URL", "ARTIFACTS_URL"):
    os.environ.pop(name, None)


@pytest.fixture(scope="session", autouse=True)
def session_home() -> Iterator[str]:
    """The session's `POCKETFORMER_HOME`; removed at the end."""
    kept = Path.home() / ".cache" / "pocketformer-tests" / "zig"
    kept.mkdir(parents=True, exist_ok=True)
    (Path(_HOME) / "cache").mkdir()
    (Path(_HOME) / "cache" / "zig").symlink_to(kept)
    yield _HOME
    shutil.rmtree(_HOME, ignore_errors=True)


@pytest.fixture
def fresh_home(tmp_path, monkeypatch) -> str:
    """An empty `POCKETFORMER_HOME` for this test alone."""
    monkeypatch.setenv("POCKETFORMER_HOME", str(tmp_path / "home"))
    return str(tmp_path / "home")
