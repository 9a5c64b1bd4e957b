"""Teachers of which students learn answers alone: RoBERTa with a tokenizer of its own, and a BERT with another vocabulary."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny import PAIRS, SENTENCES, TINY, write_model

from compiler.quiet import never
from data.errors import Cancelled, ModelError, TrainingError
from data.tasks import Task, make_split
from engine.candidates import evaluate_candidate
from engine.ground import ground_of
from engine.logits_teacher import LogitsTeacher
from engine.pace import silent
from engine.problem import Problem
from engine.settings import Settings
from engine.teacher import Teacher, load_teacher
from engine.tuned_teacher import tuned_teacher

pytestmark = pytest.mark.usefixtures("steps_of_100_ms", "in_float32")


def _task(kind: str = "classification") -> Task:
    regression = kind == "regression"
    labels = [float(first.split()[0] == second.split()[0]) * (4 if regression else 1) for first, second in PAIRS]
    split = make_split([a for a, _ in PAIRS], [b for _, b in PAIRS], labels, regression=regression)
    names = () if regression else ("other", "same")
    return Task("alike", kind, 2, names, "pearson" if regression else "accuracy", split, split)


def _roberta(folder: Path, outputs: int = 2, **changes: object) -> Path:
    """A RoBERTa classifier with random weights, and byte pairs learned from the sentences."""
    from tokenizers import ByteLevelBPETokenizer
    from transformers import RobertaConfig, RobertaForSequenceClassification, RobertaTokenizerFast

    folder.mkdir()
    pairs = ByteLevelBPETokenizer()
    pairs.train_from_iterator(SENTENCES, vocab_size=300, special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    pairs.save_model(str(folder))
    RobertaTokenizerFast(vocab=str(folder / "vocab.json"), merges=str(folder / "merges.txt")).save_pretrained(str(folder))
    torch.manual_seed(0)
    config = RobertaConfig(
        vocab_size=300, hidden_size=24, num_hidden_layers=2, num_attention_heads=2, intermediate_size=48, max_position_embeddings=66,
        num_labels=outputs, initializer_range=0.5, pad_token_id=1, **changes,
    )  # fmt: skip
    RobertaForSequenceClassification(config).save_pretrained(str(folder))
    return folder


@pytest.fixture
def problem(teacher: Teacher) -> Problem:
    return Problem(_task(), teacher.tokenizer, 32)


def _outputs(folder: Path, problem: Problem) -> torch.Tensor:
    return LogitsTeacher.of(str(folder), problem.task).outputs(problem, 32, 0, silent, never)


def _by_transformers(folder: Path) -> torch.Tensor:
    """One pair after the other."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(folder))
    model = AutoModelForSequenceClassification.from_pretrained(str(folder)).eval()
    with torch.no_grad():
        return torch.cat([model(**tokenizer(a, b, return_tensors="pt")).logits for a, b in PAIRS])


def test_a_classifier_answers_as_transformers_has_it_and_is_asked_once(
    problem: Problem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = _roberta(tmp_path / "roberta")
    first = _outputs(folder, problem)
    torch.testing.assert_close(first, _by_transformers(folder), atol=1e-4, rtol=1e-4)
    monkeypatch.setattr(LogitsTeacher, "_asked", lambda *_: pytest.fail("what it answered is kept"))
    assert torch.equal(_outputs(folder, problem), first)


def test_labels_are_matched_by_their_names(problem: Problem, tmp_path: Path) -> None:
    folder = _roberta(tmp_path / "roberta", id2label={0: "SAME", 1: "OTHER"}, label2id={"SAME": 0, "OTHER": 1})
    torch.testing.assert_close(_outputs(folder, problem), _by_transformers(folder).flip(1), atol=1e-4, rtol=1e-4)


def test_numbers_come_in_the_scale_of_the_labels(teacher: Teacher, tmp_path: Path) -> None:
    task = _task("regression")
    own, asked = Problem(task, teacher.tokenizer, 32), _by_transformers(_roberta(tmp_path / "roberta", 1))[:, 0]
    found = _outputs(tmp_path / "roberta", own)[:, 0]
    labels = own.split("final").examples.labels
    assert found.mean() == pytest.approx(float(labels.mean()), abs=1e-4)
    assert abs(float(torch.corrcoef(torch.stack([found, asked]))[0, 1])) == pytest.approx(1, abs=1e-4)
    assert float((found - labels).square().mean()) <= float(labels.var(correction=0)) + 1e-5


def test_an_encoder_without_a_head_is_fine_tuned_with_its_own_vocabulary(problem: Problem, tmp_path: Path) -> None:
    folder = write_model(tmp_path / "other")
    words = (folder / "vocab.txt").read_text().split("\n")
    (folder / "vocab.txt").write_text("\n".join([*words[:5], *reversed(words[5:])]))
    other = load_teacher(str(folder))
    expected = tuned_teacher(other, Problem(problem.task, other.tokenizer, 32), 0, silent, never).outputs
    assert torch.equal(_outputs(folder, problem), expected)


def test_it_can_be_stopped(problem: Problem, tmp_path: Path) -> None:
    asked = LogitsTeacher.of(str(_roberta(tmp_path / "roberta")), problem.task)
    with pytest.raises(Cancelled):
        asked.outputs(problem, 32, 0, silent, lambda: True)


def test_what_cannot_answer_is_refused_in_one_line(problem: Problem, tmp_path: Path) -> None:
    folder = _roberta(tmp_path / "roberta", 3)
    with pytest.raises(ModelError, match="answers with 3 numbers, task alike asks for 2"):
        LogitsTeacher.of(str(folder), problem.task)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "id2label": {"0": "a", "1": "b"}}))
    (folder / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(ModelError, match="cannot be read"):
        _outputs(folder, problem)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match="pickled ones are never read"):
        LogitsTeacher.of(str(folder), problem.task)
    (folder / "config.json").unlink()
    with pytest.raises(ModelError, match=r"no readable config\.json"):
        LogitsTeacher.of(str(folder), problem.task)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    (tmp_path / "text.txt").write_text("the man plays a song . the woman eats .\n" * 5)
    monkeypatch.setattr("engine.ground.load_task", lambda name: _task())
    ground_of.cache_clear()
    return Settings(
        task="alike", teacher=str(write_model(tmp_path / "teacher")), text=str(tmp_path / "text.txt"), seq_len=32, distil_tokens=500,
        final_epochs=1, ffn_sizes=(8, 16),
    )  # fmt: skip


def test_a_student_learns_what_it_answers(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the losses name: a teacher for logits is there to be learned from."""
    folder = _roberta(tmp_path / "roberta")
    monkeypatch.setattr("engine.ground.check_answers", lambda *_: None)
    student, seen = replace(TINY, ffn_sizes=(16, 8)), []
    for asked in (settings, replace(settings, logits_teacher=str(folder))):
        seen.append(
            load_file(str(evaluate_candidate(student, asked, stage="final", workdir=tmp_path / str(len(seen))).weights))
        )
    assert not torch.equal(seen[0]["classifier.weight"], seen[1]["classifier.weight"])


def test_one_that_is_no_better_than_chance_teaches_nobody(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = _roberta(tmp_path / "roberta")
    monkeypatch.setattr(LogitsTeacher, "_asked", lambda *_: torch.tensor([[1.0, 0.0]]).repeat(len(PAIRS), 1))
    with pytest.raises(TrainingError, match=f"teacher {folder} has accuracy .* no better than one answer for all"):
        evaluate_candidate(TINY, replace(settings, logits_teacher=str(folder)), stage="final", workdir=tmp_path / "work")
