"""Each transfer is zero for a student that equals its teacher, and looks at real tokens only."""

import pytest
import torch

from engine.encoder import Heads
from engine.losses import attention_transfer, feature_map_transfer, logits_transfer, relation_heads

MASK = torch.tensor([[1, 1, 1, 0], [1, 1, 0, 0]])


def _heads(count: int, width: int, seed: int) -> Heads:
    generator = torch.Generator().manual_seed(seed)
    return Heads(*(torch.randn(2, count, 4, width, generator=generator) for _ in range(3)))


def test_equal_students_have_nothing_to_learn() -> None:
    hidden, heads, logits = torch.randn(2, 4, 8), _heads(4, 2, 0), torch.randn(2, 3)
    assert feature_map_transfer(hidden, hidden, MASK) == 0
    assert abs(float(attention_transfer(heads, heads, MASK))) < 1e-6
    assert logits_transfer(logits, logits, regression=True) == 0
    assert abs(float(logits_transfer(logits, logits, regression=False))) < 1e-6


def test_padding_does_not_count() -> None:
    hidden, other = torch.zeros(2, 4, 8), torch.zeros(2, 4, 8)
    other[0, 3] = 7.0
    assert feature_map_transfer(hidden, other, MASK) == 0
    heads = _heads(4, 2, 0)
    changed = Heads(*(tensor.clone() for tensor in heads))
    changed.key[0, :, 3] += 7.0
    changed.query[0, :, 3] += 7.0
    assert abs(float(attention_transfer(changed, heads, MASK))) < 1e-6


def test_feature_map_transfer_is_a_mean() -> None:
    hidden = torch.zeros(2, 4, 8)
    assert feature_map_transfer(hidden + 2.0, hidden, MASK) == 4.0


def test_attention_transfer_is_the_divergence_of_the_attention_maps() -> None:
    ours, theirs = _heads(4, 2, 0), _heads(4, 2, 1)
    full = torch.ones(2, 4, dtype=torch.int64)

    def attention(heads: Heads) -> torch.Tensor:
        return (heads.query @ heads.key.transpose(-1, -2) / 2**0.5).softmax(dim=-1)

    expected = (attention(theirs) * (attention(theirs) / attention(ours)).log()).sum(dim=-1).mean()
    torch.testing.assert_close(attention_transfer(ours, theirs, full), expected)


@pytest.mark.parametrize(
    ("ours", "theirs", "count"),
    [((12, 32), (12, 32), 12), ((8, 32), (12, 32), 8), ((10, 32), (12, 32), 8), ((4, 64), (12, 64), 4), ((7, 64), (12, 64), 4)],
)
def test_fewer_heads_are_compared_by_as_many_as_both_widths_allow(ours, theirs, count) -> None:
    student, teacher = _heads(*ours, 0), _heads(*theirs, 1)
    assert relation_heads(student.query, teacher.query) == count
    assert attention_transfer(student, teacher, MASK) > 0


def test_logits_transfer_pulls_towards_the_teachers_classes() -> None:
    student = torch.zeros(2, 3, requires_grad=True)
    logits_transfer(student, torch.tensor([[5.0, 0.0, 0.0], [0.0, 5.0, 0.0]]), regression=False, temperature=2.0).backward()
    assert student.grad is not None
    assert student.grad.argmin(dim=1).tolist() == [0, 1]
