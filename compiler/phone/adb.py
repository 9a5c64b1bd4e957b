"""Phones through Android's own `adb` program. Every call has a time limit; a phone that goes away is told from a command that fails."""

import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from compiler.quiet import ShouldStop, never
from data.errors import Cancelled, DeviceLost, MeasureError

PROGRAM_VARIABLE = "POCKETFORMER_ADB"  # where `adb` is not on the PATH, as in a folder of the Android SDK
READY = "device"  # adb's word for a phone that takes commands
TIMEOUT_S = 20.0
SLOWEST_BYTES_S = 1 << 20  # of a push; USB 2 takes twenty times as many
POLL_S = 0.1
_STATUS = "pocketformer-status="  # the last line of a command: without it the connection broke, whatever adb says


@dataclass(frozen=True)
class Phone:
    """One that adb lists. `state` in adb's words: `device` is ready, others are `unauthorized`, `offline`, `no permissions (…)`."""

    serial: str
    state: str = READY

    @property
    def is_ready(self) -> bool:
        return self.state == READY

    def shell(self, script: str, timeout_s: float = TIMEOUT_S, should_stop: ShouldStop = never) -> str:
        """Standard output of a script of Android's shell. Its standard input ends when this process does.

        Raises:
            MeasureError: it ends with another status than 0; the message is its last line on standard error.
            DeviceLost: the phone went away, or does not answer within `timeout_s`.
            Cancelled: `should_stop()` turned true.
        """
        done = self._call(["shell", f"{script}\necho {_STATUS}$?"], timeout_s, should_stop)
        output, mark, status = done.stdout.rpartition(_STATUS)
        if not mark or not status.strip().isdecimal():
            raise DeviceLost(f"{self.serial} went away: {_last_line(done.stderr) or 'the connection was closed'}")
        if int(status):
            raise MeasureError(_last_line(done.stderr) or f"ended with status {int(status)}")
        return output

    def push(self, local: Path, remote: str, should_stop: ShouldStop = never) -> None:
        """
        Raises:
            MeasureError: the phone has no space for it.
            DeviceLost, Cancelled: as `shell`.
        """
        size = local.stat().st_size
        done = self._call(["push", str(local), remote], TIMEOUT_S + size / SLOWEST_BYTES_S, should_stop)
        if done.returncode:
            trouble = _trouble(done)
            if "No space left" in trouble:
                raise MeasureError(f"{self.serial} has no space for {size / 1e6:.0f} MB more; free some on the phone")
            raise DeviceLost(f"{self.serial} went away during a push: {trouble}")

    def pull(self, remote: str, local: Path, should_stop: ShouldStop = never) -> None:
        """
        Raises:
            DeviceLost, Cancelled: as `shell`.
        """
        done = self._call(["pull", remote, str(local)], TIMEOUT_S, should_stop)
        if done.returncode:
            raise DeviceLost(f"{self.serial} went away during a pull: {_trouble(done)}")

    def come_back(self) -> bool:
        """Whether it is ready again; one on the network is called anew."""
        if self in phones():
            return True
        if ":" in self.serial:
            _adb(["disconnect", self.serial])  # or it would be said to be connected, and stay offline
            _adb(["connect", self.serial])
        return self in phones()

    def _call(self, words: list[str], timeout_s: float, should_stop: ShouldStop) -> "subprocess.CompletedProcess[str]":
        try:
            return _adb(["-s", self.serial, *words], timeout_s, should_stop)
        except subprocess.TimeoutExpired as error:
            raise DeviceLost(f"{self.serial} did not answer within {timeout_s:.0f} s") from error


def phones() -> list[Phone]:
    """Those that adb knows of, ready or not.

    Raises:
        MeasureError: there is no `adb`, or it does not work.
    """
    try:
        done = _adb(["devices"])
    except subprocess.TimeoutExpired:
        raise MeasureError(f"`adb devices` did not answer within {TIMEOUT_S:.0f} s; try `adb kill-server`") from None
    if done.returncode:
        raise MeasureError(f"`adb devices` failed: {_last_line(done.stderr)}")
    lines = (line.partition("\t") for line in done.stdout.splitlines())
    return [Phone(serial, state.strip()) for serial, tab, state in lines if tab]


def _adb(words: list[str], timeout_s: float = TIMEOUT_S, should_stop: ShouldStop = never) -> "subprocess.CompletedProcess[str]":
    """What adb says. Its standard input is a pipe that only this process holds open, so that what it runs on the phone learns of
    this process's end, however sudden.

    Raises:
        MeasureError: there is no `adb`.
        TimeoutExpired: adb did not end, and was killed.
        Cancelled: `should_stop()` turned true; adb was killed.
    """
    theirs, ours = os.pipe()
    try:
        process = subprocess.Popen(
            [_program(), *words], stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace"
        )
        os.close(theirs)
        theirs = -1
        deadline = time.monotonic() + timeout_s
        with process:
            while True:
                try:
                    output, trouble = process.communicate(timeout=POLL_S)
                    return subprocess.CompletedProcess(words, process.returncode, output, trouble)
                except subprocess.TimeoutExpired:
                    if should_stop():
                        process.kill()
                        raise Cancelled("measurement was stopped") from None
                    if time.monotonic() > deadline:
                        process.kill()
                        raise
    finally:
        os.close(ours)
        if theirs >= 0:
            os.close(theirs)


def _program() -> str:
    found = shutil.which(os.environ.get(PROGRAM_VARIABLE) or "adb")
    if found is None:
        raise MeasureError(
            f"there is no `adb` to reach a phone with; install the package adb, or set {PROGRAM_VARIABLE} to where it is"
        )
    return found


def _trouble(done: "subprocess.CompletedProcess[str]") -> str:
    """What adb says of a file that it could not carry, on standard output, with a summary after it."""
    lines = f"{done.stdout}\n{done.stderr}".splitlines()
    return next((line.removeprefix("adb: error: ") for line in lines if "error" in line), _last_line(done.stderr))[:300]


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else ""
