"""Students: how an encoder's first weights come from a larger one. Layers are picked, FFN neurons are kept by what they do on
data, and a narrower hidden size keeps the principal directions of the teacher's hidden states.

Everything here copies or projects; what is lost is brought back by distillation (`engine.distillation`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from compiler.quiet import busy
from data.errors import ModelError
from engine.architecture import Architecture
from engine.encoder import Encoder, Layer, Pooling, mask_of_scores
from engine.fitting import Kept, fit
from engine.tokens import Batch

Weights = Mapping[str, Tensor]


def matched_layers(layers: int, teacher_layers: int) -> list[int]:
    """For each student layer the teacher layer (from 1) whose output it learns: evenly spread, the last on the last."""
    return [int((layer + 1) * teacher_layers / layers + 0.5) for layer in range(layers)]


def student_of(written: str, teacher: Architecture) -> Architecture:
    """An architecture as it is written, such as `L3-H384-A12-F1152`, with the vocabulary, positions and segments of its teacher.

    Raises:
        ModelError: it is no architecture.
    """
    asked = Architecture.parse(written)
    return replace(asked, vocab_size=teacher.vocab_size, max_positions=teacher.max_positions, token_types=teacher.token_types)


def check_inheritable(architecture: Architecture, teacher: Architecture) -> None:
    """Raises:
    ModelError: an architecture that is no cut of the teacher's; the message names the size to change.
    """
    width = teacher.embedding_size or teacher.hidden_size
    if architecture.layers > teacher.layers or architecture.hidden_size > teacher.hidden_size:
        raise ModelError(
            f"{architecture} is larger than its teacher {teacher}; a student has at most its layers and hidden size"
        )
    if max(architecture.ffn_sizes) > max(teacher.ffn_sizes):
        raise ModelError(f"{architecture} has FFN sizes above its teacher's {max(teacher.ffn_sizes)}; take at most that")
    if architecture.head_size != teacher.head_size:
        raise ModelError(
            f"{architecture} has heads of width {architecture.head_size}, its teacher {teacher.head_size}; "
            f"take A{architecture.hidden_size // teacher.head_size}"
        )
    if (architecture.embedding_size or architecture.hidden_size) != width:
        raise ModelError(
            f"{architecture} has other embeddings than its teacher; write {replace(architecture, embedding_size=width)}"
        )


def inherited(architecture: Architecture, weights: Weights, outputs: int, pooling: Pooling, seed: int) -> Encoder:
    """An encoder of `architecture` with the body `weights` of one that has its depth and hidden size, and FFNs at least as large.
    The head is new, from the seed."""
    encoder = Encoder(architecture, outputs, pooling, seed)
    kept = ffn_prefix(weights, architecture.ffn_sizes)
    encoder.load_state_dict({name: kept.get(name, fresh) for name, fresh in encoder.state_dict().items()})
    return encoder


def ffn_prefix(weights: Weights, ffn_sizes: Sequence[int]) -> dict[str, Tensor]:
    """The same weights with the first `ffn_sizes[l]` neurons of layer l's FFN, as views: neurons lie in order of importance."""
    kept = dict(weights)
    for layer, ffn_size in enumerate(ffn_sizes):
        up, down = (f"encoder.layer.{layer}.{name}" for name in ("intermediate.dense", "output.dense.weight"))
        kept[f"{up}.weight"] = weights[f"{up}.weight"][:ffn_size]
        kept[f"{up}.bias"] = weights[f"{up}.bias"][:ffn_size]
        kept[down] = weights[down][:, :ffn_size]
    return kept


@torch.no_grad()
def cut(
    teacher: Encoder, architecture: Architecture, batch: Batch, fitted_on: Sequence[Batch] = ()
) -> tuple[Encoder, nn.Linear | None]:
    """A student body from the teacher, FFN neurons in order of importance on `batch`, and for a narrower student the linear layer
    (H -> teacher's H) through which it is compared with the teacher.

    Student layer l starts from the last of the teacher layers that it stands for. Where there are batches to fit on, what was cut is
    then fitted to the teacher (`engine.fitting`). Cost without them: one teacher pass over the batch.

    Raises:
        ModelError: see `check_inheritable`.
    """
    check_inheritable(architecture, teacher.architecture)
    kept = []
    with busy():
        hidden = teacher.features(*batch).hidden
        student = Encoder(architecture)
        student.embeddings.load_state_dict(teacher.embeddings.state_dict())
        basis = _Basis(hidden, batch.attention_mask, architecture.hidden_size)
        _project_embeddings(student, teacher, basis)
        for layer, source in zip(student.layers, matched_layers(architecture.layers, teacher.architecture.layers), strict=True):
            original = teacher.layers[source - 1]
            neurons = _neurons_by_importance(original, hidden[source - 1], batch.attention_mask)
            neurons = neurons[: layer.intermediate.dense.out_features]
            rows = _strongest_heads(original, layer.attention.self.heads)
            _cut_layer(layer, original, basis, rows, neurons)
            kept.append(Kept(source, rows, neurons))
    if fitted_on:
        fit(student, teacher, kept, basis.directions, basis.mean, fitted_on)
    return student, basis.back()


