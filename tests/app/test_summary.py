"""What a run's rows add up to: progress, the best trial, the tally, the table."""

from dataclasses import replace
from datetime import UTC, datetime

from stories import trial

from app import summary
from data.records import Command, Event, Run

NOW = datetime(2026, 11, 21, tzinfo=UTC)


def run(status="running", **settings):
    return Run("run", NOW, NOW, status, {"latency_ms": 5.0, "trials": 8} | settings, None, 1, None)


def event(seq, message, trial_number=None, **data):
    return Event("run", seq, NOW, "info", trial_number, message, data)


def test_best_ignores_what_is_over_the_target():
    fast, slow = trial("run", 1), replace(trial("run", 2), latency_ms=6.0, accuracy=0.99)
    assert summary.best_trial(run(), [fast, slow]) is fast


def test_best_prefers_a_final_accuracy_even_when_it_is_lower_than_an_early_one():
    early, final = trial("run", 2), replace(trial("run", 1), final_accuracy=0.70)
    assert summary.best_trial(run(), [early, final]) is final


def test_of_equals_the_faster_is_best():
    slow, fast = trial("run", 2), replace(trial("run", 2), trial=3, latency_ms=3.0)
    assert summary.best_trial(run(), [slow, fast]) is fast


def test_no_best_without_an_accuracy():
    assert summary.best_trial(run(), [trial("run", 3)]) is None


def command(number, kind):
    return Command(f"run.{number}.{kind}", "run", number, kind, status="running")


def test_progress_counts_what_is_over():
    trials = [trial("run", 1), trial("run", 3), replace(trial("run", 2), status="running", accuracy=None)]
    state = summary.progress(run(), trials)
    assert (state.finished, state.total, state.fraction) == (2, 8, 0.25)
    assert summary.progress(run(trials=0), []).fraction == 0.0


def test_a_step_is_a_command_under_way_with_its_newest_word():
    events = [
        event(1, "Trial 2: training, epoch 1", 2, kind="train", fraction=0.1),
        event(2, "Trial 2: compiled into 24 kernels", 2),
        event(3, "Trial 2: training, epoch 1", 2, kind="train", fraction=0.4),
        event(4, "Trial 1: training, epoch 1", 1, kind="train", fraction=0.9),
    ]
    assert summary.steps([command(2, "train")], events) == [summary.Step("Trial 2: training, epoch 1", 0.4)]


def test_a_step_without_a_word_or_a_fraction_still_has_a_title():
    events = [event(1, "Reading teacher minilm", kind="prepare")]
    working = [command(None, "prepare"), command(3, "compile"), command(None, "other")]
    assert [step.title for step in summary.steps(working, events)] == ["Reading teacher minilm", "Trial 3: compiling", "Other"]
    assert {step.fraction for step in summary.steps(working, events)} == {None}


def test_the_log_keeps_the_newest_of_repeated_progress():
    events = [
        event(1, "epoch 1, step 10", 2, kind="train", fraction=0.1),
        event(2, "said"),
        event(3, "epoch 1, step 20", 2, kind="train", fraction=0.2),
        event(4, "epoch 1, step 5", 3, kind="train", fraction=0.1),
    ]
    assert [each.seq for each in summary.log_events(events)] == [4, 3, 2]


def test_the_notable_trial_is_the_fastest_else_the_newest():
    lost = replace(trial("run", 9), latency_ms=None)
    assert summary.notable_trial([trial("run", 3), trial("run", 6), lost]).trial == 6
    assert summary.notable_trial([lost]) is lost
    assert summary.notable_trial([]) is None


def test_a_message_names_its_trial_once():
    assert summary.titled(event(1, "training", 2)) == "Trial 2: training"
    assert summary.titled(event(1, "Trial 2: training", 2)) == "Trial 2: training"
    assert summary.titled(event(1, "started")) == "started"


def test_tally():
    trials = [
        trial("run", 1),
        trial("run", 3),
        replace(trial("run", 2), status="failed"),
        replace(trial("run", 4), status="running"),
    ]
    assert summary.tally(trials) == "1 within target, 1 over target, 1 failed, 1 in progress"
    assert summary.tally([]) == "no trials yet"


def test_rows_carry_units_and_the_source():
    (row,) = summary.trial_rows([trial("run", 3)])
    assert row["Status"] == "Over target"
    assert row["Latency (ms)"] == 7.05
    assert row["p10 to p90 (ms)"] == "6.77 to 7.68"
    assert row["Source"] == "measured"
    assert row["Accuracy"] is None
    assert "over the limit" in row["Reason"]


def test_rows_of_predicted_latencies_have_an_interval_instead():
    (row,) = summary.trial_rows([replace(trial("run", 3), latency_source="predicted")])
    assert row["90 % interval (ms)"] == "6.77 to 7.68"
    assert "p10 to p90 (ms)" not in row


def test_sources_are_listed_once():
    assert summary.sources([trial("run", 1), trial("run", 2)]) == "measured"
    assert summary.sources([trial("run", 1), replace(trial("run", 2), latency_source="predicted")]) == "measured and predicted"
