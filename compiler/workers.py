"""Compiling processes, seen from outside: started, watched and ended, with their whole process group.

Loading torch and TVM takes seconds, a compilation whose kernels are cached less than one. So a process that compiles keeps a server
(`compiler.warm_server`) which has loaded both and forks a process for each job. It ends with its owner, however that dies, and its
jobs with it; after a few minutes without a job it ends too. Where it cannot be had, a job starts from nothing.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Sequence
from typing import IO, Any, Protocol

from compiler.process import module_command, module_environment
from compiler.warm_server import END, ENDED, LONGEST_MESSAGE, STARTED

ENDING_S = 5.0  # for a server to confirm that a job's processes are gone


class Worker(Protocol):
    """A compiling process that leads a process group of its own.

    Attributes:
        pid: None until it has started.
        returncode: None while it runs; negative for a signal, as `subprocess` has it.
    """

    pid: int | None
    returncode: int | None

    def wait(self, seconds: float) -> bool:
        """Whether it has ended, after at most so long."""
        ...

    def end(self) -> None:
        """End it and all that it started; nothing when it has ended."""
        ...


def start_worker(job: dict[str, Any], output: IO[bytes], errors: IO[bytes]) -> Worker:
    """A process that compiles `job`, on whose standard output and error go to these files."""
    written = json.dumps(job, default=lambda path: str(path.resolve()))
    return ForkedWorker(_server(), written, output, errors)


def warm_up(*modules: str) -> None:
    """Start loading torch and TVM for the compilations to come, beside whatever this process does until then; and these modules, which their
    programs' makers are in, unless it has been started before."""
    _server(modules)


def cool_down() -> None:
    """End the server of this process; the next compilation starts another."""
    global _current
    with _lock:
        if _current is not None:
            _current.close()
        _current = None


class ColdWorker:
    """A process that loads everything itself."""

    def __init__(self, job: str, output: IO[bytes], errors: IO[bytes]) -> None:
        self._process = subprocess.Popen(
            module_command("compiler.worker", job),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            env=module_environment(),
            start_new_session=True,
        )
        self.pid: int | None = self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.returncode

    def wait(self, seconds: float) -> bool:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        return self._process.returncode is not None

    def end(self) -> None:
        # Also after its end: linkers that it started are in its group, and may live on where it crashed.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


class ForkedWorker:
    """A process forked by the server, which tells on a link of the job's own what becomes of it; a closed link ends the process.

    A server that dies before it has forked, or that may not fork, leaves the job to a `ColdWorker`.
    """

    def __init__(self, server: "_Server", job: str, output: IO[bytes], errors: IO[bytes]) -> None:
        self.pid: int | None = None
        self.returncode: int | None = None
        self._server = server
        self._arguments = (job, output, errors)
        self._cold: ColdWorker | None = None
        self._link, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            try:
                server.order(job, (output.fileno(), errors.fileno(), theirs.fileno()))
            except OSError:
                self._go_cold()

    def wait(self, seconds: float) -> bool:
        if self._cold is not None:
            ended = self._cold.wait(seconds)
            self.returncode = self._cold.returncode
            return ended
        if self.returncode is None:
            self._link.settimeout(seconds)
            with contextlib.suppress(TimeoutError):
                self._hear(self._message())
        return self.returncode is not None

    def end(self) -> None:
        if self._cold is not None:
            self._cold.end()
        elif self.pid is not None:
            with contextlib.suppress(OSError):
                self._link.send(END)
            deadline = time.monotonic() + ENDING_S
            while self.returncode is None and time.monotonic() < deadline:
                self.wait(ENDING_S)
            with contextlib.suppress(ProcessLookupError):  # a server that is gone, or stuck, has ended no linkers
                os.killpg(self.pid, signal.SIGKILL)
        self._link.close()

    def _message(self) -> bytes:
        try:
            return self._link.recv(LONGEST_MESSAGE)
        except TimeoutError:
            raise
        except OSError:
            return b""

    def _hear(self, message: bytes) -> None:
        if message.startswith(STARTED):
            self.pid = int(message.removeprefix(STARTED))
        elif message.startswith(ENDED):
            self.returncode = int(message.removeprefix(ENDED))
        elif self.pid is None:
            self._server.refuse()
            self._go_cold()
        else:  # the server died, and its jobs with it
            self.returncode = -signal.SIGKILL

    def _go_cold(self) -> None:
        self._cold = ColdWorker(*self._arguments)
        self.pid = self._cold.pid


class _Server:
    """The server of this process, and the socket on which jobs are ordered; it ends when the socket closes."""

    def __init__(self, modules: Sequence[str]) -> None:
        self.refused = False
        self._orders, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                module_command("compiler.warm_server", str(theirs.fileno()), str(os.getpid()), *modules),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={
                    **module_environment(),
                    "OPENBLAS_NUM_THREADS": "1",
                },  # numpy would start threads, which do not survive a fork
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )

    @property
    def usable(self) -> bool:
        """Or known to be of no use, which another one would be too."""
        return self.refused or self._process.poll() is None

    def order(self, job: str, descriptors: Sequence[int]) -> None:
        """
        Raises:
            OSError: it is gone, or has said before that it cannot fork.
        """
        if self.refused:
            raise BrokenPipeError("the server cannot fork")
        place = {"environment": module_environment(), "folder": os.getcwd(), "cores": sorted(os.sched_getaffinity(0))}
        socket.send_fds(self._orders, [json.dumps({**place, "job": job}).encode()], list(descriptors))

    def refuse(self) -> None:
        """Order nothing more, unless it has only ended for want of work."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.refused = self._process.wait(ENDING_S) != 0
            return
        self.refused = True

    def close(self) -> None:
        self._orders.close()
        self._process.wait()


_lock = threading.Lock()
_current: _Server | None = None


def _forget() -> None:
    """In a process forked from this one: the server is not its own."""
    global _lock, _current
    _lock, _current = threading.Lock(), None


os.register_at_fork(after_in_child=_forget)


def _server(modules: Sequence[str] = ()) -> _Server:
    """Running, or still loading."""
    global _current
    with _lock:
        if _current is None or not _current.usable:
            _current = _Server(modules)
        return _current