class _Basis:
    """The `size` principal directions of a teacher's hidden states over all layers; the whole space where size is its own."""

    def __init__(self, hidden: list[Tensor], mask: Tensor, size: int) -> None:
        states = torch.cat([state[mask.bool()] for state in hidden])  # (tokens * (L+1), H)
        self.whole = states.shape[1] == size
        self.mean = torch.zeros(states.shape[1]) if self.whole else states.mean(dim=0)
        if self.whole:
            self.directions = torch.eye(size)
        else:
            _, vectors = torch.linalg.eigh(torch.cov(states.T))  # ascending
            self.directions = vectors.flip(dims=[1])[:, :size].contiguous()  # (H, size)
        self.scale = float(((states - self.mean) @ self.directions).std())

    def back(self) -> nn.Linear | None:
        """The map from the student's hidden states to the teacher's; None where they are the same."""
        if self.whole:
            return None
        linear = nn.Linear(self.directions.shape[1], self.directions.shape[0])
        _set(linear, self.directions, self.mean)
        return linear

    def read(self, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """A linear map of the teacher's hidden states, as one of the student's."""
        return weight @ self.directions, bias + weight @ self.mean

    def written(self, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """A linear map onto the teacher's hidden states, as one onto the student's; the residual carries the mean."""
        return self.directions.T @ weight, self.directions.T @ bias


def _project_embeddings(student: Encoder, teacher: Encoder, basis: _Basis) -> None:
    if student.embeddings_project is None:
        return
    if teacher.embeddings_project is None:
        weight, bias = torch.eye(basis.mean.shape[0]), torch.zeros_like(basis.mean)
    else:
        weight, bias = teacher.embeddings_project.weight, teacher.embeddings_project.bias
    _set(student.embeddings_project, *basis.written(weight, bias - basis.mean))


def _cut_layer(layer: Layer, original: Layer, basis: _Basis, rows: Tensor, neurons: Tensor) -> None:
    ours, theirs = layer.attention.self, original.attention.self
    for name in ("query", "key", "value"):
        projection = getattr(theirs, name)
        _set(getattr(ours, name), *basis.read(projection.weight[rows], projection.bias[rows]))
    for mine, other, columns in (
        (layer.attention.output, original.attention.output, rows),
        (layer.output, original.output, neurons),
    ):
        _set(mine.dense, *basis.written(other.dense.weight[:, columns], other.dense.bias))
        if basis.whole:
            mine.LayerNorm.load_state_dict(other.LayerNorm.state_dict())
        else:
            mine.LayerNorm.weight.fill_(basis.scale)
    up = original.intermediate.dense
    _set(layer.intermediate.dense, *basis.read(up.weight[neurons], up.bias[neurons]))


def _strongest_heads(layer: Layer, count: int) -> Tensor:
    """The rows of the `count` heads that write most to the residual stream, in their order."""
    heads = layer.attention.self.heads
    columns = layer.attention.output.dense.weight  # (H, A * D)
    width = columns.shape[1] // heads
    kept = columns.square().sum(dim=0).view(heads, width).sum(dim=1).topk(count).indices.sort().values
    return (kept[:, None] * width + torch.arange(width)).flatten()


def _neurons_by_importance(layer: Layer, hidden: Tensor, mask: Tensor) -> Tensor:
    """The FFN's neurons, the one whose output moves the residual stream most on this input of the layer first."""
    attended, _ = layer.attention(hidden, mask_of_scores(mask, hidden.dtype))
    active = layer.intermediate(attended[mask.bool()])  # (tokens, F)
    moved = active.square().mean(dim=0).sqrt() * layer.output.dense.weight.norm(dim=0)
    return moved.argsort(descending=True)


def _set(linear: nn.Linear, weight: Tensor, bias: Tensor) -> None:
    linear.weight.data.copy_(weight)
    linear.bias.data.copy_(bias)
