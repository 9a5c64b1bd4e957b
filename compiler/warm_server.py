"""The server that forks compiling processes: `python -m compiler.warm_server DESCRIPTOR OWNER [MODULE...]`, started by `compiler.workers`.

It loads torch, TVM and the MODULEs and then only waits: it computes nothing, so that it has one thread, the only state that a fork copies whole. Each
job comes as JSON on the socket DESCRIPTOR with three descriptors: standard output, standard error, and the job's link. On the link goes
`pid N` when the job has started and `exit N` once its whole process group is gone; `end`, or a closed link, ends it.

The server ends, and all jobs with it, when the socket closes or OWNER is no longer its parent; without a job, after a few minutes. A job
ends when the server does: the kernel sees to it (PR_SET_PDEATHSIG).
"""

import contextlib
import ctypes
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
import time
import traceback
from typing import Any, NoReturn

STARTED, ENDED, END, UNFIT = b"pid ", b"exit ", b"end", b"unfit"
LONGEST_MESSAGE = 64
LONGEST_ORDER = 1 << 20
DESCRIPTORS = 3
POLL_S = 1.0
IDLE_S = 300.0
PR_SET_PDEATHSIG = 1
LOADED = ("tvm.relax.frontend.torch", "compiler.worker")
PARTS = (  # that `torch.export.load` loads when it is first used, by the names they have in torch 2.13
    "torch.export.pt2_archive._package",
    "torch._export.serde.serialize",
    "torch._export.non_strict_utils",
    "torch._dynamo",
)


def main() -> None:
    for module in (*LOADED, *sys.argv[3:]):
        importlib.import_module(module)
    for module in PARTS:
        with contextlib.suppress(ImportError):
            importlib.import_module(module)
    Server(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2])).serve()


class Server:
    """Forks, and reaps what it forked."""

    def __init__(self, orders: socket.socket, owner: int) -> None:
        self._orders = orders
        self._owner = owner
        self._links: dict[int, socket.socket] = {}  # of running jobs, by process id
        self._libc = ctypes.CDLL(None)
        self._ended, ended = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # or no byte is written
        signal.set_wakeup_fd(ended, warn_on_full_buffer=False)

    def serve(self) -> None:
        gc.collect()
        gc.freeze()  # what is loaded by now is never looked at again, so its pages stay shared
        idle_since = time.monotonic()
        while os.getppid() == self._owner and time.monotonic() - idle_since < IDLE_S:
            watched: list[Any] = [self._orders, self._ended, *self._links.values()]
            ready = select.select(watched, [], [], POLL_S)[0]
            if self._ended in ready:
                os.read(self._ended, LONGEST_ORDER)
                self._reap()
            for pid, link in list(self._links.items()):
                if link in ready and _hung_up_or_told_to_end(link):
                    _kill_group(pid)
            if self._orders in ready and not self._take_order():
                break
            if self._links:
                idle_since = time.monotonic()
        for pid in self._links:
            _kill_group(pid)

    def _take_order(self) -> bool:
        """False when the owner has closed its end."""
        order, descriptors, _, _ = socket.recv_fds(self._orders, LONGEST_ORDER, DESCRIPTORS)
        if not order:
            return False
        output, errors, link = descriptors
        with contextlib.ExitStack() as closing:
            closing.callback(os.close, output)
            closing.callback(os.close, errors)
            self._start(json.loads(order), output, errors, socket.socket(fileno=link))
        return True

    def _start(self, order: dict[str, Any], output: int, errors: int, link: socket.socket) -> None:
        if select.select([link], [], [], 0)[0]:  # ended before it began
            link.close()
            return
        if len(os.listdir("/proc/self/task")) > 1:
            with link, contextlib.suppress(OSError):
                link.send(UNFIT)
            return
        server = os.getpid()
        pid = os.fork()
        if pid == 0:
            self._become_job(server, order, output, errors, link)
        with contextlib.suppress(OSError):
            os.setpgid(pid, pid)  # in both, as either may be first to need it
        self._links[pid] = link
        with contextlib.suppress(OSError):
            link.send(STARTED + str(pid).encode())

    def _become_job(self, server: int, order: dict[str, Any], output: int, errors: int, link: socket.socket) -> NoReturn:
        status = 1
        try:
            os.setpgid(0, 0)
            self._libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != server:
                os._exit(status)
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for each in (self._orders, link, *self._links.values()):
                each.close()
            os.dup2(output, 1)
            os.dup2(errors, 2)
            os.environ.clear()
            os.environ.update(order["environment"])
            os.chdir(order["folder"])
            os.sched_setaffinity(0, order["cores"])
            sys.argv = ["compiler.worker", order["job"]]
            sys.modules["compiler.worker"].main()
            status = 0
        except SystemExit as ending:
            status = ending.code if isinstance(ending.code, int) else 1
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)

    def _reap(self) -> None:
        """Of each job that has ended, end the rest of its group before its process id is free again, and tell."""
        for pid, link in list(self._links.items()):
            if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
                continue
            _kill_group(pid)
            _, status = os.waitpid(pid, 0)
            del self._links[pid]
            with link, contextlib.suppress(OSError):
                link.send(ENDED + str(os.waitstatus_to_exitcode(status)).encode())


def _hung_up_or_told_to_end(link: socket.socket) -> bool:
    try:
        return link.recv(LONGEST_MESSAGE) in (b"", END)
    except OSError:
        return True


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


if __name__ == "__main__":
    main()
