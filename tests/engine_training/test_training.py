"""Fine-tuning learns, goes on where it was killed, and says what is wrong."""

import random
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
import torch
from tiny import PAIRS, TINY

from compiler.quiet import never
from data.errors import Cancelled, TrainingError
from engine.encoder import Encoder
from engine.losses import feature_map_transfer
from engine.pace import silent
from engine.student import cut, inherited
from engine.teacher import Teacher
from engine.tokens import batches_of_rows, collate, encode
from engine.training import Examples, Head, Recipe, _Run, predict, train
from engine.transfer import Transfer

RECIPE = Recipe(epochs=100, seed=0, learning_rate=1e-4)
NUMBER, CLASSES = (Head("regression", 0, 1),), (Head("classification", 0, 2),)


@pytest.fixture
def same(teacher: Teacher) -> Examples:
    """Whether the two sentences of a pair begin with the same word; the labels are of a scale of their own."""
    labels = [float(first.split()[0] == second.split()[0]) for first, second in PAIRS]
    return Examples(encode(teacher.tokenizer, PAIRS, 32), 10 + 40 * torch.tensor(labels))


def _fresh(outputs: int = 1) -> Encoder:
    return Encoder(TINY, outputs, "pair", seed=5)


def test_a_regression_is_learned_on_its_own_scale(same: Examples, tmp_path: Path) -> None:
    encoder = _fresh()
    seconds = train(encoder, same, RECIPE, NUMBER, 0, tmp_path / "c", silent, never)
    predicted = predict(encoder, same.rows, 0, never)[:, 0]
    assert seconds > 0
    assert torch.corrcoef(torch.stack([predicted, same.labels]))[0, 1] > 0.9
    assert 10 < predicted.mean() < 50


def test_classes_are_learned(same: Examples, tmp_path: Path) -> None:
    examples = replace(same, labels=(same.labels > 30).long())
    encoder = _fresh(2)
    train(encoder, examples, RECIPE, CLASSES, 0, tmp_path / "c", silent, never)
    assert (predict(encoder, same.rows, 0, never).argmax(dim=1) == examples.labels).float().mean() > 0.9


def test_several_heads_are_learned_on_one_body(same: Examples, tmp_path: Path) -> None:
    """Of two rows each, the same sentences: one is asked for a number, the other for a class."""
    count = len(same.rows)
    heads = (CLASSES[0], Head("regression", 2, 3))
    right = (same.labels > 30).float()
    owners = torch.tensor([0] * count + [1] * count)
    examples = Examples([*same.rows, *same.rows], torch.cat([right, same.labels]), heads=owners)
    encoder = _fresh(3)
    train(encoder, examples, RECIPE, heads, 0, tmp_path / "c", silent, never)
    outputs = predict(encoder, same.rows, 0, never)
    assert (outputs[:, :2].argmax(dim=1) == right).float().mean() > 0.9
    assert torch.corrcoef(torch.stack([outputs[:, 2], same.labels]))[0, 1] > 0.9
    assert 10 < outputs[:, 2].mean() < 50


@pytest.mark.parametrize("taught", [False, True])
def test_a_batch_of_several_tasks_has_the_mean_loss_of_its_rows(same: Examples, tmp_path: Path, taught: bool) -> None:
    heads, count = (CLASSES[0], Head("regression", 2, 3)), len(same.rows)
    owners = torch.tensor([number % 3 == 0 for number in range(count)], dtype=torch.int64)
    labels = torch.where(owners == 1, same.labels, (same.labels > 30).float())
    theirs = torch.linspace(-1, 1, 3 * count).reshape(count, 3) if taught else None
    run = _Run(_fresh(3), Examples(same.rows, labels, heads=owners), RECIPE, heads, 0, tmp_path / "c")
    outputs = torch.linspace(-2, 2, 3 * count).reshape(count, 3).flip(0)
    each = [
        run._loss(outputs[[row]], labels[[row]], None if theirs is None else theirs[[row]], owners[[row]])
        for row in range(count)
    ]
    assert float(run._loss(outputs, labels, theirs, owners)) == pytest.approx(float(torch.stack(each).mean()), rel=1e-5)


def test_a_teacher_can_be_learned_from_alone(same: Examples, tmp_path: Path) -> None:
    """Labels without information, but a teacher who knows."""
    examples = replace(same, labels=torch.zeros(len(PAIRS), dtype=torch.int64))
    right = (same.labels > 30).long()
    examples = replace(examples, teacher_outputs=20.0 * torch.nn.functional.one_hot(right, 2) - 10.0)
    encoder = _fresh(2)
    train(encoder, examples, RECIPE, CLASSES, 0, tmp_path / "c", silent, never)
    outputs = predict(encoder, same.rows, 0, never)
    preference = outputs[:, 1] - outputs[:, 0]
    assert preference[right == 1].min() > preference[right == 0].max()


