"""A run in one process, interrupted and resumed."""

import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from quick_work import WORK, traced
from runs import SETTINGS, begin, check_done

from data.store import Store
from jobs.local import run_local


def test_carries_a_run_out_and_shows_its_log(store: Store):
    run_id = begin(store)
    lines: list[str] = []
    run = run_local(store, run_id, lambda event: lines.append(event.message), work=WORK, poll_s=0.02)
    assert run.status == "done"
    check_done(store, run_id)
    assert lines[0].startswith("Search for 'paraphrase' on host within 4.5 ms")
    assert lines[-1].startswith("Done: ")
    assert lines == [event.message for event in store.events(run_id)]


def test_compilation_runs_beside_training(store: Store, state_folder: Path, monkeypatch: pytest.MonkeyPatch):
    """A training that waits for its candidate's measurement ends only when the two are carried out at once."""
    measured: set[int | None] = set()

    def measure(job):
        measured.add(job.command.trial)
        return WORK["measure"](job)

    def train(job):
        while job.command.kind == "train" and job.command.trial not in measured:
            time.sleep(0.01)
        return WORK["train"](job)

    run_id = begin(store)
    assert run_local(store, run_id, work={**WORK, "measure": measure, "train": train}, poll_s=0.02).status == "done"


def test_a_phone_is_measured_beside_this_machine(store: Store):
    """A measurement on the phone that waits for one on this machine, and the other way round, end only when they go side by side."""
    measuring: dict[int, set[str]] = {}

    def measure(job):
        there = measuring.setdefault(job.command.trial, set())
        there.add(job.settings.device)
        deadline = time.monotonic() + 60
        while len(there) < 2 and not job.should_stop() and time.monotonic() < deadline:
            time.sleep(0.01)
        return WORK["measure"](job)

    run_id = begin(store, replace(SETTINGS, trials=2, also={"galaxy-s20": 45.0}))
    assert run_local(store, run_id, work={**WORK, "measure": measure}, poll_s=0.02).status == "done"
    assert all(there == {"host", "galaxy-s20"} for there in measuring.values())


def test_an_interrupted_run_goes_on(
    store: Store, state_folder: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
):
    monkeypatch.setenv("QUICK_WORK_S", "1")
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell starts in the background ignores it
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    run_id = begin(store)

    def interrupt() -> None:
        while not traced(state_folder):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        run_local(store, run_id, work=WORK, poll_s=0.02)
    assert store.run(run_id).status == "running"
    assert "running" not in {command.status for command in store.commands(run_id)}
    monkeypatch.setenv("QUICK_WORK_S", "0.01")
    lines: list[str] = []
    run_local(store, run_id, lambda event: lines.append(event.message), work=WORK, poll_s=0.02)
    check_done(store, run_id)
    assert not any(line.startswith("Search for") for line in lines)


def test_a_defect_in_a_thread_is_raised_and_does_not_hang(store: Store, monkeypatch: pytest.MonkeyPatch):
    def broken(*_arguments, **_options):
        raise AssertionError("a defect")

    monkeypatch.setattr("jobs.local.execute", broken)
    with pytest.raises(AssertionError, match="a defect"):
        run_local(store, begin(store), work=WORK, poll_s=0.02)
