"""The teacher itself fine-tuned on the task: what students learn logits from, and the score that they are held against."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

from compiler.quiet import ShouldStop
from data.errors import TrainingError
from data.home import subfolder
from data.tasks import chance, evaluate
from engine.checkpoint import only_one, save_text, save_weights
from engine.encoder import Encoder
from engine.pace import Progress
from engine.problem import Problem
from engine.teacher import Teacher
from engine.training import FORMAT, TEACHER_LEARNING_RATE, Recipe, predict, train

TEACHER_EPOCHS = 2
WEIGHTS, REPORT = "weights.safetensors", "report.json"  # the report is written last


@dataclass(frozen=True)
class TunedTeacher:
    """A fine-tuned teacher. `metrics` are the dev split's, the main one first: reported beside a student's, never chosen by."""

    metrics: Mapping[str, float]
    outputs: Tensor  # (n, N), of the training rows in their order
    seconds: float  # that its training took


def tuned_teacher(
    teacher: Teacher, problem: Problem, seed: int, progress: Progress, should_stop: ShouldStop, epochs: int = TEACHER_EPOCHS
) -> TunedTeacher:
    """Fine-tune the teacher on all training rows, once: what it answers on them, and its weights, are kept for all later students and runs.

    Raises:
        Cancelled, TrainingError: see `engine.training.train`.
    """
    folder = _folder(teacher, problem, seed, epochs)

    def told(message: str, fraction: float, data: dict[str, Any]) -> None:
        progress(f"teacher: {message}", fraction, data)

    report = folder / REPORT
    with only_one(folder / "lock", lambda: progress("another process trains the teacher", 0.0, {}), should_stop):
        if not _is_whole(folder):
            _train(teacher, problem, Recipe(epochs, seed, TEACHER_LEARNING_RATE), folder, told, should_stop)
    kept = json.loads(report.read_text(encoding="utf-8"))
    return TunedTeacher(kept["metrics"], load_file(str(folder / "outputs.safetensors"))["outputs"], kept["seconds"])


def check_answers(outputs: Tensor, problem: Problem, name: str) -> None:
    """
    Args:
        outputs: a teacher's (n, N), of the training rows in their order.

    Raises:
        TrainingError: nothing can be learnt from them: they are no better in any metric than one and the same answer to all rows.
    """
    labels = problem.split("final").examples.labels.tolist()
    least, reached = chance(problem.task, labels), evaluate(problem.task, outputs.numpy(), labels)
    if all(reached[metric] <= score for metric, score in least.items()):
        metric, score = next(iter(least.items()))
        raise TrainingError(
            f"teacher {name} has {metric} {reached[metric]:.3f} on the training rows of {problem.task.name}, no better than one "
            f"answer for all ({score:.3f}); take another teacher, check the labels, or leave logits out of the losses"
        )


def kept_teacher(
    teacher: Teacher, problem: Problem, seed: int, epochs: int = TEACHER_EPOCHS
) -> tuple[Encoder, Mapping[str, float]] | None:
    """The fine-tuned teacher itself, in evaluation mode, and its dev split's metrics, the main one first; None where it was not made yet."""
    folder = _folder(teacher, problem, seed, epochs)
    if not _is_whole(folder):
        return None
    encoder = Encoder(teacher.architecture, problem.outputs, problem.pooling, seed)
    encoder.load_state_dict(load_file(str(folder / WEIGHTS)))
    return encoder.eval().requires_grad_(False), json.loads((folder / REPORT).read_text(encoding="utf-8"))["metrics"]


def _folder(teacher: Teacher, problem: Problem, seed: int, epochs: int) -> Path:
    about = [FORMAT, teacher.fingerprint, problem.fingerprint, problem.dev_fingerprint, seed, epochs]
    return subfolder("cache", "teachers", hashlib.sha256(json.dumps(about).encode()).hexdigest()[:16])


def _is_whole(folder: Path) -> bool:
    return (folder / REPORT).is_file() and (folder / WEIGHTS).is_file()


def _train(
    teacher: Teacher, problem: Problem, recipe: Recipe, folder: Path, progress: Progress, should_stop: ShouldStop
) -> None:
    encoder = Encoder(teacher.architecture, problem.outputs, problem.pooling, recipe.seed)
    encoder.load_state_dict(teacher.encoder.state_dict(), strict=False)
    split, checkpoint = problem.split("final"), folder / "checkpoint.pt"
    seconds = train(encoder, split.examples, recipe, problem.heads, problem.pad, checkpoint, progress, should_stop)
    metrics = problem.score(split, predict(encoder, split.scored_rows, problem.pad, should_stop))
    outputs = predict(encoder, split.examples.rows, problem.pad, should_stop)
    save_weights({"outputs": outputs}, folder / "outputs.safetensors", {})
    save_weights(encoder.state_dict(), folder / WEIGHTS, {"architecture": str(teacher.architecture)})
    save_text(json.dumps({"metrics": dict(metrics), "seconds": seconds}), folder / REPORT)
    checkpoint.unlink(missing_ok=True)
