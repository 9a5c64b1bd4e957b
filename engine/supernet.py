"""Accuracy in seconds: networks that share their weights, tuned on the task once, of which each candidate is a part.

For each depth and hidden size one body, distilled from the teacher with elastic FFNs (`engine.trunk`), is fine-tuned with elastic FFNs
too; a candidate takes from it the neurons that its FFN sizes leave, and the head. Nothing of it is trained for itself. LayerNorm keeps
no statistics of a batch, so nothing has to be calibrated anew, as batch normalisation would (Yu & Huang 2019).
"""

import hashlib
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from compiler.quiet import ShouldStop, busy
from data.errors import Cancelled
from data.home import subfolder
from engine.architecture import Architecture
from engine.checkpoint import only_one, save_weights
from engine.encoder import Encoder, mask_of_scores
from engine.ground import Ground
from engine.hardware import mixed_precision
from engine.pace import Progress
from engine.student import inherited
from engine.tokens import Batch, batches_of_tokens, collate
from engine.training import FORMAT as TRAINING_FORMAT
from engine.training import Recipe, train

SCORED_TOKENS = 512  # at once: all members' activations of a batch of them, layer by layer, within a second
FORMAT = 1  # counted up when a change of this code makes older networks worth less than new ones


def member(ground: Ground, architecture: Architecture, progress: Progress, should_stop: ShouldStop) -> Encoder:
    """A candidate with its part of the tuned network. The first of a depth and hidden size waits for that network's distillation and
    tuning; what is made is kept for all later runs of the same task and teacher.

    Raises:
        ModelError: no student of this teacher can have these sizes.
        Cancelled, TrainingError: see `engine.training.train`.
    """
    weights = load_file(str(_tuned(ground, architecture, progress, should_stop)))
    problem = ground.problem
    return inherited(architecture, weights, problem.outputs, problem.pooling, ground.settings.seed)


def _tuned(ground: Ground, architecture: Architecture, progress: Progress, should_stop: ShouldStop) -> Path:
    """The safetensors of the network, body and head, that has an architecture's depth and hidden size."""
    settings, problem, choices = ground.settings, ground.problem, ground.plan.ffn_choices
    largest = replace(architecture, ffn_sizes=(max(*choices, *architecture.ffn_sizes),) * architecture.layers)
    about = {
        "format": [FORMAT, TRAINING_FORMAT],
        "architecture": str(largest),
        "ffn_choices": choices,
        "body": ground.body_of(architecture, progress, should_stop),
        "task": problem.fingerprint,
        "epochs": settings.early_epochs,
        "seed": settings.seed,
    }
    key = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:16]
    folder = subfolder("cache", "supernets", key)
    finished, checkpoint = folder / "network.safetensors", folder / "checkpoint.pt"

    def told(message: str, fraction: float, data: dict[str, object]) -> None:
        progress(f"supernet of {architecture.layers} layers, hidden size {architecture.hidden_size}: {message}", fraction, data)

    with only_one(folder / "lock", lambda: told("another process tunes it", 0.0, {}), should_stop):
        if not finished.is_file():
            encoder = ground.student(largest, "early", progress, should_stop)
            recipe = Recipe(settings.early_epochs, settings.seed, ffn_choices=choices)
            examples, transfer = problem.split("early").examples, ground.transfer(encoder)
            train(encoder, examples, recipe, problem.heads, problem.pad, checkpoint, told, should_stop, transfer)
            save_weights(encoder.state_dict(), finished, {"about": json.dumps(about)})
            checkpoint.unlink(missing_ok=True)
    return finished


def accuracies(ground: Ground, body: Architecture, progress: Progress, should_stop: ShouldStop) -> dict[tuple[int, ...], float]:
    """The early accuracy of every member of one network, by its FFN sizes: what `engine.candidates.evaluate_candidate` gives each alone.

    Members that begin alike share that beginning, and a smaller FFN is a part of a larger one's sums: for L layers of n sizes a batch takes
    1 + n + ... + n^(L-1) layers of the largest size instead of L n^L of all; a depth of 3 with 5 sizes, 31 layers instead of 375.

    Args:
        body: any architecture of the depth and hidden size.

    Raises:
        As `member`.
    """
    problem, choices = ground.problem, ground.plan.ffn_choices
    largest = replace(body, ffn_sizes=(choices[-1],) * body.layers)
    encoder = member(ground, largest, progress, should_stop).eval()
    split = problem.split("early")
    outputs = {sizes: torch.zeros(len(split.scored_rows), problem.outputs) for sizes in product(choices, repeat=body.layers)}
    batches = batches_of_tokens(split.scored_rows, SCORED_TOKENS, random.Random(0))
    for number, indices in enumerate(batches):
        if should_stop():
            raise Cancelled("scoring was stopped")
        progress(f"scoring {len(outputs)} members of {body.layers} layers", number / len(batches), {})
        batch = collate([split.scored_rows[index] for index in indices], problem.pad)
        with busy(), torch.no_grad(), mixed_precision(torch.device("cpu")):
            for sizes, answers in _answers(encoder, batch, choices):
                outputs[sizes][indices] = answers.float()
    return {sizes: next(iter(problem.score(split, each).values())) for sizes, each in outputs.items()}


def _answers(encoder: Encoder, batch: Batch, choices: Sequence[int]) -> Iterator[tuple[tuple[int, ...], Tensor]]:
    """FFN sizes of each member and its outputs (B, N)."""
    embedded = encoder.embeddings(batch.input_ids, batch.token_type_ids)
    if encoder.embeddings_project is not None:
        embedded = encoder.embeddings_project(embedded)
    mask = mask_of_scores(batch.attention_mask, embedded.dtype)
    head = encoder.classifier
    assert head is not None

    def deeper(hidden: Tensor, sizes: tuple[int, ...]) -> Iterator[tuple[tuple[int, ...], Tensor]]:
        if len(sizes) == len(encoder.layers):
            yield sizes, head(encoder.pool(hidden, batch.token_type_ids, batch.attention_mask))
            return
        layer = encoder.layers[len(sizes)]
        attended, _ = layer.attention(hidden, mask)
        active = layer.intermediate(attended)  # (B, S, largest F)
        down, before = layer.output.dense, 0
        total = attended + down.bias
        for size in choices:
            total = total + active[..., before:size] @ down.weight[:, before:size].T
            before = size
            yield from deeper(layer.output.LayerNorm(total), (*sizes, size))

    yield from deeper(embedded, ())
