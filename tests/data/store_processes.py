"""A store's server, and other Python processes, as real processes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class Server:
    """`python -m data.store_server`, started, killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process: subprocess.Popen[str] | None = None

    def start(self, keep_file: bool = False) -> None:
        """Start it and wait until it says where it listens; `keep_file` leaves a dead server's file where it is meanwhile."""
        before = (self.folder / "store.json").read_text() if keep_file else ""
        if not keep_file:
            (self.folder / "store.json").unlink(missing_ok=True)
        self.process = run_python("-m", "data.store_server", POCKETFORMER_HOME=str(self.folder))
        deadline = time.monotonic() + 30
        while not (self.folder / "store.json").exists() or (self.folder / "store.json").read_text() == before:
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < deadline, "the server did not come up"
            time.sleep(0.02)

    def kill(self) -> None:
        """SIGKILL, as a crash or the system's out-of-memory killer would."""
        assert self.process
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate()

    def stop(self) -> int:
        assert self.process
        self.process.terminate()
        self.process.communicate(timeout=20)
        return self.process.returncode


def run_python(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    """A Python process of its own in this project."""
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    return subprocess.Popen([sys.executable, *arguments], cwd=ROOT, env={**os.environ, **environment}, text=True, **pipes)
