"""The driver on a real store: steps are committed once, commands done once, and whatever dies is done again."""

import threading
from dataclasses import replace
from pathlib import Path

import pytest
from quick_work import WORK, traced
from runs import SETTINGS, begin, check_done

from data.errors import CompileError, UsageError
from data.store import Store
from engine.settings import Settings
from jobs.driver import MOST_DEATHS, advance, checked, execute, start_run


def carry_out(store: Store, run_id: str, work=WORK, worker: str = "w") -> None:
    """Everything, one command after the other, in this thread."""
    queued = advance(store, run_id)
    while queued or (queued := store.commands(run_id, status="queued")):
        command = queued.pop(0)
        queued += execute(store, command.command_id, worker, work=work)


def test_a_run_from_start_to_bundle(store: Store):
    run_id = begin(store)
    carry_out(store, run_id)
    check_done(store, run_id)


def test_trials_hold_what_was_found(store: Store):
    run_id = begin(store)
    carry_out(store, run_id)
    trial = next(trial for trial in store.trials(run_id) if trial.status == "trained")
    assert trial.latency_ms == trial.latency_p10_ms == trial.latency_p90_ms
    assert trial.latency_source == "measured"
    assert trial.parameters > 10_000_000
    assert trial.flops > 100_000_000
    assert trial.reward is not None
    assert trial.finished_at is not None


def test_latency_is_measured_where_it_can_be():
    assert checked(Settings()).latency == "measured"
    assert checked(Settings(latency="predicted")).latency == "predicted"
    assert checked(Settings(device="galaxy-s20")).latency == "predicted"
    with pytest.raises(UsageError, match="latency on galaxy-s20 cannot be measured"):
        checked(Settings(device="galaxy-s20", latency="measured"))
    with pytest.raises(UsageError, match="galaxy-s20 has 8 cores"):
        checked(Settings(device="galaxy-s20", threads=9))
    with pytest.raises(UsageError, match="unknown device 'toaster'"):
        checked(Settings(device="toaster"))


def test_a_run_on_predictions_says_so(store: Store):
    def predicted(job):
        return {"latency_ms": 4.0, "low_ms": 2.0, "high_ms": 8.0, "source": "predicted"}

    run_id = begin(store, replace(SETTINGS, device="galaxy-s20", latency="predicted"))
    bundle = {"latency": predicted(None), "name": "b.zip", "accuracy": 0.9}
    carry_out(store, run_id, {**WORK, "compile": lambda job: {}, "measure": predicted, "bundle": lambda job: bundle})
    trial = next(trial for trial in store.trials(run_id) if trial.latency_ms is not None)
    assert (trial.latency_source, trial.latency_p10_ms, trial.latency_p90_ms) == ("predicted", 2.0, 8.0)
    said = [event.message for event in store.events(run_id, limit=5000)]
    assert "Latency on galaxy-s20 is predicted, not measured" in said
    assert any("4.00 ms (predicted; 90 % interval 2.00 to 8.00), within the limit of 4.5 ms" in line for line in said)


def test_each_device_is_measured_or_predicted_as_it_can_be():
    mixed = checked(Settings(also={"galaxy-s20": 40.0}))
    assert (mixed.latency, mixed.predicted) == ("measured", ("galaxy-s20",))
    assert checked(mixed) == mixed
    alike = checked(Settings(device="pixel-8", also={"galaxy-s20": 40.0}))
    assert (alike.latency, alike.predicted) == ("predicted", ())
    with pytest.raises(UsageError, match="latency on galaxy-s20 cannot be measured"):
        checked(Settings(latency="measured", also={"galaxy-s20": 40.0}))
    with pytest.raises(UsageError, match="unknown device 'toaster'"):
        checked(Settings(also={"toaster": 40.0}))


