"""Numbers one can trust: the dev split decides nothing, and several seeds say how far one may be off."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny import PAIRS, TINY, write_model

from compiler.quiet import never
from data.errors import TrainingError
from data.tasks import Task, make_split
from engine.candidates import CandidateResult, evaluate_candidate, spread, training_facts
from engine.ground import ground_of
from engine.pace import silent
from engine.problem import Problem, Stage
from engine.settings import Settings
from engine.tuned_teacher import tuned_teacher

pytestmark = pytest.mark.usefixtures("steps_of_100_ms")

STUDENT = replace(TINY, ffn_sizes=(16, 8))
DEV = PAIRS[:10]


def _task(dev: list[tuple[str, str]], flipped: bool = False) -> Task:
    def split(pairs: list[tuple[str, str]], right: bool) -> object:
        labels = [float((first.split()[0] == second.split()[0]) == right) for first, second in pairs]
        return make_split([first for first, _ in pairs], [second for _, second in pairs], labels, regression=True)

    return Task("alike", "regression", 2, (), "pearson", split(PAIRS, True), split(dev, not flipped))  # type: ignore[arg-type]


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    (tmp_path / "text.txt").write_text("the man plays a song . the woman eats .\n" * 5)
    _use(monkeypatch, _task(DEV))
    return Settings(
        task="alike",
        teacher=str(write_model(tmp_path / "teacher")),
        text=str(tmp_path / "text.txt"),
        seq_len=32,
        distil_tokens=500,
        final_epochs=1,
        ffn_sizes=(8, 16),
        losses=("hidden", "attention", "logits"),
    )


def _use(monkeypatch: pytest.MonkeyPatch, task: Task) -> None:
    monkeypatch.setattr("engine.ground.load_task", lambda name: task)
    ground_of.cache_clear()


def _evaluated(settings: Settings, stage: Stage, workdir: Path) -> CandidateResult:
    return evaluate_candidate(STUDENT, settings, stage=stage, workdir=workdir)


@pytest.mark.parametrize("stage", ["early", "final"])
def test_the_dev_split_changes_no_weight(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: Stage
) -> None:
    """Trained beside another dev split, with other sentences and the opposite labels, a student is the same to the last bit. Only its final
    number differs; the early one, by which candidates are chosen, does not."""
    first = _evaluated(settings, stage, tmp_path / "one")
    _use(monkeypatch, _task(PAIRS[10:20], flipped=True))
    monkeypatch.setenv("POCKETFORMER_HOME", str(tmp_path / "another-home"))
    second = _evaluated(settings, stage, tmp_path / "two")
    before, after = load_file(str(first.weights)), load_file(str(second.weights))
    assert all(torch.equal(weight, after[name]) for name, weight in before.items())
    assert (first.accuracy == second.accuracy) == (stage == "early")


def test_early_accuracy_is_scored_on_rows_that_are_not_trained_on(settings: Settings) -> None:
    teacher = ground_of(settings).teacher
    texts = [f"{'a ' * number}man runs ." for number in range(1, 26)]
    unlike = _task(DEV)
    unlike = replace(unlike, text_columns=1, train=make_split(texts, None, [float(i) for i in range(25)], regression=True))
    split = Problem(unlike, teacher.tokenizer, 32).split("early")
    trained = {tuple(row.ids) for row in split.examples.rows}
    assert not trained & {tuple(row.ids) for row in split.scored_rows}
    assert len(trained) + len(split.scored_rows) == 25


def test_rows_of_the_dev_split_that_stand_in_the_train_split_are_counted(settings: Settings) -> None:
    facts = training_facts(settings, _task([*DEV[:3], ("the flute .", "the song .")]))
    assert (facts["dev_rows"], facts["dev_rows_in_train"]) == (4, 3)
    assert training_facts(replace(settings, distil_tokens=0), _task(DEV))["losses"] == ["logits"]


def test_each_seed_is_trained_and_the_first_ships(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = _evaluated(settings, "final", tmp_path / "work")
    three = _evaluated(replace(settings, final_seeds=3), "final", tmp_path / "work")
    assert alone.metrics_by_seed == (alone.metrics,)
    assert three.metrics_by_seed[0] == three.metrics == alone.metrics
    assert len({each["pearson"] for each in three.metrics_by_seed}) == 3
    assert [path.name for path in (tmp_path / "work").glob("*.safetensors")] == ["final.safetensors"]
    monkeypatch.setattr("engine.training.train", lambda *_: pytest.fail("what is trained is not trained again"))
    assert _evaluated(replace(settings, final_seeds=3), "final", tmp_path / "work") == three


def test_a_seed_changes_no_body(settings: Settings, tmp_path: Path) -> None:
    _evaluated(replace(settings, final_seeds=2), "final", tmp_path / "work")
    assert (
        len(list((tmp_path / "home" / "cache" / "trunks").glob("*/body.safetensors"))) == 2
    )  # the trunk, and one tailored body


def test_mean_and_deviation() -> None:
    assert spread([0.8, 0.82, 0.84]) == {"seeds": 3, "mean": pytest.approx(0.82), "deviation": pytest.approx(0.02)}
    assert spread([0.8])["deviation"] is None


def test_the_teacher_is_tuned_once_and_scored(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    ground = ground_of(settings)
    first = tuned_teacher(ground.teacher, ground.problem, 0, silent, never)
    monkeypatch.setattr("engine.tuned_teacher.train", lambda *_: pytest.fail("the teacher is tuned once"))
    again = tuned_teacher(ground.teacher, ground.problem, 0, silent, never)
    assert json.dumps(first.metrics) == json.dumps(again.metrics)
    assert list(first.metrics) == ["pearson", "spearman"]
    assert torch.equal(first.outputs, again.outputs)
    assert first.outputs.shape == (len(PAIRS), 1)


def test_a_teacher_worse_than_chance_is_told_and_teaches_nobody(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.tuned_teacher.predict", lambda _encoder, rows, *_: torch.zeros(len(rows), 1))
    says = (
        r"has pearson 0\.000 on the training rows of alike, no better than one answer for all \(0\.000\); take another teacher"
    )
    with pytest.raises(TrainingError, match=says):
        _evaluated(settings, "final", tmp_path / "work")
    without = replace(settings, losses=("hidden", "attention"))
    assert _evaluated(without, "final", tmp_path / "work").metrics
