"""Compiles an architecture by the `compile` command, in a process of its own: pages stay quick, and it goes on when a browser leaves.

Each has a folder, named by what is compiled; what lies there says how far it is, so that any page, and the page's next start, knows.
"""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from data.home import subfolder

_children: dict[int, subprocess.Popen[bytes]] = {}  # asked for their end, or they stay as zombies


@dataclass(frozen=True)
class Wanted:
    """What to compile. Weights are random: what they are does not change a latency; a search trains them."""

    architecture: str
    device: str
    precision: str

    @property
    def folder(self) -> Path:
        key = hashlib.sha256("\n".join((self.architecture, self.device, self.precision)).encode()).hexdigest()[:16]
        return subfolder("compiles", key)

    @property
    def bundle(self) -> Path:
        return self.folder / f"pocketformer-{self.architecture[:80]}-{self.device}-{self.precision}.zip"


@dataclass(frozen=True)
class State:
    """How far it is; `line` is the newest of its progress, or what went wrong; `result` what the command reports."""

    name: Literal["none", "running", "done", "failed"]
    line: str = ""
    result: dict | None = None


def begin(wanted: Wanted) -> None:
    """Start compiling, unless it is under way. An earlier result is replaced."""
    if state(wanted).name == "running":
        return
    folder = wanted.folder
    shutil.rmtree(folder, ignore_errors=True)
    folder = wanted.folder
    command = [sys.executable, "-m", "app.cli", "compile", wanted.architecture, "--device", wanted.device]
    command += ["--precision", wanted.precision, "-o", str(wanted.bundle), "--json"]
    with (folder / "log").open("wb") as log, (folder / "result.json").open("wb") as result:
        process = subprocess.Popen(command, stdout=result, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
    _children[process.pid] = process
    (folder / "pid").write_text(str(process.pid))


def cancel(wanted: Wanted) -> None:
    """End it and what it has started; nothing is kept."""
    if state(wanted).name == "running":
        os.killpg(int((wanted.folder / "pid").read_text()), signal.SIGTERM)
        shutil.rmtree(wanted.folder, ignore_errors=True)


def state(wanted: Wanted) -> State:
    folder = wanted.folder
    try:
        pid = int((folder / "pid").read_text())
    except (OSError, ValueError):
        return State("none")
    line = _last_line(folder / "log")
    if _alive(pid):
        return State("running", line)
    try:
        return (
            State("done", line, json.loads((folder / "result.json").read_text()))
            if wanted.bundle.is_file()
            else State("failed", line)
        )
    except (OSError, ValueError):
        return State("failed", line)


def _last_line(log: Path) -> str:
    text = log.read_text(errors="replace") if log.is_file() else ""
    lines = [line.strip() for line in text.replace("\r", "\n").splitlines() if line.strip()]
    return lines[-1] if lines else ""


def _alive(pid: int) -> bool:
    child = _children.get(pid)
    if child is not None:
        if child.poll() is None:
            return True
        del _children[pid]
        return False
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().find(b"app.cli") >= 0
    except OSError:
        return False