def test_each_device_has_its_latencies_in_the_store(store: Store):
    """A job is told of its own device alone, with that one's limit."""
    seen: set[tuple[str, float, str]] = set()

    def measure(job):
        seen.add((job.settings.device, job.settings.latency_ms, job.settings.latency))
        return WORK["measure"](job)

    run_id = begin(store, replace(SETTINGS, latency="measured", also={"galaxy-s20": 40.0}, predicted=("galaxy-s20",)))
    carry_out(store, run_id, {**WORK, "measure": measure})
    assert seen == {("host", 4.5, "measured"), ("galaxy-s20", 40.0, "predicted")}
    trained = [trial for trial in store.trials(run_id) if trial.status == "trained"]
    by_device = {(each.trial, each.device): each for each in store.latencies(run_id)}
    for trial in trained:
        assert by_device[trial.trial, "host"].latency_ms == trial.latency_ms
        assert by_device[trial.trial, "galaxy-s20"].latency_ms == pytest.approx(10 * trial.latency_ms)
    state = store.run(run_id).state
    assert state["trials"][state["best"] - 1]["bundles"] == {"host": "host.zip", "galaxy-s20": "galaxy-s20.zip"}
    front = store.pareto(run_id, feasible=True, device="galaxy-s20")
    assert front
    assert all(trial.latency_ms <= 40 for trial in front)


def test_advance_is_idempotent(store: Store):
    run_id = begin(store)
    assert [command.kind for command in advance(store, run_id)] == ["prepare"]
    assert advance(store, run_id) == []
    assert len(store.commands(run_id)) == 1


def test_a_command_is_done_once(store: Store):
    run_id = begin(store)
    (prepare,) = advance(store, run_id)
    assert execute(store, prepare.command_id, "a", work=WORK)
    assert execute(store, prepare.command_id, "b", work=WORK) == []
    assert store.command(prepare.command_id).worker == "a"


def test_many_at_once_carry_out_one_run(store: Store, state_folder: Path):
    """Four threads, all trying every command and advancing as they like."""
    run_id = begin(store)

    def labour(name: str) -> None:
        while not store.run(run_id).over:
            advance(store, run_id)
            for command in store.unclaimed():
                execute(store, command.command_id, name, work=WORK)

    crew = [threading.Thread(target=labour, args=(f"w{number}",)) for number in range(4)]
    for thread in crew:
        thread.start()
    for thread in crew:
        thread.join(60)
    check_done(store, run_id)
    begun = [line[0] for line in traced(state_folder) if line[1] == "begun"]
    assert len(set(begun)) == len(begun)


def test_a_failed_compilation_fails_its_trial_with_its_message(store: Store):
    def compile_candidate(job):
        if job.command.trial == 2:
            raise CompileError("TVM ended with signal SIGSEGV; the log is in build.log")
        return WORK["compile"](job)

    run_id = begin(store)
    carry_out(store, run_id, {**WORK, "compile": compile_candidate})
    assert store.run(run_id).status == "done"
    trial = store.trials(run_id)[1]
    assert (trial.status, trial.reason) == ("failed", "TVM ended with signal SIGSEGV; the log is in build.log")


def test_an_unknown_error_is_one_line_with_its_type(store: Store):
    def prepare(job):
        raise ValueError("two\nlines")

    run_id = begin(store)
    carry_out(store, run_id, {**WORK, "prepare": prepare})
    assert (store.run(run_id).status, store.run(run_id).error) == ("failed", "prepare: ValueError: two lines")


def test_a_command_whose_workers_die_fails_in_the_end(store: Store):
    run_id = begin(store)
    (prepare,) = advance(store, run_id)
    for number in range(MOST_DEATHS):
        assert store.claim(prepare.command_id, f"dead-{number}", stale_after_s=0)
    execute(store, prepare.command_id, "w", work=WORK, stale_after_s=0)
    assert store.run(run_id).status == "failed"
    assert "3 workers died while they carried out 'prepare'" in store.run(run_id).error


def test_a_worker_that_closes_down_puts_its_command_back(store: Store):
    run_id = begin(store)
    (prepare,) = advance(store, run_id)
    execute(store, prepare.command_id, "w", work=WORK)
    train = next(command for command in store.commands(run_id) if command.kind == "train")
    execute(store, train.command_id, "w", work=WORK, closing=lambda: True)
    train = store.command(train.command_id)
    assert (train.status, train.attempts, train.worker) == ("queued", 0, None)
    carry_out(store, run_id)
    check_done(store, run_id)


