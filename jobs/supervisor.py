"""`pocketformer serve`: everything that the Procfile lists, in the foreground, each started again when it dies.

Any child may be killed at any time; the store brings the others on. Each has a process group of its own, so what it started
ends with it, and the kernel ends the children when this process is killed.
"""

import ctypes
import fcntl
import os
import shlex
import signal
import socket
import string
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from data.errors import PocketformerError
from data.home import home

ROOT = Path(__file__).resolve().parents[1]
PROCFILE = ROOT / "Procfile"
ELSEWHERE = {"store": "STORE_URL", "broker": "REDIS_URL"}  # not started here when these name another machine's
LAST = ("broker", "store")  # to stop, as the others still report to them
POLL_S = 0.2
LONGEST_PAUSE_S = 30.0  # between restarts of a child that keeps dying
HEALTHY_S = 60.0  # a child that lived so long starts with a short pause again
GRACE_S = 20.0
PR_SET_PDEATHSIG = 1


@dataclass
class Child:
    """One line of the Procfile."""

    name: str
    command: list[str]
    process: subprocess.Popen[str] | None = None
    started_at: float = 0.0
    pause_s: float = 1.0
    due_at: float = field(default_factory=time.monotonic)

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None


def serve(host: str = "127.0.0.1", port: int = 8501, procfile: Path = PROCFILE) -> int:
    """Runs all processes until SIGTERM or SIGINT; the exit status.

    Raises:
        PocketformerError: the port is in use, or this POCKETFORMER_HOME is being served already.
    """
    check_port(host, port)
    lock = _take_lock()
    environment = {"STORE_URL": "local", **os.environ, "HOST": host, "PORT": str(port), "PYTHONUNBUFFERED": "1"}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment.get('PATH', '')}"
    children = read_procfile(procfile, environment)
    stop = threading.Event()
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGTERM, signal.SIGINT)}
    threading.Thread(target=_announce, args=(host, port, stop), daemon=True).start()
    try:
        while not stop.wait(POLL_S):
            for child in children:
                _tend(child, environment)
    finally:
        _say("stopping")
        _stop([child for child in children if child.name not in LAST])
        _stop([child for child in children if child.name in LAST])
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(lock)
    return 0


def read_procfile(path: Path, environment: Mapping[str, str]) -> list[Child]:
    """The children that `path` lists as `name: command`, `$NAME` replaced from the environment.

    Raises:
        PocketformerError: no such file.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise PocketformerError(f"cannot read {path}: {error.strerror}; run from a whole copy of Pocketformer") from None
    children = []
    for line in lines:
        name, colon, command = line.partition(":")
        if not colon or line.startswith("#"):
            continue
        if environment.get(ELSEWHERE.get(name, ""), "local") == "local":
            children.append(Child(name.strip(), shlex.split(string.Template(command).safe_substitute(environment))))
    return children


def check_port(host: str, port: int) -> None:
    """Raises PocketformerError when the page's port cannot be had."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise PocketformerError(
                f"cannot serve on {host}:{port} ({reason}); give another port: pocketformer serve --port N"
            ) from None


def _take_lock() -> int:
    """A lock for as long as this process lives, so that one home is served once."""
    lock = os.open(home() / "serve.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise PocketformerError(
            f"pocketformer serve is running already for {home()}; stop it, or set another POCKETFORMER_HOME"
        ) from None
    return lock


def _tend(child: Child, environment: Mapping[str, str]) -> None:
    """Starts a child that is due; notices one that has died."""
    now = time.monotonic()
    if child.process is None:
        if now >= child.due_at:
            _start(child, environment)
    elif (status := child.process.poll()) is not None:
        _kill_group(child.process.pid)  # what it had started: a compiler, a measurement
        child.process = None
        child.pause_s = 1.0 if now - child.started_at > HEALTHY_S else min(2 * child.pause_s, LONGEST_PAUSE_S)
        child.due_at = now + child.pause_s
        cause = f"signal {signal.Signals(-status).name}" if status < 0 else f"status {status}"
        _say(f"{child.name} ended with {cause}; starting it again in {child.pause_s:.0f} s")


def _start(child: Child, environment: Mapping[str, str]) -> None:
    child.started_at = time.monotonic()
    child.process = subprocess.Popen(
        child.command,
        cwd=ROOT,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
        preexec_fn=_die_with_parent,
    )
    threading.Thread(target=_relay, args=(child.name, child.process), daemon=True).start()


def _die_with_parent() -> None:
    """In the child, before its program: SIGTERM when the supervisor is gone, even by SIGKILL (Linux only)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _relay(name: str, process: subprocess.Popen[str]) -> None:
    """Copies a child's output, each line with its name."""
    if process.stdout is not None:
        for line in filter(str.strip, process.stdout):
            print(f"{name:>8} | {line.rstrip()}", file=sys.stderr, flush=True)


def _stop(children: list[Child]) -> None:
    """SIGTERM to each, and SIGKILL to what is left of their groups after a while."""
    running = [child.process for child in children if child.process is not None and child.alive]
    for process in running:
        process.terminate()
    deadline = time.monotonic() + GRACE_S
    for process in running:
        with suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, deadline - time.monotonic()))
        _kill_group(process.pid)
        process.wait()


def _kill_group(group: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def _announce(host: str, port: int, stop: threading.Event) -> None:
    """Says where the page is, once it answers."""
    shown = "127.0.0.1" if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host
    address = f"http://{shown}:{port}"
    while not stop.wait(0.5):
        with suppress(OSError), urllib.request.urlopen(address, timeout=5):
            _say(f"open {address}")
            return


def _say(message: str) -> None:
    print(f"pocketformer: {message}", file=sys.stderr, flush=True)
