"""How a search went: reward and accuracy by trial, the sparkline, and who did what when."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from stories import trial

from app.charts import csv_of
from app.preferences import Preferences, current, keep
from app.sparkline import sparkline
from app.steps_figure import steps_figure
from app.summary import best_so_far
from app.timeline_figure import bars, share_text, timeline_figure
from app.wording import megabytes
from data.home import home
from data.records import Command

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
TRIALS = [trial("run", number) for number in range(1, 9)]


def command(kind, worker, begun_s, ended_s, number=1, status="done"):
    ended = None if ended_s is None else NOW + timedelta(seconds=ended_s)
    begun = NOW + timedelta(seconds=begun_s)
    return Command(f"r.{number}.{kind}", "r", number, kind, status=status, worker=worker, started_at=begun, finished_at=ended)


def test_best_so_far_rises_and_passes_over_what_is_not_trained():
    over = replace(trial("run", 3), accuracy=0.99)
    assert best_so_far([TRIALS[0], over, replace(TRIALS[1], trial=4), trial("run", 5)]) == [(1, 0.731), (4, 0.772), (5, 0.772)]
    assert best_so_far([over]) == []


def test_a_sparkline_says_what_it_shows_and_is_empty_without_an_accuracy():
    assert "from 0.731 in trial 1 to 0.772" in sparkline(TRIALS, "#000000")
    assert sparkline([trial("run", 3)], "#000000") == ""
    assert "<svg" in sparkline([TRIALS[0]], "#000000")


def test_each_trial_has_its_reward_and_its_accuracy_where_it_has_them():
    figure = steps_figure(TRIALS, "Pearson")
    rewards = [x for trace in figure.data if trace.yaxis == "y" for x in trace.x]
    scores = [x for trace in figure.data if trace.yaxis == "y2" and trace.mode == "markers" for x in trace.x]
    assert sorted(rewards) == list(range(1, 9))
    assert sorted(scores) == [1, 2, 4, 5, 6, 7, 8]
    assert figure.layout.yaxis2.title.text == "Accuracy (Pearson)"
    assert "over the limit" in next(trace for trace in figure.data if trace.name == "Over target").customdata[0][3]


@pytest.mark.parametrize("trials", [[], TRIALS[:1], [trial("run", 3)]], ids=["none", "one", "all over the target"])
def test_odd_runs_have_axes_all_the_same(trials):
    assert steps_figure(trials, "accuracy", dark=True).layout.yaxis.title.text == "Reward"


def test_a_bar_is_a_command_from_its_beginning_to_its_end():
    drawn = bars([command("train", "a", 0, 40), command("compile", "b", 0, 5), command("measure", "b", 5, 9)], NOW, UTC)
    assert [(bar.worker, bar.kind, bar.seconds) for bar in drawn] == [
        ("worker 1", "train", 40),
        ("worker 2", "compile", 5),
        ("worker 2", "measure", 4),
    ]
    assert share_text(drawn).startswith("Workers' time: train 82%")
    figure = timeline_figure(drawn)
    assert sum(len(trace.y) for trace in figure.data) == 3
    assert figure.layout.yaxis.categoryarray == ("worker 2", "worker 1")


def test_what_is_under_way_ends_now_and_what_nobody_has_begun_is_not_drawn():
    waiting = Command("r.2.train", "r", 2, "train")
    (bar,) = bars([command("train", "a", -30, None, status="running"), waiting], NOW, UTC)
    assert bar.seconds == 30
    assert share_text([]) == ""
    assert timeline_figure([]).layout.xaxis.title.text == "Time of day"


def test_rows_become_csv_with_every_column():
    assert csv_of([{"a": 1}, {"a": 2, "b": "x,y"}]) == 'a,b\r\n1,\r\n2,"x,y"\r\n'
    assert csv_of([]) == "\r\n"


def test_preferences_are_kept_and_a_damaged_file_is_the_defaults(fresh_home):
    assert current() == Preferences()
    keep(Preferences(sizes="MiB", pictures="png"))
    assert current() == Preferences("MiB", "png")
    assert megabytes(1 << 20) == "1.0 MiB"
    (home() / "preferences.json").write_text('{"sizes": "furlongs", "pictures": ')
    assert current() == Preferences()
