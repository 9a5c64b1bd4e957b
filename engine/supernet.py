"""Accuracy in seconds: networks that share their weights, tuned on the task once, of which each candidate is a part.

For each depth and hidden size one body, distilled from the teacher with elastic FFNs (`engine.trunk`), is fine-tuned with elastic FFNs
too; a candidate takes from it the neurons that its FFN sizes leave, and the head. Nothing of it is trained for itself. LayerNorm keeps
no statistics of a batch, so nothing has to be calibrated anew, as batch normalisation would (Yu & Huang 2019).
"""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

from safetensors.torch import load_file

from compiler.quiet import ShouldStop
from data.home import subfolder
from engine.architecture import Architecture
from engine.checkpoint import only_one, save_weights
from engine.encoder import Encoder
from engine.ground import Ground
from engine.pace import Progress
from engine.student import inherited
from engine.training import Recipe, train

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
        "format": FORMAT,
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
            train(encoder, examples, recipe, problem.kind, problem.pad, checkpoint, told, should_stop, transfer)
            save_weights(encoder.state_dict(), finished, {"about": json.dumps(about)})
            checkpoint.unlink(missing_ok=True)
    return finished
