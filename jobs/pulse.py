"""The life signs of one command under way: heartbeats to the store, word of being stopped, and progress for the user's log."""

import logging
import threading
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from data.errors import StoreError
from data.store import Command, Store

HEARTBEAT_S = 3.0
PROGRESS_S = 5.0  # at most one line of progress in this time

log = logging.getLogger(__name__)


class Pulse:
    """Beats from a thread of its own while work is done; `lost` turns true when the command is stopped or somebody else's.

    A store that is restarted makes the pulse wait, not end: the work goes on, and the next beat finds the store again.
    """

    def __init__(self, store: Store, command_id: str, worker: str, every_s: float = HEARTBEAT_S) -> None:
        self._store = store
        self._command_id = command_id
        self._worker = worker
        self._every_s = every_s
        self._over = threading.Event()
        self._lost = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"pulse {command_id}", daemon=True)

    def __enter__(self) -> "Pulse":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._over.set()

    def lost(self) -> bool:
        """Whether the outcome of this work is no longer wanted from this worker."""
        return self._lost.is_set()

    def _beat(self) -> None:
        while not self._over.wait(self._every_s):
            try:
                if not self._store.heartbeat(self._command_id, self._worker):
                    self._lost.set()
                    return
            except StoreError as error:
                log.warning("no heartbeat for %s: %s", self._command_id, error)


class Progress:
    """Writes a command's progress to its run's log: what is new at once, what only moves on every few seconds."""

    def __init__(self, store: Store, command: Command) -> None:
        self._store = store
        self._command = command
        self._last_at = 0.0
        self._last_kind = ""

    def __call__(self, message: str, fraction: float | None = None, data: Mapping[str, Any] | None = None) -> None:
        """`fraction` is how much of this command's work is done, in [0, 1]."""
        now = time.monotonic()
        kind = "".join(letter for letter in message if not letter.isdigit() and letter not in ".,")
        if kind == self._last_kind and now - self._last_at < PROGRESS_S:
            return
        self._last_at, self._last_kind = now, kind
        details = {"kind": self._command.kind, **(data or {})}
        if fraction is not None:
            details["fraction"] = round(min(1.0, max(0.0, fraction)), 4)
        try:
            self._store.log(self._command.run_id, message, trial=self._command.trial, data=details)
        except StoreError as error:  # a line of progress is not worth the work that it tells of
            log.warning("%s: progress not written: %s", self._command.command_id, error)
