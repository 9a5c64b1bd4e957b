"""The benchmarks of training: students beside their teacher, gone on with after an interruption, and what the tables say."""

import argparse
import csv
import json
from pathlib import Path

import pytest
from tiny import PAIRS, write_model

from benchmarks import distill, training
from data.errors import UsageError


@pytest.fixture
def options(tmp_path: Path) -> argparse.Namespace:
    table = tmp_path / "alike.csv"
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["one", "two", "score"])
        writer.writerows([first, second, 1.0 + 4.0 * (first.split()[0] == second.split()[0])] for first, second in PAIRS * 2)
    (tmp_path / "text.txt").write_text("the man plays a song . the woman eats .\n" * 5)
    return argparse.Namespace(
        tasks=f"{table}?text=one&pair=two&label=score&kind=regression",
        teacher=str(write_model(tmp_path / "teacher")),
        architecture="L2-H16-A4-F16",
        text=str(tmp_path / "text.txt"),
        seeds=2,
        epochs=1,
        seq_len=32,
        distil_tokens=500,
        distil_seconds=60,
        losses="hidden,attention",
        teacher_epochs=1,
        parts=",".join(distill.PARTS),
        threads=None,
        json=tmp_path / "report.json",
    )


def test_students_are_scored_beside_their_teacher(
    options: argparse.Namespace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    distill.run(options)
    report = json.loads(options.json.read_text())
    (found,) = report["tasks"].values()
    assert {part: score["metrics"]["pearson"]["seeds"] for part, score in found.items()} == {
        "teacher": 1,
        "distilled": 2,
        "plain": 2,
    }
    assert found["distilled"]["by_seed"] != found["plain"]["by_seed"]
    first = capsys.readouterr().out
    monkeypatch.setattr("engine.training.train", lambda *_: pytest.fail("what is trained is kept"))
    distill.run(options)
    assert capsys.readouterr().out == first


def test_points_are_percent_of_the_metric_between_means() -> None:
    def part(mean: float, deviation: float | None = None) -> dict:
        return {"metrics": {"f1": {"seeds": 3, "mean": mean, "deviation": deviation}}}

    tasks = {
        "mrpc": {"teacher": part(0.9), "distilled": part(0.88, 0.01), "plain": part(0.845, 0.02)},
        "rte": {"plain": part(0.5)},
    }
    names = {"architecture": "L3", "epochs": 3, "teacher_epochs": 2, "losses": "hidden", "distil_tokens": 1000}
    lines = distill.render({**names, "tasks": tasks}).splitlines()
    assert lines[2].split() == ["mrpc", "f1", "0.9000", "0.8800", "±", "0.0100", "0.8450", "±", "0.0200", "-2.0", "+3.5"]
    assert lines[3].split() == ["rte", "f1", "0.5000"]


def test_throughput_is_compared_within_each_round() -> None:
    rounds = [
        {
            "ours": {"rows_per_s": ours, "cpu_s": 1.0, "score": 0.8},
            "Trainer": {"rows_per_s": theirs, "cpu_s": 2.5, "score": 0.79},
        }
        for ours, theirs in ((10.0, 5.0), (30.0, 10.0), (8.0, 2.0))
    ]
    report = {"architecture": "L3", "rows": 100, "task": "stsb", "epochs": 1, "threads": 2, "rounds": rounds}
    line = training.render(report).splitlines()[-1].split()
    assert line == ["Trainer", "5.0", "3.00", "2.50", "0.7900", "0.7900", "0.7900", "0.7900"]


def test_what_trainer_needs_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match="pip install accelerate"):
        training.run(argparse.Namespace(json=None))
