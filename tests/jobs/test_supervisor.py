"""`serve` with real processes: DuckDB over Quack, Valkey, Celery. Each is killed in turn, and the runs go on."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from quick_work import traced
from runs import SETTINGS, begin, check_done

from data.errors import PocketformerError, StoreError
from data.store import Store, open_store
from jobs.supervisor import check_port, read_procfile

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PROCFILE = """\
store: python -m data.store_server
broker: python -m jobs.broker
sweeper: python -m jobs.sweeper
train: python -m jobs.worker train --work quick_work:WORK
compile: python -m jobs.worker compile measure --work quick_work:WORK
web: python -m http.server $PORT --bind $HOST
"""


def wait_until(condition: Callable[[], object], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds} s"
        time.sleep(0.1)


class Served:
    """`pocketformer serve` as a process, and its children by name."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.log = folder / "serve.log"
        procfile = folder / "Procfile"
        procfile.write_text(PROCFILE)
        code = f"import pathlib, sys; from jobs.supervisor import serve; sys.exit(serve(port={port}, procfile=pathlib.Path({str(procfile)!r})))"
        environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{HERE}", "QUICK_WORK_S": "2"}
        with self.log.open("w") as log:
            self.process = subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=log, stderr=log)

    def child(self, name: str) -> psutil.Process | None:
        sign = {
            "store": "data.store_server",
            "broker": "valkey-server",
            "train": "jobs.worker train",
            "compile": "jobs.worker compile",
        }
        for child in psutil.Process(self.process.pid).children():
            try:
                if sign[name] in " ".join(child.cmdline()):
                    return child
            except psutil.Error:
                continue
        return None

    def kill(self, name: str) -> None:
        """SIGKILL, and the wait until another one is there."""
        victim = self.child(name)
        assert victim is not None, f"no {name} to kill"
        victim.kill()
        wait_until(lambda: (after := self.child(name)) is not None and after.pid != victim.pid, 30, f"restart of {name}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def serve(state_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Served]]:
    """Starts `serve`; what is still running at the end is stopped, and its log shown."""
    started: list[Served] = []

    def start() -> Served:
        served = Served(state_folder, free_port())
        started.append(served)
        wait_until(lambda: (state_folder / "store.json").exists() and served.child("broker"), 60, "start of store and broker")
        return served

    monkeypatch.setenv("STORE_URL", "local")
    yield start
    for served in started:
        served.process.terminate()
        try:
            served.process.wait(60)
        finally:
            served.process.kill()
        print(served.log.read_text())


@pytest.mark.timeout(240)
def test_runs_go_on_whatever_is_killed(serve: Callable[[], Served], state_folder: Path):
    served = serve()
    settings = replace(SETTINGS, latency_ms=50.0)  # within anybody's reach: every candidate is trained
    with open_store() as store:
        runs = [begin(store, settings), begin(store, settings)]
        for name in ("broker", "store", "train"):
            wait_until(lambda: training(state_folder), 60, f"a training to kill {name} in")
            served.kill(name)
        wait_until(lambda: all(over(store, run_id) for run_id in runs), 150, "the end of both runs")
        for run_id in runs:
            check_done(store, run_id, settings)
        attempts = sum(command.attempts - 1 for run_id in runs for command in store.commands(run_id) if command.attempts)
        assert attempts == 1  # the training that died with its worker, and nothing else
    served.process.terminate()
    children = psutil.Process(served.process.pid).children(recursive=True)
    assert served.process.wait(60) == 0
    assert not [child for child in children if child.is_running()]


def test_what_a_stopped_serve_had_under_way_is_done_by_the_next(serve: Callable[[], Served], state_folder: Path):
    settings = replace(SETTINGS, latency_ms=50.0, trials=1)
    first = serve()
    with open_store() as store:
        run_id = begin(store, settings)
    wait_until(lambda: training(state_folder), 60, "a training")
    first.process.terminate()
    assert first.process.wait(60) == 0
    assert ["1.train", "broken-off"] in [line[:2] for line in traced(state_folder)]
    serve()
    with open_store() as store:
        wait_until(lambda: over(store, run_id), 60, "the end of the run")
        check_done(store, run_id, settings)
        assert {command.attempts for command in store.commands(run_id)} == {1}


def training(folder: Path) -> bool:
    """Whether a training has just begun: nothing else has been noted since."""
    lines = traced(folder)
    return bool(lines) and lines[-1][1] == "begun"


def over(store: Store, run_id: str) -> bool:
    try:
        return store.run(run_id, with_state=False).over
    except StoreError:
        return False


def test_a_port_in_use_is_one_line():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PocketformerError, match=f"cannot serve on 127.0.0.1:{port} .*; give another port"):
            check_port("127.0.0.1", port)


def test_procfile_leaves_out_what_runs_elsewhere(tmp_path: Path):
    (tmp_path / "Procfile").write_text(PROCFILE)
    environment = {"HOST": "127.0.0.1", "PORT": "8600", "REDIS_URL": "redis://elsewhere", "STORE_URL": "local"}
    children = {child.name: child.command for child in read_procfile(tmp_path / "Procfile", environment)}
    assert list(children) == ["store", "sweeper", "train", "compile", "web"]
    assert children["web"] == ["python", "-m", "http.server", "8600", "--bind", "127.0.0.1"]


def test_the_projects_own_procfile_is_complete():
    children = read_procfile(ROOT / "Procfile", {"HOST": "127.0.0.1", "PORT": "8501"})
    assert [child.name for child in children] == ["store", "broker", "sweeper", "train", "compile", "web"]
