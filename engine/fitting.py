"""A cut student's matrices fitted to its teacher by least squares, layer by layer, on a sample: no gradient, a few seconds.

A cut takes every matrix of the teacher as it is, or projected. But a student layer reads what the student's layers before it wrote, stands for
several teacher layers, and has fewer heads, neurons and dimensions. So each of its linear maps in turn is fitted to give, from what the
student really has there, what the teacher has there: queries, keys and values of the heads that are kept; the residual stream after
attention; the pre-activations of the neurons that are kept; the residual stream after the FFN. Each fit is a ridge regression that
pulls towards the cut's own weights, so that what the sample does not say stays as it was cut.

Shapes: S tokens of the sample (padding left out), H the student's hidden size, P inputs and Q outputs of a linear map.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from compiler.quiet import busy
from engine.encoder import LAYER_NORM_EPS, Encoder, Layer, Residual, mask_of_scores
from engine.tokens import Batch

RIDGE = 0.01  # of the mean square of the inputs
SMALLEST = 1e-6  # of what is divided by


@dataclass(frozen=True)
class Kept:
    """What a student layer keeps of the teacher layer that it starts from."""

    source: int  # that layer's number, from 1
    rows: Tensor  # of its query, key and value projections
    neurons: Tensor  # of its FFN


@torch.no_grad()
def fit(
    student: Encoder, teacher: Encoder, kept: Sequence[Kept], directions: Tensor, mean: Tensor, batches: Sequence[Batch]
) -> None:
    """Refit a cut student's layers in place. Cost: two teacher passes over the batches, and for each layer six linear systems, the largest
    of the FFN size.

    Args:
        kept: for each student layer what `engine.student.cut` has kept.
        directions: (H of the teacher, H) onto which the teacher's hidden states are projected.
        mean: (H of the teacher,) what is taken away before.
        batches: with several tokens for each input of the widest matrix.
    """
    samples = []
    for batch in batches:
        with busy():
            samples.append(_Sample(batch, student, teacher))
    for layer, each in zip(student.layers, kept, strict=True):
        with busy():
            attended = _fit_attention(layer, teacher.layers[each.source - 1], each, samples, directions, mean)
        with busy():
            _fit_ffn(layer, teacher.layers[each.source - 1], each, samples, attended, directions, mean)


class _Sample:
    """One batch on its way through both encoders: `theirs` are the teacher's hidden states, L+1 of (B, S, H of the teacher), `ours` what the
    next part of the student reads, (B, S, H)."""

    def __init__(self, batch: Batch, student: Encoder, teacher: Encoder) -> None:
        self.theirs = teacher.features(*batch).hidden
        self.ours = student.embedded(batch.input_ids, batch.token_type_ids)
        self.scores_mask = mask_of_scores(batch.attention_mask, self.ours.dtype)
        self._real = batch.attention_mask.bool()

    def of(self, states: Tensor) -> Tensor:
        """(B, S, N) -> (tokens, N), without padding."""
        return states[self._real]


def _fit_attention(
    layer: Layer, original: Layer, kept: Kept, samples: Sequence[_Sample], directions: Tensor, mean: Tensor
) -> list[Tensor]:
    """The first half of a layer; the teacher's hidden states after it."""
    for name in ("query", "key", "value"):
        theirs = getattr(original.attention.self, name)
        weight, bias = theirs.weight[kept.rows], theirs.bias[kept.rows]
        goals = [sample.theirs[kept.source - 1] @ weight.T + bias for sample in samples]
        _fit_linear(getattr(layer.attention.self, name), samples, goals)
    attended = [original.attention(sample.theirs[kept.source - 1], sample.scores_mask)[0] for sample in samples]
    contexts = [layer.attention.context(layer.attention.self(sample.ours), sample.scores_mask) for sample in samples]
    goals = [(goal - mean) @ directions for goal in attended]
    _fit_residual(layer.attention.output, original.attention.output, samples, contexts, goals)
    return attended


