"""What distillation minimises. MobileBERT's three transfers (Sun et al. 2020, section 3.2): feature maps, attention, logits.

Shapes as in `engine.encoder`: B sentences, S tokens, H hidden size, A heads of width D. `mask` (B, S) is 1 on real tokens, which
alone count; each loss is a mean, so that neither batch nor sentence length changes its scale.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

from engine.encoder import Heads, mask_of_scores


def feature_map_transfer(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """Mean squared difference of two hidden states (B, S, H)."""
    weights = mask.to(student.dtype)[..., None]
    return ((student - teacher).square() * weights).sum() / (weights.sum() * student.shape[-1])


def attention_transfer(student: Heads, teacher: Heads, mask: Tensor) -> Tensor:
    """KL divergence of the student's attention from the teacher's, mean over query tokens and heads.

    Where the student has fewer heads, both are compared by MiniLMv2's query-key relations: their heads joined and split anew into
    the same number (Wang et al. 2021, section 3.1), the largest that divides both widths.
    """
    count = relation_heads(student.query, teacher.query)
    theirs, ours = (_log_attention(_rejoined(of.query, count), _rejoined(of.key, count), mask) for of in (teacher, student))
    divergence = (theirs.exp() * (theirs - ours)).sum(dim=-1)  # (B, A, S)
    weights = mask.to(divergence.dtype)[:, None, :]
    return (divergence * weights).sum() / (weights.sum() * count)


def relation_heads(student: Tensor, teacher: Tensor) -> int:
    """How many heads two projections (B, A, S, D) are compared by."""
    if student.shape[1] == teacher.shape[1]:
        return student.shape[1]
    common = math.gcd(*(heads.shape[1] * heads.shape[3] for heads in (student, teacher)))
    return next(count for count in range(min(student.shape[1], teacher.shape[1]), 0, -1) if common % count == 0)


def logits_transfer(student: Tensor, teacher: Tensor, regression: bool, temperature: float = 1.0) -> Tensor:
    """How far the student's outputs (B, N) are from the task-trained teacher's: mean squared difference for a regression, else
    the KL divergence of the softened classes (Hinton et al. 2015), scaled by temperature squared."""
    if regression:
        return functional.mse_loss(student, teacher)
    ours, theirs = (functional.log_softmax(logits / temperature, dim=-1) for logits in (student, teacher))
    return functional.kl_div(ours, theirs, reduction="batchmean", log_target=True) * temperature**2


def _log_attention(query: Tensor, key: Tensor, mask: Tensor) -> Tensor:
    scores = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
    return torch.log_softmax(scores + mask_of_scores(mask, scores.dtype), dim=-1)


def _rejoined(heads: Tensor, count: int) -> Tensor:
    """(B, A, S, D) as `count` heads of the same total width."""
    batch, head_count, tokens, width = heads.shape
    if head_count == count:
        return heads
    return heads.transpose(1, 2).reshape(batch, tokens, count, head_count * width // count).transpose(1, 2)
