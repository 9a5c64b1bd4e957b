"""Every test runs on a state folder of its own, kept for the session so that kernels and trunks are made once. Zig's libc, a
minute to build, is kept between test runs of a machine."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from needs import need_program

from benchmarks.phone_double import PhoneDouble, plugged_in, serving_adb
from compiler.emulation import EMULATOR, PACKAGE

_HOME = tempfile.mkdtemp(prefix="pocketformer-tests-")
os.environ["POCKETFORMER_HOME"] = _HOME
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("POCKETFORMER_TILES", "2")  # one choice by measurement shows what six do
os.environ["POCKETFORMER_ADB"] = "no-adb-in-tests"  # phones of a developer are left alone; `adb_server` brings tests their own
for name in ("STORE_URL", "REDIS_URL", "ARTIFACTS_URL", "POCKETFORMER_EMULATED"):
    os.environ.pop(name, None)


@pytest.fixture(scope="session", autouse=True)
def session_home() -> str:
    """The session's `POCKETFORMER_HOME`."""
    kept = Path.home() / ".cache" / "pocketformer-tests" / "zig"
    kept.mkdir(parents=True, exist_ok=True)
    (Path(_HOME) / "cache").mkdir()
    (Path(_HOME) / "cache" / "zig").symlink_to(kept)
    return _HOME


def pytest_unconfigure() -> None:
    shutil.rmtree(_HOME, ignore_errors=True)


@pytest.fixture
def fresh_home(tmp_path, monkeypatch) -> str:
    """An empty `POCKETFORMER_HOME` for this test alone."""
    monkeypatch.setenv("POCKETFORMER_HOME", str(tmp_path / "home"))
    return str(tmp_path / "home")


@pytest.fixture(scope="module")
def adb_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """An adb server of the tests' own. It knows no phone."""
    with serving_adb(need_program("adb", "adb"), tmp_path_factory.mktemp("adb")):
        yield


@pytest.fixture
def phone(adb_server: None, tmp_path: Path) -> Iterator[PhoneDouble]:
    """A connected phone with this machine's cores, known as the device `phone-double`."""
    need_program(EMULATOR, PACKAGE)
    with plugged_in(tmp_path / "phone", Path(os.environ["POCKETFORMER_HOME"]) / "devices") as double:
        yield double