def test_an_elastic_encoder_is_tuned_for_all_its_ffn_sizes(same: Examples, tmp_path: Path) -> None:
    """What it was not tuned for, a cut of it has to lose: the neurons that are left were never asked to do without the others."""

    def errors(choices: tuple[int, ...]) -> list[float]:
        encoder = _fresh()
        train(encoder, same, replace(RECIPE, ffn_choices=choices), NUMBER, 0, tmp_path / f"{choices}", silent, never)
        found = []
        for size in (8, 16, 32):
            part = inherited(replace(TINY, ffn_sizes=(size,) * TINY.layers), encoder.state_dict(), 1, "pair", 0)
            found.append(float((predict(part, same.rows, 0, never)[:, 0] - same.labels).square().mean()))
        return found

    elastic, rigid = errors((8, 16, 32)), errors(())
    assert elastic[0] < rigid[0] / 2
    assert elastic[1] < rigid[1] / 2
    assert max(elastic) < 0.5 * float(same.labels.var())


def test_what_a_step_of_an_elastic_encoder_trains(same: Examples, tmp_path: Path) -> None:
    recipe = replace(RECIPE, ffn_choices=(8, 16, 32))
    run = _Run(_fresh(), same, recipe, NUMBER, 0, tmp_path / "c")
    drawn = []
    for run.steps in range(30):
        largest, smallest, between = run._members()
        assert tuple(largest) == TINY.ffn_sizes
        assert tuple(smallest) == (8,) * TINY.layers
        drawn.append(tuple(between))
    assert {size for sizes in drawn for size in sizes} == {8, 16, 32}
    assert len(set(drawn)) > 20
    assert run._members() == [
        largest,
        smallest,
        list(between),
    ]  # by the step's number alone, so that a resumed run goes on alike


def test_auxiliary_transfer_keeps_a_student_near_its_teacher(teacher: Teacher, same: Examples, tmp_path: Path) -> None:
    """The same fine-tuning, with the teacher's layers to learn from beside the task and without."""
    architecture = replace(TINY, ffn_sizes=(16, 16))
    batch = collate(same.rows)

    def distance(transferred: bool) -> float:
        body, _ = cut(teacher.encoder, architecture, batch)
        student = inherited(architecture, body.state_dict(), 1, "pair", 0)
        transfer = Transfer.between(teacher.encoder, student, None, ("hidden", "attention")) if transferred else None
        train(student, same, replace(RECIPE, epochs=20), NUMBER, 0, tmp_path / f"{transferred}", silent, never, transfer)
        with torch.no_grad():
            ours, theirs = student.features(*batch).hidden[-1], teacher.encoder.features(*batch).hidden[-1]
        return float(feature_map_transfer(ours, theirs, batch.attention_mask))

    assert distance(True) < 0.8 * distance(False)


def test_word_embeddings_stay_as_they_are(same: Examples, tmp_path: Path) -> None:
    encoder = _fresh()
    before = encoder.embeddings.word_embeddings.weight.clone()
    train(encoder, same, replace(RECIPE, epochs=1), NUMBER, 0, tmp_path / "c", silent, never)
    assert torch.equal(before, encoder.embeddings.word_embeddings.weight)


def test_stopped_training_ends_as_if_it_had_not_been_stopped(same: Examples, tmp_path: Path) -> None:
    recipe = replace(RECIPE, epochs=6)
    whole = _fresh()
    train(whole, same, recipe, NUMBER, 0, tmp_path / "whole", silent, never)
    asked = count()
    with pytest.raises(Cancelled):
        train(_fresh(), same, recipe, NUMBER, 0, tmp_path / "parts", silent, lambda: next(asked) == 3)
    resumed = _fresh()
    train(resumed, same, recipe, NUMBER, 0, tmp_path / "parts", silent, never)
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[name], value, msg=name)


def test_a_step_in_parts_is_the_same_step(same: Examples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Long rows make a step longer than a waiting latency measurement should wait; it is then taken in parts."""
    recipe = replace(RECIPE, epochs=2)
    whole, parts = _fresh(), _fresh()
    train(whole, same, recipe, NUMBER, 0, tmp_path / "whole", silent, never)
    monkeypatch.setattr("engine.training._busy_tokens", lambda architecture: 64)
    train(parts, same, recipe, NUMBER, 0, tmp_path / "parts", silent, never)
    first, second = (predict(encoder, same.rows, 0, never) for encoder in (whole, parts))
    torch.testing.assert_close(first, second, atol=2e-2, rtol=1e-2)


def test_a_loss_that_is_no_number_is_told(same: Examples, tmp_path: Path) -> None:
    encoder = _fresh()
    encoder.layers[0].output.dense.bias.data.fill_(float("nan"))
    with pytest.raises(TrainingError, match="not a number"):
        train(encoder, same, RECIPE, NUMBER, 0, tmp_path / "c", silent, never)


def test_batches_hold_every_row_once_in_another_order_each_time() -> None:
    first, second = (batches_of_rows(70, 32, random.Random(seed)) for seed in (0, 1))
    for batches in (first, second):
        assert sorted(index for batch in batches for index in batch) == list(range(70))
        assert [len(batch) for batch in batches] == [32, 32, 6]
    assert first != second
