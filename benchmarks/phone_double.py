"""A phone for tests and benchmarks to plug in and out: `phone_daemon` in a process of its own, and the folder that it takes for the phone's."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from benchmarks.browsing import free_port
from data.errors import PocketformerError

NAME = "phone-double"
STAGES = ("push", "start", "run", "answer")  # at which it may die
DAEMON = Path(__file__).with_name("phone_daemon.py")
PROPERTIES = {
    "ro.product.manufacturer": "Pocketformer",
    "ro.product.model": "Double",
    "ro.soc.model": "QEMU",
    "ro.build.version.release": "12",
    "ro.product.cpu.abilist": "arm64-v8a",
    "ro.boot.qemu": "1",
}
CORE = "processor : {number}\nFeatures : fp asimd asimdhp asimddp\nCPU implementer : 0x41\nCPU part : {part:#x}\n\n"

DESCRIPTION = """title = "A double of a phone"
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


class PhoneDouble:
    """A phone that says it is an emulator, as Android's own does.

    Args:
        cores: number to (part of Arm's, highest clock in MHz).
    """

    def __init__(self, folder: Path, port: int, cores: Mapping[int, tuple[int, int]]) -> None:
        self.folder, self.port, self.serial = folder, port, f"127.0.0.1:{port}"
        self._process: subprocess.Popen[bytes] | None = None
        files = {"properties": "".join(f"{name}={value}\n" for name, value in PROPERTIES.items())}
        files["proc/cpuinfo"] = "".join(CORE.format(number=number, part=part) for number, (part, _) in cores.items())
        files["dumpsys/battery"] = "  temperature: 305\n"
        files["bin/getprop"] = f'#!/bin/sh\nsed -n "s/^$1=//p" {folder}/properties\n'
        files["bin/dumpsys"] = f"#!/bin/sh\ncat {folder}/dumpsys/$1\n"
        for name, text in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        for name in ("getprop", "dumpsys"):
            (folder / "bin" / name).chmod(0o755)
        for number, (_, mhz) in cores.items():
            self.set_clock(number, mhz, mhz)
        (folder / "data/local/tmp").mkdir(parents=True)

    def set_service(self, name: str, text: str) -> None:
        """What `dumpsys NAME` prints from now on."""
        (self.folder / "dumpsys" / name).write_text(text)

    def set_clock(self, core: int, highest_mhz: int, allowed_mhz: int) -> None:
        clocks = self.folder / f"sys/devices/system/cpu/cpu{core}/cpufreq"
        clocks.mkdir(parents=True, exist_ok=True)
        (clocks / "cpuinfo_max_freq").write_text(f"{highest_mhz * 1000}\n")
        (clocks / "scaling_max_freq").write_text(f"{allowed_mhz * 1000}\n")

    @property
    def cache(self) -> Path:
        return self.folder / "data/local/tmp/pocketformer-cache"

    @property
    def log(self) -> list[str]:
        """What it was asked for, one line each: `push FILE BYTES`, `run COMMAND`."""
        path = self.folder / "log"
        return path.read_text().splitlines() if path.exists() else []

    def plug_in(self, dies_at: str = "") -> None:
        command = [sys.executable, str(DAEMON), str(self.folder), str(self.port), dies_at]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        assert self._process.stdout.readline()  # it listens
        for word in ("disconnect", "connect"):
            subprocess.run(["adb", word, self.serial], capture_output=True, timeout=30)

    def unplugged(self, timeout_s: float = 60) -> None:
        """Wait until it has died."""
        assert self._process is not None
        self._process.wait(timeout_s)

    def unplug(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
            subprocess.run(["adb", "disconnect", self.serial], capture_output=True, timeout=30)


@contextmanager
def coming_back(phone: PhoneDouble, *dies_at: str) -> Iterator[None]:
    """Plugs the phone in again as soon as it has died, as often as it is said when it dies next."""

    def plug_in() -> None:
        for stage in dies_at:
            phone.unplugged()
            phone.plug_in(stage)

    thread = threading.Thread(target=plug_in)
    thread.start()
    try:
        yield
    finally:
        thread.join()


@contextmanager
def serving_adb(program: str, folder: Path) -> Iterator[None]:
    """An adb server on a port and with keys of its own, which `compiler.phone` takes within the block.

    Raises:
        PocketformerError: it ends at once.
    """
    port = free_port()
    ours = {
        "POCKETFORMER_ADB": program,
        "ANDROID_ADB_SERVER_PORT": str(port),
        "ADB_LOCAL_TRANSPORT_MAX_PORT": "0",  # no look for emulators on this machine
    }
    before = {name: os.environ.get(name) for name in ours}
    os.environ.update(ours)
    server = subprocess.Popen(
        [program, "nodaemon", "server"],
        env={**os.environ, "HOME": str(folder)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while not _answers(port):
            if server.poll() is not None:
                raise PocketformerError(f"{program} nodaemon server ended with status {server.returncode}")
            time.sleep(0.02)
        yield
    finally:
        server.kill()
        server.wait()
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def plugged_in(folder: Path, devices: Path) -> Iterator[PhoneDouble]:
    """A connected phone with this machine's cores, known as the device `NAME` by a file in `devices` as long as the block lasts."""
    cores = sorted(os.sched_getaffinity(0))
    path = devices / f"{NAME}.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(DESCRIPTION.format(cores=len(cores)))
    double = PhoneDouble(folder, free_port(), dict.fromkeys(cores, (0xD0B, 2000)))
    double.plug_in()
    try:
        yield double
    finally:
        double.unplug()
        path.unlink()
