"""What each method of the store does: the same for the owner of the file and for a client of its server."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from store_processes import Server

from data.backend import _keyboard_interrupts
from data.errors import StoreError
from data.store import ArtifactRef, Command, DeviceLatency, Measurement, Note, Store, Trial, new_run_id, open_store

TABLES = ("runs", "steps", "trials", "latencies", "commands", "events", "measurements", "artifacts", "requests")


@pytest.fixture(scope="module", params=["file", "quack"])
def opened(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("state")
        patch.setenv("POCKETFORMER_HOME", str(folder))
        server = Server(folder)
        if request.param == "quack":
            server.start()
        with open_store() as store:
            yield store
        if server.process:
            server.stop()


@pytest.fixture
def store(opened: Store) -> Store:
    """An empty store, opened by this process or through a server."""
    for table in TABLES:
        opened._run(f"DELETE FROM {table}")
    return opened


@pytest.fixture
def run_id(store: Store) -> str:
    """A run with two trials and a command for each, at version 1."""
    run_id = new_run_id()
    store.create_run(run_id, {"latency_ms": 5.0}, {"step": 0})
    commands = [Command(f"{run_id}/{i}/train", run_id, i, "train", {"epochs": i}) for i in range(2)]
    trials = [Trial(run_id, i, 1, f"L{i + 1}-H256-A4-F1024") for i in range(2)]
    assert store.commit_step(run_id, 0, state={"step": 1}, trials=trials, commands=commands, events=[Note("two trials")])
    return run_id


def test_run_comes_back_as_it_was_written(store: Store) -> None:
    """Quotes, other scripts, backslashes, dollar names and NULs neither break the SQL nor change; NaN is null, as in JSON."""
    settings = {
        "text": "O'Neill \\n $run ; DROP TABLE runs; -- žluť ☃\x00\ud800",
        "nested": {"a": [1, 2.5, None, True]},
        "nan": float("nan"),
    }
    store.create_run("r'1", settings, None)
    run = store.run("r'1")
    assert run.settings == {**settings, "text": "O'Neill \\n $run ; DROP TABLE runs; -- žluť ☃?", "nan": None}
    assert (run.status, run.state, run.state_version, run.error, run.over) == ("running", None, 0, None, False)
    assert run.created_at.tzinfo is UTC
    assert abs((datetime.now(UTC) - run.created_at).total_seconds()) < 60


def test_create_run_twice_is_harmless(store: Store) -> None:
    store.create_run("r1", {"seed": 1}, {"step": 0})
    store.create_run("r1", {"seed": 2}, {"step": 9})
    assert store.run("r1").settings == {"seed": 1}


def test_unknown_run_and_command_are_errors(store: Store) -> None:
    for call in (store.run, store.request_cancel, store.command):
        with pytest.raises(StoreError, match="there is no"):
            call("nothing")


def test_runs_are_newest_first_bounded_and_without_state(store: Store) -> None:
    for name in "abc":
        store.create_run(name, {}, {"large": 1})
    runs = store.runs(limit=2)
    assert [run.run_id for run in runs] == ["c", "b"]
    assert [run.state for run in runs] == [None, None]
    assert store.run("c", with_state=False).state is None


def test_step_is_written_whole(store: Store, run_id: str) -> None:
    run = store.run(run_id)
    assert (run.state, run.state_version) == ({"step": 1}, 1)
    assert [(trial.trial, trial.status) for trial in store.trials(run_id)] == [(0, "proposed"), (1, "proposed")]
    assert [(command.trial, command.payload, command.status) for command in store.commands(run_id)] == [
        (0, {"epochs": 0}, "queued"),
        (1, {"epochs": 1}, "queued"),
    ]
    assert [(event.seq, event.message, event.level) for event in store.events(run_id)] == [(1, "two trials", "info")]


def test_late_step_writes_nothing(store: Store, run_id: str) -> None:
    """Compare-and-swap: the loser of two processes at the same version changes neither state, trials, commands nor log."""
    command = Command("late", run_id, 0, "train")
    trial = Trial(run_id, 7, 1, "L1-H256-A4-F1024")
    late = store.commit_step(
        run_id,
        0,
        state={"step": -1},
        status="failed",
        trials=[trial],
        commands=[command],
        stop=[f"{run_id}/0/train"],
        events=[Note("x")],
    )
    assert not late
    assert store.run(run_id).state == {"step": 1}
    assert len(store.trials(run_id)) == len(store.commands(run_id, "queued")) == 2
    assert len(store.events(run_id)) == 1


def test_step_with_a_wrong_value_writes_nothing(store: Store, run_id: str) -> None:
    """A refusal in the middle of a step undoes what came before it, and the store goes on."""
    with pytest.raises(StoreError, match="CHECK constraint"):
        store.commit_step(
            run_id, 1, state={"step": 2}, commands=[Command("new", run_id, 0, "train")], events=[Note("x", level="shout")]
        )
    assert store.run(run_id).state_version == 1
    assert len(store.commands(run_id)) == 2
    assert store.commit_step(run_id, 1, state={"step": 2})


def test_step_of_an_unknown_run_is_refused(store: Store) -> None:
    assert not store.commit_step("nothing", 0, state={}, trials=[Trial("nothing", 0, 1, "L1-H256-A4-F1024")])
    assert store.trials("nothing") == []


def test_trial_is_replaced_and_keeps_its_creation(store: Store, run_id: str) -> None:
    before = store.trials(run_id)[0]
    assert before.finished_at is None
    done = Trial(run_id, 0, 1, before.architecture, "trained", 4.5, 4.4, 4.7, "measured", 0.8, None, 0.9, None, 10, 2**40)
    assert store.commit_step(run_id, 1, state=None, trials=[before, done])
    after = store.trials(run_id)[0]
    assert (after.status, after.latency_ms, after.accuracy, after.flops, after.created_at) == (
        "trained",
        4.5,
        0.8,
        2**40,
        before.created_at,
    )
    assert after.finished_at is not None
    assert store.commit_step(
        run_id, 2, state=None, trials=[Trial(run_id, 0, 1, before.architecture, "trained", 4.5, final_accuracy=0.9)]
    )
    assert store.trials(run_id)[0].finished_at == after.finished_at


def test_cancellation_is_not_taken_back_by_a_step(store: Store, run_id: str) -> None:
    store.request_cancel(run_id)
    assert store.run(run_id).status == "cancelling"
    assert store.commit_step(run_id, 1, state={}, status="running")
    assert store.run(run_id).status == "cancelling"
    assert store.commit_step(run_id, 2, state={}, status="cancelled")
    store.request_cancel(run_id)
    assert store.run(run_id).status == "cancelled"
    assert store.run(run_id).over


def test_pareto_front(store: Store) -> None:
    """No trial of the front is beaten in both; equal ones count once; the target rules out what is slower."""
    store.create_run("r", {"latency_ms": 5})
    measured = [(1.0, 0.5), (2.0, 0.4), (2.0, 0.6), (3.0, 0.6), (6.0, 0.9), (4.0, None), (None, 0.99)]
    trials = [
        Trial("r", i, 1, "L1-H256-A4-F1024", "trained", latency_ms=latency, accuracy=accuracy)
        for i, (latency, accuracy) in enumerate(measured)
    ]
    store.commit_step("r", 0, state=None, trials=trials)
    assert [trial.trial for trial in store.pareto("r")] == [0, 2, 4]
    assert [trial.trial for trial in store.pareto("r", feasible=True)] == [0, 2]
    assert store.pareto("empty") == []


@pytest.fixture
def two_devices(store: Store) -> str:
    """A run for host (5 ms) and a phone (40 ms); the last trial was ruled out by host before the phone was asked."""
    store.create_run("r", {"device": "host", "latency_ms": 5, "also": {"pixel-8@R5:1": 40}})
    seen = [(1.0, 39.0, 0.5), (2.0, 30.0, 0.6), (3.0, 20.0, 0.4), (4.0, 41.0, 0.9), (6.0, None, None)]
    trials, latencies = [], []
    for i, (host_ms, phone_ms, accuracy) in enumerate(seen):
        status = "over_limit" if accuracy is None else "trained"
        trials.append(Trial("r", i, 1, "L1-H256-A4-F1024", status, host_ms, accuracy=accuracy, latency_source="measured"))
        if phone_ms is not None:
            facts = ("predicted", 80.0, 7.0, 6.0, 8.0)
            latencies.append(DeviceLatency("r", i, "pixel-8@R5:1", phone_ms, phone_ms / 2, phone_ms * 2, *facts))
    assert store.commit_step("r", 0, state=None, trials=trials, latencies=latencies)
    return "r"


def test_latencies_by_device(store: Store, two_devices: str) -> None:
    """The first device's come from the trials, and are not to be said twice."""
    latencies = store.latencies(two_devices)
    assert [(each.trial, each.device, each.latency_ms) for each in latencies[:3]] == [
        (0, "host", 1.0),
        (0, "pixel-8@R5:1", 39.0),
        (1, "host", 2.0),
    ]
    assert len(latencies) == 9
    phone = store.latencies(two_devices, "pixel-8@R5:1")
    assert [each.trial for each in phone] == [0, 1, 2, 3]
    assert (phone[0].latency_source, phone[0].memory_mb, phone[0].energy_mj) == ("predicted", 80.0, 7.0)
    assert store.latencies(two_devices, "host")[0].energy_mj is None
    assert store.latencies("empty") == []


