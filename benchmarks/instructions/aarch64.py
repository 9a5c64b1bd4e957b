"""An AArch64 Python with the AArch64 wheels of other runtimes, in a folder that `qemu-aarch64 -L` takes: Debian's packages and the package
index's wheels, unpacked once; nothing is installed on this machine."""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from data.errors import UsageError
from data.home import subfolder

PROGRAM = "usr/bin/python3.11"
DEBS = ("python3.11-minimal", "libpython3.11-minimal", "libpython3.11-stdlib", "libc6", "libstdc++6", "libgcc-s1", "zlib1g",
        "libexpat1", "libffi8", "libssl3", "liblzma5", "libbz2-1.0", "libuuid1", "libsqlite3-0")  # fmt: skip
PLATFORMS = ("manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux2014_aarch64", "any")
RUNTIMES = ("litert", "onnxruntime", "onnxruntime-int8")
SAME = (
    "numpy",
    "onnxruntime",
    "ai-edge-litert",
    "flatbuffers",
    "protobuf",
    "packaging",
    "typing_extensions",
)  # versions as here
SITE = "usr/lib/python3/dist-packages"
# Arm's Cortex-A76 Technical Reference Manual (100798); flags as Linux names them
CPUINFO = """processor\t: {number}
BogoMIPS\t: 38.40
Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x4
CPU part\t: 0xd0b
CPU revision\t: 1

"""
CACHES = ((1, "Data", "64K"), (1, "Instruction", "64K"), (2, "Unified", "256K"), (3, "Unified", "2048K"))


def python(log: Callable[[str], None]) -> Path:
    """The folder, made at its first use: 60 MB to download.

    Raises:
        UsageError: no Debian with apt, or something cannot be downloaded.
    """
    root = subfolder("cache") / "aarch64-python"
    if root.is_dir():
        return root
    log("downloading an AArch64 Python and runtimes")
    with tempfile.TemporaryDirectory(dir=subfolder("scratch")) as scratch:
        made = Path(scratch) / "root"
        _unpack_debs(Path(scratch) / "debs", made)
        _unpack_wheels(Path(scratch) / "wheels", made / SITE)
        _describe_processor(made)
        made.replace(root)
    return root


def _unpack_debs(folder: Path, root: Path) -> None:
    """apt with folders of its own: it neither reads nor changes what is installed here."""
    for name in ("state/lists/partial", "cache/archives/partial", "files"):
        (folder / name).mkdir(parents=True)
    settings = {
        "APT::Architecture": "arm64",
        "APT::Architectures": "arm64",
        "APT::Sandbox::User": "root",
        "Dir::State": folder / "state",
        "Dir::State::status": "/dev/null",
        "Dir::Cache": folder / "cache",
    }
    options = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
    _run(["apt-get", *options, "-qq", "update"], folder)
    _run(["apt-get", *options, "-qq", "download", *DEBS], folder / "files")
    for deb in (folder / "files").glob("*.deb"):
        _run(["dpkg-deb", "--extract", deb, root], folder)


def _unpack_wheels(folder: Path, site: Path) -> None:
    packages = [f"{name}=={version(name)}" for name in SAME] + ["backports.strenum"]
    platforms = [word for platform in PLATFORMS for word in ("--platform", platform)]
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        "--only-binary",
        ":all:",
    ]
    folder.mkdir()
    _run([*command, *platforms, "--python-version", "3.11", "--target", site, *packages], folder)


def _describe_processor(root: Path) -> None:
    """/proc and /sys as a phone's Cortex-A76 has them: runtimes that find this machine's there fail, or take other kernels."""
    (root / "proc").mkdir(exist_ok=True)
    (root / "proc/cpuinfo").write_text("".join(CPUINFO.format(number=number) for number in range(2)))
    for cpu in range(2):
        for index, (level, kind, size) in enumerate(CACHES):
            folder = root / f"sys/devices/system/cpu/cpu{cpu}/cache/index{index}"
            folder.mkdir(parents=True)
            shared = level == 3
            facts = {
                "level": level,
                "type": kind,
                "size": size,
                "coherency_line_size": 64,
                "physical_line_partition": 1,
                "ways_of_associativity": 4 if level == 1 else 8,
                "number_of_sets": 256 if level == 1 else 512,
                "shared_cpu_list": "0-1" if shared else cpu,
                "shared_cpu_map": "3" if shared else 1 << cpu,
            }
            for name, value in facts.items():
                (folder / name).write_text(f"{value}\n")


def _run(command: list[object], folder: Path) -> None:
    if shutil.which(str(command[0])) is None:
        raise UsageError(f"other runtimes are counted on Debian and its like: {command[0]} is missing; leave out --against")
    done = subprocess.run(list(map(str, command)), cwd=folder, capture_output=True, text=True)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no message"]
        raise UsageError(f"the AArch64 Python cannot be made: {lines[-1][:300]}")
