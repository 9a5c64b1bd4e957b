"""Running a model's `bench` on a phone: one program at a time, that ends when we do, on a phone that may go away and come back."""

import fcntl
import os
import re
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from compiler.phone.adb import Phone
from compiler.quiet import ShouldStop, never
from data.errors import Cancelled, DeviceLost, MeasureError
from data.home import subfolder

TRIES = 3
RETURN_S = 60.0  # that a phone which went away is waited for
RETURN_POLL_S = 0.5
LOCK_POLL_S = 0.05
PROGRAM_TIMEOUT_S = 300.0

Result = TypeVar("Result")

# The program ends with its connection (the phone's daemon hangs the shell up), and with the process here (standard input ends then).
# Standard input is named anew, as a shell gives /dev/null to what runs beside it.
_SCRIPT = """exec 3<&0
{command} </dev/null & program=$!
{{ read -r line <&3; kill $program; }} >/dev/null 2>&1 & watch=$!
trap 'kill $program' HUP TERM
wait $program; status=$?
kill $watch
(exit $status)"""


def run_program(
    phone: Phone, words: Sequence[object], timeout_s: float = PROGRAM_TIMEOUT_S, should_stop: ShouldStop = never
) -> str:
    """Standard output of a program on the phone.

    Raises:
        MeasureError: it fails, its last line says why; or it did not end within `timeout_s`.
        DeviceLost: the phone went away.
        Cancelled: `should_stop()` turned true; the program was ended.
    """
    command = " ".join(shlex.quote(str(word)) for word in words)
    try:
        return phone.shell(_SCRIPT.format(command=command), timeout_s, should_stop)
    except DeviceLost as error:
        if isinstance(error.__cause__, subprocess.TimeoutExpired):
            raise MeasureError(f"the program did not end within {timeout_s:.0f} s on {phone.serial}") from error
        raise
    except MeasureError as error:
        raise MeasureError(f"the program failed on {phone.serial}: {error}") from error


def persistently(phone: Phone, work: Callable[[], Result], should_stop: ShouldStop = never) -> Result:
    """The result of `work`, begun anew whenever the phone went away and came back; a few times at most.

    Raises:
        DeviceLost: it did not come back within `RETURN_S`, or went away each time.
        Cancelled: `should_stop()` turned true.
    """
    for tries_left in reversed(range(TRIES)):
        try:
            return work()
        except DeviceLost as error:
            if not tries_left:
                raise DeviceLost(f"{error}, {TRIES} times in a row; look at the cable") from error
            _wait_for(phone, error, should_stop)
    raise AssertionError("at least one try")


@contextmanager
def alone(phone: Phone, should_stop: ShouldStop = never) -> Iterator[None]:
    """Hold while using a phone: no other process of this user times or changes anything on it. Ends with the process.

    Raises:
        Cancelled: `should_stop()` turned true while waiting.
    """
    name = re.sub(r"[^\w.-]", "_", phone.serial)
    descriptor = os.open(subfolder("locks") / f"phone-{name}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                _pause(LOCK_POLL_S, should_stop)
        yield
    finally:
        os.close(descriptor)


def _wait_for(phone: Phone, error: DeviceLost, should_stop: ShouldStop) -> None:
    deadline = time.monotonic() + RETURN_S
    while not phone.come_back():
        if time.monotonic() > deadline:
            raise DeviceLost(f"{error}, and did not come back within {RETURN_S:.0f} s; connect it and try again") from error
        _pause(RETURN_POLL_S, should_stop)


def _pause(seconds: float, should_stop: ShouldStop) -> None:
    if should_stop():
        raise Cancelled("stopped while waiting for a phone")
    time.sleep(seconds)