def test_a_front_for_each_device(store: Store, two_devices: str) -> None:
    """What one device's front has, another's may lack: trial 0 is fast on host and slow on the phone."""
    assert [trial.trial for trial in store.pareto(two_devices)] == [0, 1, 3]
    assert store.pareto(two_devices, device="host") == store.pareto(two_devices)
    phone = store.pareto(two_devices, device="pixel-8@R5:1")
    assert [(trial.trial, trial.latency_ms, trial.latency_source) for trial in phone] == [
        (2, 20.0, "predicted"),
        (1, 30.0, "predicted"),
        (3, 41.0, "predicted"),
    ]
    assert [trial.trial for trial in store.pareto(two_devices, feasible=True, device="pixel-8@R5:1")] == [2, 1]
    assert [trial.trial for trial in store.pareto(two_devices, feasible=True)] == [0, 1, 3]
    assert store.pareto(two_devices, device="toaster") == []


def test_a_latency_taken_again_replaces_the_first(store: Store, two_devices: str) -> None:
    trial = store.trials(two_devices)[0]
    again = [
        DeviceLatency("r", 0, "host", 1.5, None, None, "measured", 60.0),
        DeviceLatency("r", 0, "p", 9.0, None, None, "measured"),
    ]
    assert store.commit_step("r", 1, state=None, trials=[replace(trial, latency_ms=1.5)], latencies=again)
    found = {each.device: (each.latency_ms, each.memory_mb) for each in store.latencies("r") if each.trial == 0}
    assert found == {"host": (1.5, 60.0), "p": (9.0, None), "pixel-8@R5:1": (39.0, 80.0)}


