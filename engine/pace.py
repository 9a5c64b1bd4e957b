"""Telling how far long work has come, and leaving it at any step: what distillation and training share."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from compiler.quiet import ShouldStop
from data.errors import Cancelled

REPORT_EVERY_S = 1.0
CHECKPOINT_EVERY_S = 20.0

Progress = Callable[[str, float, dict[str, Any]], None]  # message, fraction done in [0, 1], figures


def silent(message: str, fraction: float, data: dict[str, Any]) -> None:
    """The `progress` of work that nobody watches."""


class Pace:
    """Called once a step: reports about every second, says when a checkpoint is due, and raises when the work is no longer wanted."""

    def __init__(self, progress: Progress, should_stop: ShouldStop) -> None:
        self._progress = progress
        self._should_stop = should_stop
        self._reported = 0.0
        self._saved = time.monotonic()

    def step(self, message: str, fraction: float, data: Mapping[str, Any]) -> None:
        now = time.monotonic()
        if now - self._reported >= REPORT_EVERY_S or fraction >= 1:
            self._reported = now
            self._progress(message, min(1.0, fraction), dict(data))

    def checkpoint_due(self) -> bool:
        """True about every 20 s; the work then writes its checkpoint."""
        due = time.monotonic() - self._saved >= CHECKPOINT_EVERY_S
        if due:
            self._saved = time.monotonic()
        return due

    def check(self, what: str, save: Callable[[], None]) -> None:
        """Leave the work, saved, when it is no longer wanted.

        Raises:
            Cancelled: somebody asked for it to stop.
        """
        if self._should_stop():
            save()
            raise Cancelled(f"{what} was stopped")
