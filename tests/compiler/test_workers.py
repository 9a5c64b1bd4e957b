"""Compiling processes are forked off a server that has everything loaded; neither outlives its owner, nor hurts another job."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from compiler import workers
from compiler.build import BuildRequest, build
from compiler.process import BACKGROUND, module_environment
from compiler.quiet import quiet
from compiler.warm_server import LONGEST_MESSAGE, UNFIT
from data.errors import CompileError

PATIENCE_S = 120.0  # on a machine that others use too


@pytest.fixture(scope="module")
def request_(request_of, compiled) -> BuildRequest:
    """Of an encoder whose kernels are cached."""
    return request_of()


def server() -> psutil.Process:
    """This process's server, which must be there. One that has just been started has no command line for a moment."""
    assert settles(lambda: len(servers()) == 1)
    return servers()[0]


def servers() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if "compiler.warm_server" in " ".join(command_line(child))]


def command_line(process: psutil.Process) -> list[str]:
    """Empty of a child that has ended and that nobody has waited for, as another test of this process may leave."""
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:  # a zombie too
        return []


def settles(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE_S
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


@contextmanager
def job(request_: BuildRequest, folder: Path) -> Iterator[workers.Worker]:
    """A compiling process that has started; it is ended with the block."""
    folder.mkdir(parents=True)
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        worker = workers.start_worker({"job": "compile", **vars(request_), "folder": folder}, output, errors)
        try:
            assert settles(lambda: worker.wait(0.02) or worker.pid is not None)
            yield worker
        finally:
            worker.end()


def test_two_builds_share_a_server(request_, tmp_path):
    build(request_, tmp_path / "one")
    first = server().pid
    build(request_, tmp_path / "two")
    assert server().pid == first


def test_a_job_that_is_killed_hurts_neither_another_nor_the_server(request_, tmp_path):
    with job(request_, tmp_path / "one") as one, job(request_, tmp_path / "two") as two:
        first = server().pid
        os.kill(one.pid, signal.SIGKILL)
        assert settles(lambda: one.wait(0.02) and two.wait(0.02))
        assert (one.returncode, two.returncode) == (-signal.SIGKILL, 0)
        assert server().pid == first


def test_ending_a_job_ends_its_group(request_, tmp_path):
    with job(request_, tmp_path / "one") as worker:
        group = os.getpgid(worker.pid)
        assert group == worker.pid
        worker.end()
    assert not [process for process in psutil.process_iter() if process.is_running() and _group(process) == group]


def test_a_job_in_the_background_leaves_the_cores_to_others(request_, tmp_path):
    with (
        quiet(),
        job(replace(request_, background=True), tmp_path / "one") as worker,
    ):  # which waits for the cores, so that it can be looked at
        assert settles(lambda: psutil.Process(worker.pid).nice() == BACKGROUND)


def _group(process: psutil.Process) -> int | None:
    try:
        return os.getpgid(process.pid) if process.status() != psutil.STATUS_ZOMBIE else None
    except (OSError, psutil.Error):
        return None


def test_a_server_that_dies_while_idle_is_replaced(request_, tmp_path):
    build(request_, tmp_path / "one")
    first = server()
    first.kill()
    first.wait()
    build(request_, tmp_path / "two")
    assert server().pid != first.pid


def test_a_server_that_dies_takes_its_job_with_it_and_the_next_build_has_another(request_, tmp_path):
    with job(request_, tmp_path / "one") as worker:
        process = psutil.Process(worker.pid)
        server().kill()
        assert settles(lambda: worker.wait(0.02))
        assert worker.returncode == -signal.SIGKILL
        assert settles(lambda: not process.is_running())
    assert build(request_, tmp_path / "two").kernels == 7


def test_a_server_that_dies_before_it_can_fork_leaves_the_job_to_a_process_of_its_own(request_, tmp_path):
    workers.cool_down()
    folder = tmp_path / "one"
    folder.mkdir()
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        worker = workers.start_worker({"job": "compile", **vars(request_), "folder": folder}, output, errors)
        try:
            server().kill()
            assert settles(lambda: worker.wait(0.02))
        finally:
            worker.end()
        assert worker.returncode == 0
        output.seek(0)
        assert json.loads(output.read().splitlines()[-1])["report"]["kernels"] == 7
    workers.cool_down()


def test_a_server_with_threads_of_its_own_does_not_fork():
    mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    link, its_link = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    script = (
        "import socket, threading; from compiler.warm_server import Server; "
        "threading.Thread(target=threading.Event().wait, daemon=True).start(); "
        f"Server(socket.socket(fileno={theirs.fileno()}), {os.getpid()}).serve()"
    )
    process = subprocess.Popen([sys.executable, "-c", script], env=module_environment(), pass_fds=[theirs.fileno()])
    theirs.close()
    with mine, link, tempfile.TemporaryFile() as output:
        socket.send_fds(mine, [json.dumps({"job": "{}"}).encode()], [output.fileno(), output.fileno(), its_link.fileno()])
        its_link.close()
        link.settimeout(PATIENCE_S)
        assert link.recv(LONGEST_MESSAGE) == UNFIT
    assert process.wait(PATIENCE_S) == 0


def test_a_job_has_its_callers_surroundings(request_, tmp_path, fresh_home):
    broken = tmp_path / "broken.pt2"
    broken.write_bytes(b"no program")
    with pytest.raises(CompileError, match="broken"):
        build(replace(request_, program=broken), tmp_path / "one")
    assert (Path(fresh_home) / "locks").is_dir()


def test_a_killed_owner_leaves_no_process(request_, tmp_path):
    script = (
        "import sys; from pathlib import Path; from compiler.build import BuildRequest, build\n"
        "while True: build(BuildRequest(Path(sys.argv[1]), Path(sys.argv[2])), Path(sys.argv[3]))"
    )
    words = [sys.executable, "-c", script, str(request_.program), str(request_.samples), str(tmp_path / "out")]
    owner = psutil.Popen(words, env=module_environment())
    assert settles(lambda: len(owner.children(recursive=True)) >= 2)  # the server, and the first job
    below = owner.children(recursive=True)
    owner.kill()
    owner.wait()
    assert settles(lambda: not any(process.is_running() for process in below)), below