def test_cancelling_stops_the_work_under_way(store: Store, state_folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("QUICK_WORK_S", "30")
    monkeypatch.setattr("jobs.pulse.HEARTBEAT_S", 0.05)
    run_id = begin(store)
    (prepare,) = advance(store, run_id)
    execute(store, prepare.command_id, "w", work=WORK)
    train = next(command for command in store.commands(run_id) if command.kind == "train")
    worker = threading.Thread(target=execute, args=(store, train.command_id, "w"), kwargs={"work": WORK})
    worker.start()
    while not traced(state_folder):
        pass
    store.request_cancel(run_id)
    advance(store, run_id)
    assert store.run(run_id).status == "cancelled"
    worker.join(10)
    assert not worker.is_alive()
    assert store.command(train.command_id).status == "stopped"
    assert {trial.status for trial in store.trials(run_id)} == {"cancelled"}


def test_a_pause_frees_the_worker_and_puts_its_work_back(store: Store, state_folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("QUICK_WORK_S", "30")
    monkeypatch.setattr("jobs.pulse.HEARTBEAT_S", 0.05)
    run_id = begin(store)
    (prepare,) = advance(store, run_id)
    execute(store, prepare.command_id, "w", work=WORK)
    train = next(command for command in store.commands(run_id) if command.kind == "train")
    worker = threading.Thread(target=execute, args=(store, train.command_id, "w"), kwargs={"work": WORK})
    worker.start()
    while not traced(state_folder):
        pass
    store.ask(run_id, "pause")
    advance(store, run_id)
    worker.join(10)
    assert not worker.is_alive()
    train = store.command(train.command_id)
    assert (store.run(run_id).status, train.status, train.attempts) == ("paused", "queued", 0)
    assert store.unclaimed() == []
    monkeypatch.setenv("QUICK_WORK_S", "0")
    store.ask(run_id, "resume")
    carry_out(store, run_id)
    check_done(store, run_id)


def test_a_run_that_is_done_goes_on_with_more_trials(store: Store):
    run_id = begin(store)
    carry_out(store, run_id)
    store.ask(run_id, "extend", {"trials": 6})
    carry_out(store, run_id)
    assert store.run(run_id).settings["trials"] == 6
    assert (store.run(run_id).status, len(store.trials(run_id))) == ("done", 6)


def test_a_dropped_candidate_has_its_reason(store: Store):
    run_id = begin(store)
    (prepare,) = advance(store, run_id)
    execute(store, prepare.command_id, "w", work=WORK)
    store.ask(run_id, "drop", {"trial": 1, "reason": "too wide"})
    advance(store, run_id)
    assert (store.trials(run_id)[0].status, store.trials(run_id)[0].reason) == ("cancelled", "dropped by the user: too wide")
    assert {command.status for command in store.commands(run_id) if command.trial == 1} == {"stopped"}
    carry_out(store, run_id)
    assert store.run(run_id).status == "done"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"task": "no-such-task"}, "no-such-task"),
        ({"device": "pixel-99"}, "pixel-99"),
        ({"teacher": "/no/such/folder"}, "/no/such/folder"),
        ({"text": "/no/such/text.gz"}, "no text at /no/such/text.gz"),
        ({"depths": [40]}, "teacher's layers is 6"),
    ],
)
def test_unknown_names_are_refused_before_anything_is_written(store: Store, change, message):
    with pytest.raises(UsageError, match=message):
        start_run(store, Settings.from_dict({**SETTINGS.to_dict(), **change}))
    assert store.runs() == []


def test_paths_are_made_absolute(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "corpus.txt").write_text("A sentence of text.\n" * 50)
    run_id = start_run(store, Settings.from_dict({**SETTINGS.to_dict(), "text": "corpus.txt"}))
    assert store.run(run_id).settings["text"] == str(tmp_path / "corpus.txt")
