"""Runs as the tests of `jobs` begin and check them."""

from data.store import Store, new_run_id
from engine.search import initial_state
from engine.settings import Settings

SETTINGS = Settings(task="paraphrase", latency_ms=4.5, trials=4, strategy="random", seed=1)


def begin(store: Store, settings: Settings = SETTINGS) -> str:
    """A new run, as `start_run` makes it, without asking the owners of names."""
    run_id = new_run_id()
    store.create_run(run_id, settings.to_dict(), initial_state(run_id, settings).to_json())
    return run_id


def check_done(store: Store, run_id: str, settings: Settings = SETTINGS) -> None:
    """A run that lost no trial and did none twice."""
    run = store.run(run_id)
    assert (run.status, run.error) == ("done", None)
    trials = store.trials(run_id)
    assert [trial.trial for trial in trials] == list(range(1, settings.trials + 1))
    assert {trial.status for trial in trials} <= {"trained", "over_limit"}
    best = trials[run.state["best"] - 1]
    assert best.final_accuracy is not None
    commands = store.commands(run_id)
    assert all(command.over or command.status == "stopping" for command in commands)
    kinds = [(command.trial, command.kind) for command in commands]
    assert len(set(kinds)) == len(kinds)
    said = [event.message for event in store.events(run_id, limit=5000) if ": reward" in event.message]
    assert len(set(said)) == len(said) == sum(trial.reward is not None for trial in trials)
