"""Sentences of different lengths through an encoder at once, with little padding.

A batch drawn by chance is padded to its longest sentence: STS-B's batches of 32 to two and a half times their tokens. Batches of sentences of
like length have next to no padding, but a student learns less from them (`benchmarks.training`). So a batch stays as it was drawn, and its rows
are put into groups of like length, each padded for itself. What works on one token at a time takes the tokens of all groups together; only
attention goes group by group.

Shapes as in `engine.encoder`; T tokens of all groups, their padding included.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.encoder import Attention, Encoder, Heads, mask_of_scores
from engine.tokens import Batch, Row

GROUP_TOKENS = 24  # that one more group costs as much as, in attention's small products
WHOLE_TOKENS = 64  # of which T is a multiple: oneDNN prepares a product of a new shape for longer than it takes to compute


def groups_of(rows: Sequence[Row], group_tokens: int = GROUP_TOKENS) -> list[list[int]]:
    """Indices of the rows by length, cut into groups so that all tokens with padding, and `group_tokens` for each group, are fewest."""
    ordered = sorted(range(len(rows)), key=lambda index: len(rows[index].ids))
    lengths = [len(rows[index].ids) for index in ordered]
    least, last = [0], [0]  # for the first so many rows: the fewest tokens, and where their last group begins
    for end, length in enumerate(lengths, 1):
        cost, start = min((least[start] + (end - start) * length, start) for start in range(end))
        least.append(cost + group_tokens)
        last.append(start)
    groups, end = list[list[int]](), len(ordered)
    while end:
        groups.append(ordered[last[end] : end])
        end = last[end]
    return groups[::-1]


class PackedEncoder(nn.Module):
    """An encoder that takes several batches at once and answers as it answers each of them."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, groups: Sequence[Batch]) -> Tensor:
        """Float32 (B, N) for the B rows of all groups, in their order."""
        encoder = self.encoder
        sizes = [group.input_ids.numel() for group in groups]
        sizes.append(-sum(sizes) % WHOLE_TOKENS)

        def apart(tokens: Tensor) -> list[Tensor]:
            """(T, N) as each group's (B, S, N)."""
            parts = tokens.split(sizes)[:-1]
            return [part.view(*group.input_ids.shape, -1) for part, group in zip(parts, groups, strict=True)]

        def together(parts: Sequence[Tensor]) -> Tensor:
            """Each group's (B, S, H) as (T, H)."""
            return functional.pad(torch.cat([part.flatten(0, 1) for part in parts]), (0, 0, 0, sizes[-1]))

        hidden = together([encoder.embedded(group.input_ids, group.token_type_ids) for group in groups])
        masks = [mask_of_scores(group.attention_mask, hidden.dtype) for group in groups]
        for layer in encoder.layers:
            attention = layer.attention
            projected = [apart(each) for each in attention.self.projected(hidden)]
            contexts = [
                Attention.context(Heads(*map(attention.self.split, of_group)), mask)
                for *of_group, mask in zip(*projected, masks, strict=True)
            ]
            attended = attention.output(together(contexts), hidden)
            hidden = layer.output(layer.intermediate(attended), attended)
        pooled = [
            encoder.pool(of_group, group.token_type_ids, group.attention_mask)
            for of_group, group in zip(apart(hidden), groups, strict=True)
        ]
        return encoder.head(torch.cat(pooled))