def test_claim_heartbeat_finish(store: Store, run_id: str) -> None:
    command_id = f"{run_id}/0/train"
    claimed = store.claim(command_id, "w1")
    assert claimed is not None
    assert (claimed.status, claimed.attempts, claimed.worker) == ("running", 1, "w1")
    assert store.claim(command_id, "w2") is None
    assert store.heartbeat(command_id, "w1")
    assert not store.heartbeat(command_id, "w2")
    assert not store.finish(command_id, "w2", {"accuracy": 0.1})
    assert store.finish(command_id, "w1", {"accuracy": 0.7})
    assert store.finish(command_id, "w1", {"accuracy": 0.8})  # said again: nothing changes
    assert store.command(command_id).result == {"accuracy": 0.7}
    assert store.command(command_id).over
    assert store.claim(command_id, "w1", stale_after_s=0) is None
    assert not store.heartbeat(command_id, "w1")


def test_dead_workers_command_is_taken_over(store: Store, run_id: str) -> None:
    command_id = f"{run_id}/0/train"
    store.claim(command_id, "dead")
    assert [command.trial for command in store.unclaimed()] == [1]
    assert [command.trial for command in store.unclaimed(stale_after_s=0)] == [0, 1]
    taken = store.claim(command_id, "w2", stale_after_s=0)
    assert taken is not None
    assert taken.attempts == 2
    assert not store.heartbeat(command_id, "dead")
    assert not store.finish(command_id, "dead", {"accuracy": 0.1})
    assert store.finish(command_id, "w2", error="the teacher does not fit")
    assert (store.command(command_id).status, store.command(command_id).error) == ("failed", "the teacher does not fit")


