"""What a student inherits: nothing lost where nothing is cut, the best kept where something is."""

import random
from dataclasses import replace

import pytest
import torch
from tiny import PAIRS, TINY, WORDS

from data.errors import ModelError
from engine.architecture import Architecture
from engine.encoder import Encoder
from engine.losses import feature_map_transfer
from engine.student import check_inheritable, cut, ffn_prefix, inherited, matched_layers
from engine.teacher import Teacher
from engine.tokens import Batch, collate, encode


@pytest.fixture
def batch(teacher: Teacher) -> Batch:
    return collate(encode(teacher.tokenizer, PAIRS, 32))


@pytest.mark.parametrize(
    ("layers", "teacher_layers", "expected"),
    [
        (3, 6, [2, 4, 6]),
        (4, 6, [2, 3, 5, 6]),
        (2, 6, [3, 6]),
        (1, 6, [6]),
        (6, 6, [1, 2, 3, 4, 5, 6]),
        (5, 12, [2, 5, 7, 10, 12]),
    ],
)
def test_layers_are_matched_evenly_and_end_together(layers: int, teacher_layers: int, expected: list[int]) -> None:
    assert matched_layers(layers, teacher_layers) == expected


def test_a_cut_that_cuts_nothing_answers_as_the_teacher(teacher: Teacher, batch: Batch) -> None:
    student, projection = cut(teacher.encoder, TINY, batch)
    assert projection is None
    with torch.no_grad():
        ours, theirs = student.features(*batch).hidden, teacher.encoder.features(*batch).hidden
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, atol=1e-4, rtol=1e-3)


def test_neurons_kept_are_those_that_matter_on_data(teacher: Teacher, batch: Batch) -> None:
    """Half the FFN by importance stays nearer to the teacher than the other half would."""
    with torch.no_grad():
        expected = teacher.encoder.features(*batch).hidden[-1]
        whole, _ = cut(teacher.encoder, TINY, batch)
        halves = []
        for neurons in (slice(0, 16), slice(16, 32)):
            half = Encoder(replace(TINY, ffn_sizes=(16,) * 4))
            weights = whole.state_dict()
            for layer in range(4):
                up, down = f"encoder.layer.{layer}.intermediate.dense", f"encoder.layer.{layer}.output.dense.weight"
                weights[f"{up}.weight"], weights[f"{up}.bias"] = (
                    weights[f"{up}.weight"][neurons],
                    weights[f"{up}.bias"][neurons],
                )
                weights[down] = weights[down][:, neurons]
            half.load_state_dict(weights)
            halves.append(float((half.features(*batch).hidden[-1] - expected).square().mean()))
    assert halves[0] < halves[1]


def test_a_narrower_student_keeps_the_teachers_embeddings_behind_a_projection(teacher: Teacher, batch: Batch) -> None:
    architecture = replace(TINY, hidden_size=8, heads=2, ffn_sizes=(32, 32), embedding_size=16)
    student, projection = cut(teacher.encoder, architecture, batch)
    assert projection is not None
    with torch.no_grad():
        theirs = teacher.encoder.features(*batch).hidden[0]
        ours = projection(student.features(*batch).hidden[0])
    real = batch.attention_mask.bool()
    spread = (theirs[real] - theirs[real].mean(dim=0)).square().mean()
    assert (ours - theirs)[real].square().mean() < 0.6 * spread


@pytest.mark.parametrize(
    "architecture",
    [
        replace(TINY, ffn_sizes=(16, 16)),
        replace(TINY, hidden_size=8, heads=2, ffn_sizes=(32, 32), embedding_size=16),
    ],
)
def test_a_fitted_cut_is_nearer_to_its_teacher_on_other_sentences(
    teacher: Teacher, batch: Batch, architecture: Architecture
) -> None:
    words = [word for word in WORDS if not word.startswith("[")]
    rng = random.Random(0)
    sentences = [" ".join(rng.choices(words, k=rng.randint(3, 9))) for _ in range(400)]
    seen, unseen = (collate(encode(teacher.tokenizer, half, 32)) for half in (sentences[:300], sentences[300:]))

    def distance(fitted_on: list[Batch]) -> float:
        student, projection = cut(teacher.encoder, architecture, batch, fitted_on)
        with torch.no_grad():
            ours, theirs = student.features(*unseen).hidden[-1], teacher.encoder.features(*unseen).hidden[-1]
            return float(feature_map_transfer(projection(ours) if projection else ours, theirs, unseen.attention_mask))

    assert distance([seen]) < 0.7 * distance([])


def test_a_fit_of_what_was_not_cut_changes_nothing(teacher: Teacher, batch: Batch) -> None:
    student, _ = cut(teacher.encoder, TINY, batch, [batch])
    with torch.no_grad():
        ours, theirs = student.features(*batch).hidden, teacher.encoder.features(*batch).hidden
    real = batch.attention_mask.bool()
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine[real], other[real], atol=1e-3, rtol=1e-2)


def test_a_candidate_inherits_the_first_neurons_of_each_layer(teacher: Teacher, batch: Batch) -> None:
    trunk, _ = cut(teacher.encoder, TINY, batch)
    architecture = replace(TINY, ffn_sizes=(32, 8, 16, 8))
    student = inherited(architecture, trunk.state_dict(), outputs=2, pooling="pair", seed=0)
    assert student.classifier is not None
    assert torch.equal(student.layers[1].intermediate.dense.weight, trunk.layers[1].intermediate.dense.weight[:8])
    assert torch.equal(student.layers[3].output.dense.weight, trunk.layers[3].output.dense.weight[:, :8])
    assert student(*batch).shape == (len(PAIRS), 2)


def test_a_prefix_is_a_view(teacher: Teacher) -> None:
    weights = teacher.encoder.state_dict()
    name = "encoder.layer.0.intermediate.dense.weight"
    assert ffn_prefix(weights, (8, 8, 8, 8))[name].data_ptr() == weights[name].data_ptr()


@pytest.mark.parametrize(
    ("architecture", "said"),
    [
        (replace(TINY, ffn_sizes=(32,) * 5), "larger than its teacher"),
        (replace(TINY, ffn_sizes=(64,) * 4), "FFN sizes above its teacher's 32"),
        (replace(TINY, heads=2), "take A4"),
        (replace(TINY, hidden_size=8, heads=2), "write L4-H8-A2-F32-E16"),
    ],
)
def test_sizes_that_cannot_be_inherited_are_refused(architecture: Architecture, said: str) -> None:
    with pytest.raises(ModelError, match=said):
        check_inheritable(architecture, TINY)
