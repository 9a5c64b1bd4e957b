"""Every test runs on a state folder of its own, kept for the session so that kernels and trunks are made once. Zig's libc, a
minute to build, is kept between test runs of a machine."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import free_port
from needs import need_program
from phone_double import PhoneDouble

from compiler.emulation import EMULATOR, PACKAGE

DEVICE = """title = "A double of a phone"
system = "android"
soc = "QEMU"
year = 2026
memory_gb_s = 10.0
l3_kb = 0
sources = ["https://www.qemu.org"]

[[clusters]]
cpu = "cortex-a76"
cores = {cores}
mhz = 2000
l2_kb = 256
"""

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
    """An adb server of the tests' own, on a port and with keys of its own. It knows no phone."""
    program = need_program("adb", "adb")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POCKETFORMER_ADB", program)
        port = free_port()
        patch.setenv("ANDROID_ADB_SERVER_PORT", str(port))
        patch.setenv("ADB_LOCAL_TRANSPORT_MAX_PORT", "0")  # no look for emulators on this machine
        home = {**os.environ, "HOME": str(tmp_path_factory.mktemp("adb"))}
        server = subprocess.Popen(
            [program, "nodaemon", "server"], env=home, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert server.poll() is None
            time.sleep(0.02)
        yield
        server.kill()
        server.wait()


@pytest.fixture
def phone(adb_server: None, tmp_path: Path) -> Iterator[PhoneDouble]:
    """A connected phone with this machine's cores, known as the device `phone-double`."""
    need_program(EMULATOR, PACKAGE)
    cores = sorted(os.sched_getaffinity(0))
    path = Path(os.environ["POCKETFORMER_HOME"]) / "devices" / "phone-double.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(DEVICE.format(cores=len(cores)))
    double = PhoneDouble(tmp_path / "phone", free_port(), dict.fromkeys(cores, (0xD0B, 2000)))
    double.plug_in()
    yield double
    double.unplug()
    path.unlink()