def test_released_command_is_queued_as_if_not_begun(store: Store, run_id: str) -> None:
    command_id = f"{run_id}/0/train"
    store.claim(command_id, "w1")
    store.release(command_id, "w2")
    assert store.command(command_id).worker == "w1"
    store.release(command_id, "w1")
    command = store.command(command_id)
    assert (command.status, command.attempts, command.worker, command.heartbeat_at) == ("queued", 0, None, None)
    assert store.claim(command_id, "w2") is not None


def test_stopped_commands(store: Store, run_id: str) -> None:
    """A queued command is over at once; a running one is told at its next heartbeat, or given up when its worker is dead."""
    first, second = f"{run_id}/0/train", f"{run_id}/1/train"
    store.claim(first, "w1")
    store.commit_step(run_id, 1, state=None, stop=[first, second, "unknown"])
    assert [command.status for command in store.commands(run_id)] == ["stopping", "stopped"]
    assert not store.heartbeat(first, "w1")
    assert store.claim(first, "w2", stale_after_s=0) is None
    assert store.stop_stale(stale_after_s=60) == 0
    assert store.finish(first, "w1", stopped=True)
    assert store.command(first).status == "stopped"
    store.commit_step(run_id, 2, state=None, commands=[Command("third", run_id, 0, "train")])
    store.claim("third", "dead")
    store.commit_step(run_id, 3, state=None, stop=["third"])
    assert store.stop_stale(stale_after_s=0) == 1
    assert store.command("third").status == "stopped"


def test_unclaimed_skips_runs_that_are_over(store: Store, run_id: str) -> None:
    store.commit_step(run_id, 1, state=None, status="failed", error="broken")
    assert store.unclaimed() == []
    assert store.run(run_id).error == "broken"


