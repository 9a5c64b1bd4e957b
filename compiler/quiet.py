"""One machine-wide rule: no latency of this machine is taken while our own training or compiling uses its cores.

Work that loads the cores runs inside `busy()`, in short pieces (one training step, one kernel's compilation); a measurement
runs inside `quiet()`. Two advisory file locks make a fair reader-writer lock that every process of the user shares and that
the kernel releases when a process dies: a waiting measurement holds the turnstile, so no new piece of work starts, and it
enters as soon as the pieces under way have ended.
"""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from data.errors import Cancelled
from data.home import subfolder

POLL_S = 0.005

ShouldStop = Callable[[], bool]


def never() -> bool:
    """The `should_stop` of work that nobody cancels."""
    return False


@contextmanager
def busy() -> Iterator[None]:
    """Hold while loading this machine's cores; waits for a measurement under way. Keep each hold under about a second."""
    turnstile = _lock("turnstile", fcntl.LOCK_SH)
    room = _lock("room", fcntl.LOCK_SH)
    os.close(turnstile)
    try:
        yield
    finally:
        os.close(room)


@contextmanager
def quiet(should_stop: ShouldStop = never) -> Iterator[None]:
    """Hold while timing on this machine's cores: waits until no `busy()` piece runs, and keeps new ones out.

    Raises:
        Cancelled: `should_stop()` turned true while waiting.
    """
    turnstile = _lock("turnstile", fcntl.LOCK_EX, should_stop)
    try:
        room = _lock("room", fcntl.LOCK_EX, should_stop)
        try:
            yield
        finally:
            os.close(room)
    finally:
        os.close(turnstile)


def _lock(name: str, mode: int, should_stop: ShouldStop = never) -> int:
    """An open descriptor that holds the lock; closing it releases. Only what can be stopped looks again and again: beside a
    measurement that takes a part of its cores."""
    descriptor = os.open(subfolder("locks") / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if should_stop is never:
            fcntl.flock(descriptor, mode)
            return descriptor
        while True:
            try:
                fcntl.flock(descriptor, mode | fcntl.LOCK_NB)
                return descriptor
            except BlockingIOError:
                if should_stop():
                    raise Cancelled("stopped while waiting for this machine's cores") from None
                time.sleep(POLL_S)
    except BaseException:
        os.close(descriptor)
        raise
