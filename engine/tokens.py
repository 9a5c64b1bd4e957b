"""Sentences as token ids, and batches of them: what goes into an encoder, in training, export and checks alike."""

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

if TYPE_CHECKING:
    from tokenizers import Tokenizer

LENGTH_JITTER_TOKENS = 4  # sentences up to this much apart in length change places from epoch to epoch


class Row(NamedTuple):
    """One sentence or pair, as the model sees it: `[CLS] a [SEP]` or `[CLS] a [SEP] b [SEP]`, not padded."""

    ids: list[int]
    type_ids: list[int]


class Batch(NamedTuple):
    """The three int64 inputs (B, S) of an encoder, padded on the right; `attention_mask` is 1 on real tokens."""

    input_ids: Tensor
    token_type_ids: Tensor
    attention_mask: Tensor


def encode(tokenizer: "Tokenizer", texts: Sequence[str | tuple[str, str]], max_tokens: int) -> list[Row]:
    """Rows of at most `max_tokens` tokens; of a pair, the longer sentence is cut first."""
    tokenizer.enable_truncation(max_tokens)
    try:
        return [Row(encoding.ids, encoding.type_ids) for encoding in tokenizer.encode_batch(list(texts))]
    finally:
        tokenizer.no_truncation()


def pad_id(tokenizer: "Tokenizer") -> int:
    found = tokenizer.token_to_id("[PAD]")
    return 0 if found is None else int(found)


def collate(rows: Sequence[Row], pad: int = 0, seq_len: int | None = None) -> Batch:
    """Rows padded to the longest of them, or to `seq_len` tokens."""
    width = seq_len or max(len(row.ids) for row in rows)

    def padded(values: list[list[int]], filler: int) -> Tensor:
        return torch.tensor([value + [filler] * (width - len(value)) for value in values], dtype=torch.int64)

    return Batch(
        padded([row.ids for row in rows], pad),
        padded([row.type_ids for row in rows], 0),
        padded([[1] * len(row.ids) for row in rows], 0),
    )


def batches_of_rows(count: int, batch_rows: int, rng: random.Random) -> list[list[int]]:
    """Indices of `count` rows in random order, `batch_rows` a batch."""
    order = list(range(count))
    rng.shuffle(order)
    return [order[start : start + batch_rows] for start in range(0, count, batch_rows)]


def batches_of_tokens(rows: Sequence[Row], batch_tokens: int, rng: random.Random) -> list[list[int]]:
    """Indices of rows of like length, in batches of about `batch_tokens` tokens, padding included, and in random order: steps of like cost
    with little padding, yet a new mix each time."""
    jittered = [len(row.ids) + rng.random() * LENGTH_JITTER_TOKENS for row in rows]
    batches: list[list[int]] = [[]]
    for index in sorted(range(len(rows)), key=jittered.__getitem__):
        batches[-1].append(index)
        if len(batches[-1]) * len(rows[index].ids) >= batch_tokens:
            batches.append([])
    batches = [batch for batch in batches if batch]
    rng.shuffle(batches)
    return batches