def _fit_ffn(
    layer: Layer,
    original: Layer,
    kept: Kept,
    samples: Sequence[_Sample],
    attended: Sequence[Tensor],
    directions: Tensor,
    mean: Tensor,
) -> None:
    """The second half, for the teacher's hidden states after the first."""
    up = original.intermediate.dense
    goals = [goal @ up.weight[kept.neurons].T + up.bias[kept.neurons] for goal in attended]
    _fit_linear(layer.intermediate.dense, samples, goals)
    active = [layer.intermediate(sample.ours) for sample in samples]
    goals = [(sample.theirs[kept.source] - mean) @ directions for sample in samples]
    _fit_residual(layer.output, original.output, samples, active, goals)


def _fit_residual(
    end: Residual, original: Residual, samples: Sequence[_Sample], inner: Sequence[Tensor], wanted: Sequence[Tensor]
) -> None:
    """Fit the end of half a layer, its projection and then its LayerNorm, to hidden states (B, S, H), and take the samples through it.

    LayerNorm gives each token another scale. What it is to be given is what is wanted, undone by its affine part and normalised, at the
    scale that the token has already; errors count by that scale, as LayerNorm divides them by it. The affine part is the teacher's, where
    the hidden size is; else the spread of what is wanted.
    """
    norm, size = end.LayerNorm, end.LayerNorm.normalized_shape
    goals = torch.cat([sample.of(goal) for sample, goal in zip(samples, wanted, strict=True)])  # (tokens, H)
    gain: Tensor
    shift: Tensor
    if size == original.LayerNorm.normalized_shape:
        gain, shift = original.LayerNorm.weight, original.LayerNorm.bias
    else:
        gain, shift = goals.std(dim=0).clamp(min=SMALLEST), goals.mean(dim=0)
    inputs, targets = [], []
    for sample, given, goal in zip(samples, inner, wanted, strict=True):
        before = sample.of(end.dense(given) + sample.ours)
        scale = before.std(dim=-1, keepdim=True, correction=0).clamp(min=SMALLEST)
        inputs.append(torch.cat([sample.of(given), torch.ones_like(scale)], dim=-1) / scale)
        normalised = functional.layer_norm((sample.of(goal) - shift) / gain, size, eps=LAYER_NORM_EPS)
        carried = sample.of(sample.ours) - before.mean(dim=-1, keepdim=True)  # LayerNorm takes the mean away again
        targets.append(normalised - carried / scale)
    _fit_matrix(end.dense, inputs, targets)
    for sample, given in zip(samples, inner, strict=True):
        sample.ours = functional.layer_norm(end.dense(given) + sample.ours, size, eps=LAYER_NORM_EPS)
    found = torch.cat([sample.of(sample.ours) for sample in samples])
    found_mean, goals_mean = found.mean(dim=0), goals.mean(dim=0)
    covariance = ((found - found_mean) * (goals - goals_mean)).mean(dim=0)
    norm.weight.copy_(covariance / found.var(dim=0, correction=0).clamp(min=SMALLEST))
    norm.bias.copy_(goals_mean - norm.weight * found_mean)
    for sample in samples:
        sample.ours = sample.ours * norm.weight + norm.bias


def _fit_linear(linear: nn.Linear, samples: Sequence[_Sample], goals: Sequence[Tensor]) -> None:
    """Ridge regression of goals (B, S, Q) on what the student has (B, S, P)."""
    given = [sample.of(sample.ours) for sample in samples]
    wanted = [sample.of(each) for sample, each in zip(samples, goals, strict=True)]
    _fit_matrix(linear, [torch.cat([each, torch.ones_like(each[:, :1])], dim=-1) for each in given], wanted)


def _fit_matrix(linear: nn.Linear, inputs: Sequence[Tensor], goals: Sequence[Tensor]) -> None:
    """The same for inputs (tokens, P + 1), of which the last is the bias's, and goals (tokens, Q)."""
    start = torch.cat([linear.weight, linear.bias[:, None]], dim=1).T.double()  # (P + 1, Q)
    gram = torch.stack([given.T @ given for given in inputs]).sum(dim=0, dtype=torch.float64)
    pairs = zip(inputs, goals, strict=True)
    missing = torch.stack([given.T @ (goal - given @ start.float()) for given, goal in pairs]).sum(dim=0, dtype=torch.float64)
    gram.diagonal().add_(RIDGE * gram.diagonal().mean())
    found = (start + torch.linalg.solve(gram, missing)).float()
    linear.weight.copy_(found[:-1].T)
    linear.bias.copy_(found[-1])