def test_of_many_claims_one_succeeds(store: Store, run_id: str) -> None:
    """Threads of one process: the claims of each command are counted."""
    won: list[str] = []

    def claim(worker: str) -> None:
        if store.claim(f"{run_id}/0/train", worker):
            won.append(worker)

    threads = [threading.Thread(target=claim, args=(f"w{i}",)) for i in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert store.command(f"{run_id}/0/train").worker == won[0]
    assert store.command(f"{run_id}/0/train").attempts == 1


def test_events_are_numbered_and_read_on(store: Store, run_id: str) -> None:
    for i in range(5):
        store.log(run_id, f"line {i}", trial=i, level="warning", data={"loss": i / 2})
    assert [event.seq for event in store.events(run_id)] == [1, 2, 3, 4, 5, 6]
    assert [event.message for event in store.events(run_id, after_seq=4)] == ["line 3", "line 4"]
    assert [event.seq for event in store.events(run_id, limit=2)] == [1, 2]
    assert [event.seq for event in store.last_events(run_id, limit=2)] == [5, 6]
    last = store.last_events(run_id, limit=1)[0]
    assert (last.trial, last.level, last.data) == (4, "warning", {"loss": 2.0})


def test_what_the_policy_would_choose_is_found_among_the_log(store: Store, run_id: str) -> None:
    for trial in range(3):
        store.log(run_id, f"Trial {trial} begins", trial=trial, data={"kind": "train"})
        store.log(run_id, f"Trial {trial} ends", trial=trial, data={"policy": {"entropy": 1.0 / (trial + 1)}})
    assert [event.data["policy"]["entropy"] for event in store.policies(run_id)] == [1.0, 0.5, 1 / 3]
    assert [event.trial for event in store.policies(run_id, limit=2)] == [1, 2]
    assert store.policies("another") == []


def test_measurements_and_artifacts(store: Store, run_id: str) -> None:
    for median_ms in (2.0, 1.0):
        store.add_measurement(
            Measurement("L1", "host", "fp32", 2, 128, median_ms, 0.9, None, 100, "measured", run_id=run_id, trial=0)
        )
    assert [(m.median_ms, m.p90_ms, m.trial) for m in store.measurements("L1", "host")] == [(1.0, None, 0), (2.0, None, 0)]
    assert store.measurements(device="phone") == []
    for _ in range(2):
        store.add_artifact(ArtifactRef("ab" * 32, "model.zip", "bundle", 12, run_id, 0))
    store.add_artifact(ArtifactRef("ab" * 32, "model.zip", "bundle", 12, run_id, 1))
    assert [(artifact.trial, artifact.size) for artifact in store.artifacts(run_id)] == [(0, 12), (1, 12)]


def test_what_duckdb_says_of_a_keyboard_interrupt_is_one_again():
    """Its wording, seen when SIGINT came while the main thread was in a query."""
    with pytest.raises(KeyboardInterrupt), _keyboard_interrupts():
        raise RuntimeError("Query interrupted")
    with pytest.raises(RuntimeError, match="another"), _keyboard_interrupts():
        raise RuntimeError("another")


def test_requests_are_numbered_and_kept_until_a_step_has_taken_them(store: Store, run_id: str) -> None:
    store.ask(run_id, "pause")
    store.ask(run_id, "drop", {"trial": 1, "reason": "O'Neill"})
    assert [(each.seq, each.kind, each.values) for each in store.requests(run_id)] == [
        (1, "pause", {}),
        (2, "drop", {"trial": 1, "reason": "O'Neill"}),
    ]
    assert [each.seq for each in store.requests(run_id, after_seq=1)] == [2]
    assert store.asked() == [run_id]
    store.commit_step(run_id, 1, state={"requests": 2})
    assert store.asked() == []
    with pytest.raises(StoreError, match="there is no run 'nothing'"):
        store.ask("nothing", "pause")


def test_a_paused_run_gives_no_work_and_its_workers_are_told(store: Store, run_id: str) -> None:
    first, second = f"{run_id}/0/train", f"{run_id}/1/train"
    store.claim(first, "w1")
    store.commit_step(run_id, 1, state={}, status="paused")
    assert not store.run(run_id).over
    assert store.unclaimed(stale_after_s=0) == []
    assert store.claim(second, "w2") is None
    assert not store.heartbeat(first, "w1")
    store.release(first, "w1")
    store.commit_step(run_id, 2, state={}, status="running")
    assert [command.trial for command in store.unclaimed()] == [0, 1]


def test_a_paused_run_can_be_cancelled_and_a_pause_does_not_take_that_back(store: Store, run_id: str) -> None:
    store.commit_step(run_id, 1, state={}, status="paused")
    store.request_cancel(run_id)
    assert store.asked() == [run_id]
    store.commit_step(run_id, 2, state={}, status="paused")
    assert store.run(run_id).status == "cancelling"


def test_asking_for_more_opens_a_run_that_is_over(store: Store, run_id: str) -> None:
    store.commit_step(run_id, 1, state={}, status="done")
    assert store.open_runs() == []
    store.ask(run_id, "pause")
    assert store.run(run_id).over
    store.ask(run_id, "extend", {"trials": 20})
    assert [run.run_id for run in store.open_runs()] == [run_id]


def test_a_step_may_change_the_settings(store: Store, run_id: str) -> None:
    store.commit_step(run_id, 1, state={})
    assert store.run(run_id).settings == {"latency_ms": 5.0}
    store.commit_step(run_id, 2, state={}, settings={"latency_ms": 5.0, "trials": 20})
    assert store.run(run_id).settings["trials"] == 20


def test_a_command_knows_when_it_was_queued_begun_and_ended(store: Store, run_id: str) -> None:
    command_id = f"{run_id}/0/train"
    assert store.command(command_id).started_at is None
    store.claim(command_id, "w1")
    store.finish(command_id, "w1", {})
    command = store.command(command_id)
    assert command.created_at <= command.started_at <= command.finished_at
    assert [each.command_id for each in store.timeline(run_id)] == [command_id]
    assert store.timeline(run_id)[0].result is None
