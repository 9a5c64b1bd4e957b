"""Work that takes longer than a page may: a `pocketformer` command in a process of its own, watched by every browser that asks for it.

A piece of work has a key, and is begun once however many ask. It belongs to the page's server: a browser that goes away and comes
back finds it; it ends with the server. What it makes is kept by the command itself, in files or in the store.
"""

import json
import os
import re
import signal
import subprocess
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from compiler.process import module_command, module_environment
from data.errors import PocketformerError

COMMAND = "app.cli"
MOST_RUNNING = 2  # beside the workers of a search, which want the cores too
MOST_KEPT = 64  # pieces of work that are over
LINES = 200  # of its progress
GRACE_S = 5.0  # from being asked to end to being made to
_STAMP = re.compile(r"^\s*\d+:\d\d\s+")  # what `app.terminal.Progress` writes before a line
_SHARE = re.compile(r"\b(\d+) of (\d+)\b")


class Work:
    """One command, running or over.

    Args:
        arguments: words of the command line.
        module: what to run instead of the command; it takes the words, and prints as the command does.

    Attributes:
        result: the JSON object that it printed; None until then, and where it failed.
        error: the one line that it failed with; empty while it runs, and where it did not.
    """

    def __init__(self, arguments: Sequence[str], module: str = COMMAND) -> None:
        self.name = arguments[0] if module == COMMAND else module.rpartition(".")[2]
        self.result: Any = None
        self.error = ""
        self.cancelled = False
        self.started_at = time.monotonic()
        self.ended_at: float | None = None
        self._lines: deque[str] = deque(maxlen=LINES)
        self._ended = threading.Event()
        try:
            self._process = subprocess.Popen(
                module_command(module, *arguments, *(["--json"] if module == COMMAND else [])),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                env={**module_environment(), "PYTHONUNBUFFERED": "1"},
            )
        except OSError as error:
            raise PocketformerError(f"cannot start {self.name}: {error.strerror}") from error
        threading.Thread(target=self._watch, daemon=True).start()

    @property
    def over(self) -> bool:
        return self._ended.is_set()

    @property
    def lines(self) -> tuple[str, ...]:
        """Its progress, oldest first."""
        return tuple(self._lines)

    @property
    def fraction(self) -> float | None:
        """How much is done, in [0, 1], where the newest line says `3 of 8`: what comes before that one is."""
        found = _SHARE.search(self._lines[-1]) if self._lines else None
        return min((int(found[1]) - 1) / max(int(found[2]), 1), 1.0) if found else None

    @property
    def seconds(self) -> float:
        return (self.ended_at or time.monotonic()) - self.started_at

    def wait(self, seconds: float) -> bool:
        """Whether it is over, after at most so long."""
        return self._ended.wait(seconds)

    def cancel(self) -> None:
        """End it, as Ctrl-C would; nothing when it is over."""
        if self.over:
            return
        self.cancelled = True
        self._signal(signal.SIGINT)
        threading.Thread(target=self._kill_late, daemon=True).start()

    def _kill_late(self) -> None:
        if not self._ended.wait(GRACE_S):
            self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(self._process.pid, number)

    def _watch(self) -> None:
        printed: list[str] = []
        reader = threading.Thread(target=lambda: printed.append(self._process.stdout.read()), daemon=True)  # type: ignore[union-attr]
        reader.start()
        assert self._process.stderr is not None
        for line in self._process.stderr:
            if line.strip():
                self._lines.append(_STAMP.sub("", line).strip())
        status = self._process.wait()
        reader.join()
        self._end(status, "".join(printed))

    def _end(self, status: int, printed: str) -> None:
        if status == 0:
            try:
                self.result = json.loads(printed)
            except ValueError:
                self.error = "it printed no result; try again"
        elif self.cancelled:
            self.error = "it was cancelled"
        elif status < 0:
            self.error = f"it was ended by {signal.Signals(-status).name}; try again"
        else:
            self.error = (self.lines or ("it failed without a word",))[-1].removeprefix("pocketformer: ")
        self.ended_at = time.monotonic()
        self._ended.set()


_lock = threading.Lock()
_works: "OrderedDict[str, Work]" = OrderedDict()


def begin(key: str, arguments: Sequence[str], module: str = COMMAND) -> Work:
    """The work of that key: what runs already, else a new process (`Work`).

    Raises:
        PocketformerError: so many run that another would only make all of them slow.
    """
    with _lock:
        there = _works.get(key)
        if there is not None and not there.over:
            return there
        if sum(not work.over for work in _works.values()) >= MOST_RUNNING:
            raise PocketformerError(f"{MOST_RUNNING} pieces of work run already on this machine; wait for one, or cancel it")
        work = _works[key] = Work(arguments, module)
        _works.move_to_end(key)
        for old in [name for name, each in _works.items() if each.over][: max(0, len(_works) - MOST_KEPT)]:
            del _works[old]
        return work


def find(key: str) -> Work | None:
    """The work of that key, if this server has begun it."""
    with _lock:
        return _works.get(key)


def forget(key: str) -> None:
    """Drop work that is over, so that its error is not shown for ever."""
    with _lock:
        work = _works.get(key)
        if work is not None and work.over:
            del _works[key]
