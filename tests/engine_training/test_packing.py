"""Packed batches: the fewest tokens, the same answers and gradients."""

from collections.abc import Iterator

import pytest
import torch
from tiny import PAIRS, TINY
from torch.func import functional_call

from engine.encoder import Encoder, Heads, Pooling, _attend, mask_of_scores
from engine.packing import PackedEncoder, groups_of
from engine.student import ffn_prefix
from engine.teacher import Teacher
from engine.tokens import Row, collate, encode


def _rows(*lengths: int) -> list[Row]:
    return [Row([1] * length, [0] * length) for length in lengths]


def _partitions(lengths: list[int]) -> Iterator[list[list[int]]]:
    if not lengths:
        yield []
    for end in range(1, len(lengths) + 1):
        for rest in _partitions(lengths[end:]):
            yield [lengths[:end], *rest]


@pytest.mark.parametrize("group_tokens", [0, 5, 24, 1000])
def test_groups_have_the_fewest_tokens(group_tokens: int) -> None:
    lengths = [7, 31, 8, 8, 90, 12, 30, 7, 64]
    groups = groups_of(_rows(*lengths), group_tokens)
    assert sorted(index for group in groups for index in group) == list(range(len(lengths)))

    def cost(parts: list[list[int]]) -> int:
        return sum(len(part) * max(part) + group_tokens for part in parts)

    found = cost([[lengths[index] for index in group] for group in groups])
    assert found == min(map(cost, _partitions(sorted(lengths))))


@pytest.mark.parametrize("pooling", ["mean", "cls", "pair"])
def test_answers_and_gradients_are_those_of_one_batch(teacher: Teacher, pooling: Pooling) -> None:
    rows = encode(teacher.tokenizer, [*PAIRS, *(first for first, _ in PAIRS)], 32)
    encoder = Encoder(TINY, 2, pooling, seed=1)
    groups = groups_of(rows, 4)
    assert len(groups) > 2
    order = [index for group in groups for index in group]
    packed = PackedEncoder(encoder)([collate([rows[index] for index in group]) for group in groups])
    gradients = torch.autograd.grad(packed.square().sum(), list(encoder.parameters()))
    whole = encoder(*collate([rows[index] for index in order]))
    expected = torch.autograd.grad(whole.square().sum(), list(encoder.parameters()))
    torch.testing.assert_close(packed, whole)
    for found, wanted in zip(gradients, expected, strict=True):
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-4)


def test_smaller_ffns_are_packed_too(teacher: Teacher) -> None:
    rows = encode(teacher.tokenizer, PAIRS, 32)
    encoder = Encoder(TINY, 1, "mean", seed=1)
    smaller = ffn_prefix(dict(encoder.named_parameters()), [8] * TINY.layers)
    batches = [collate(rows[:5]), collate(rows[5:])]
    named = {f"encoder.{name}": value for name, value in smaller.items()}
    found = functional_call(PackedEncoder(encoder), named, (batches,))
    expected = torch.cat([functional_call(encoder, smaller, tuple(batch)) for batch in batches])
    torch.testing.assert_close(found, expected)


def test_attention_in_bf16_has_the_gradients_of_float32() -> None:
    generator = torch.Generator().manual_seed(0)
    leaves = [torch.randn(4, 9, 2, 8, generator=generator).bfloat16() for _ in range(3)]
    mask = mask_of_scores(torch.arange(9)[None, :] < torch.tensor([9, 3, 5, 9])[:, None], torch.float32)

    def gradients(dtype: torch.dtype) -> list[torch.Tensor]:
        heads = Heads(*(leaf.to(dtype).transpose(1, 2).requires_grad_() for leaf in leaves))
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
            mixed = _attend(heads, mask.to(dtype))
        assert mixed.dtype == dtype
        return [each.float() for each in torch.autograd.grad(mixed.float().square().sum(), heads)]

    for found, expected in zip(gradients(torch.bfloat16), gradients(torch.float32), strict=True):
        torch.testing.assert_close(found, expected, atol=0.05, rtol=0.05)
