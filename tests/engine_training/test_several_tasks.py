"""One body for several tasks: rows of all are trained on and held out, and a compiled model answers sentences and pairs alike."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import save_file
from tiny import PAIRS, SENTENCES, TINY, write_model

from app.answers import scores_of
from data.errors import ModelError
from data.tasks import JointTask, Task, _joint, make_split
from engine.candidates import evaluate_candidate, export_candidate
from engine.encoder import Encoder
from engine.ground import ground_of
from engine.logits_teacher import LogitsTeacher
from engine.problem import Problem, heads_of, pooling_of, sample_texts
from engine.settings import Settings
from engine.teacher import Teacher

pytestmark = pytest.mark.usefixtures("steps_of_100_ms")


def _tasks() -> JointTask:
    pairs = make_split([a for a, _ in PAIRS], [b for _, b in PAIRS], [float(a == b) for a, b in PAIRS], regression=True)
    single = make_split(SENTENCES * 4, None, [number % 2 for number in range(20)])
    alike = Task("alike", "regression", 2, (), "pearson", pairs, pairs)
    return _joint([alike, Task("first", "classification", 1, ("no", "yes"), "accuracy", single, single)])


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    (tmp_path / "text.txt").write_text("the man plays a song . the woman eats .\n" * 5)
    for place in ("engine.ground", "data.tasks"):
        monkeypatch.setattr(f"{place}.load_task", lambda name: _tasks())
    ground_of.cache_clear()
    return Settings(
        task="alike,first", teacher=str(write_model(tmp_path / "teacher")), text=str(tmp_path / "text.txt"), seq_len=32,
        distil_tokens=500, final_epochs=1, ffn_sizes=(8, 16),
    )  # fmt: skip


def test_rows_of_each_task_are_held_out_and_trained_on(teacher: Teacher) -> None:
    problem = Problem(_tasks(), teacher.tokenizer, 32)
    early, final = problem.split("early"), problem.split("final")
    assert early.counts == (5, 4)
    assert final.counts == (25, 20)
    assert early.examples.heads is not None
    assert early.examples.heads.tolist() == [0] * 20 + [1] * 16
    assert [(head.kind, head.start, head.stop) for head in problem.heads] == [("regression", 0, 1), ("classification", 1, 3)]
    assert problem.pooling == "pair"
    assert {type(text) for text in sample_texts(_tasks(), 8)} == {str, tuple}


@pytest.mark.parametrize("losses", [("hidden",), ("hidden", "logits")])
@pytest.mark.parametrize("accuracy", ["trained", "supernet"])
def test_a_candidate_is_scored_on_all(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, losses: tuple[str, ...], accuracy: str
) -> None:
    monkeypatch.setattr("engine.ground.check_answers", lambda *_: None)  # a tiny teacher knows nothing
    asked, student = replace(settings, losses=losses, accuracy=accuracy), replace(TINY, ffn_sizes=(16, 8))
    for stage in ("early", "final"):
        found = evaluate_candidate(student, asked, stage=stage, workdir=tmp_path / "work")  # type: ignore[arg-type]
        assert list(found.metrics) == ["mean", "alike pearson", "alike spearman", "first accuracy"]
        assert found.accuracy == pytest.approx((found.metrics["alike pearson"] + found.metrics["first accuracy"]) / 2)
        assert found.outputs == 3


def test_the_compiled_model_answers_a_sentence_and_a_pair(settings: Settings, tmp_path: Path) -> None:
    """Of a sentence alone the second mean is of no tokens: zero, not 0 / 0."""
    from compiler.build import build
    from compiler.session import Session

    task = _tasks()
    save_file(Encoder(TINY, task.outputs, pooling_of(task), 3).state_dict(), tmp_path / "weights.safetensors")
    request = export_candidate(TINY, settings, tmp_path / "weights.safetensors", tmp_path / "exported")
    samples = np.load(request.samples)
    lone = samples["token_type_ids"].sum(axis=1) == 0
    assert lone.any()
    assert not lone.all()
    built = build(request, tmp_path / "built")
    assert built.max_abs_error < 1e-4
    with Session(built.folder, 1) as session:
        answers = session.run(*(samples[name] for name in ("input_ids", "token_type_ids", "attention_mask")))
    np.testing.assert_allclose(answers, samples["expected"], atol=1e-4)


def test_scores_are_of_the_tasks_that_take_what_was_given() -> None:
    alike = {"name": "alike", "kind": "regression", "pairs": True, "label_names": [], "outputs": [0, 1]}
    first = {"name": "first", "kind": "classification", "pairs": False, "label_names": ["no", "yes"], "outputs": [1, 3]}
    task, outputs = {"kind": "joint", "parts": [alike, first]}, np.array([0.7, 0.0, 0.0])
    assert scores_of(outputs, task, pair=True) == {"alike: score": pytest.approx(0.7)}
    assert scores_of(outputs, task, pair=False) == {"first: no": 0.5, "first: yes": 0.5}


def test_a_teacher_of_logits_alone_is_for_one_task(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="answers one task"):
        LogitsTeacher.of(str(tmp_path), _tasks())
    assert len(heads_of(_tasks())) == 2
