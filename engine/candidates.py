"""One candidate of a search, from architecture to accuracy, and to a program for the compiler: what `jobs` calls.

torch and the task's files are loaded by the first call, not by importing this module.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from math import inf
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

import numpy as np

from compiler.devices import HOST
from compiler.precisions import FP32
from compiler.quiet import ShouldStop, busy, never
from data.errors import Cancelled
from engine.architecture import Architecture
from engine.pace import Progress, silent
from engine.settings import SUPERNET, Settings

if TYPE_CHECKING:
    from compiler.build import BuildRequest
    from data.tasks import Task
    from engine.encoder import Encoder
    from engine.ground import Ground
    from engine.problem import Stage
    from engine.tokens import Row
    from engine.training import Examples

UNTRAINED = "engine.export:untrained_program"
SAMPLE_ROWS = 32  # of the task, in the compiler's numerical check
SCORED_AT_ONCE = 16  # sentences between which a measurement may begin
SCORED_AT_ONCE_ON_PHONE = 256


@dataclass(frozen=True)
class CandidateResult:
    """What training gave. `metrics` are the task's, main one first; `outputs` is the head's N; `weights` a safetensors file.
    `metrics_by_seed` has those of every seed, the one of `metrics` and `weights` first."""

    accuracy: float
    metrics: Mapping[str, float]
    seconds: float
    outputs: int
    weights: Path
    metrics_by_seed: tuple[Mapping[str, float], ...] = ()


def evaluate_candidate(
    architecture: Architecture,
    settings: Settings,
    *,
    stage: "Stage",
    workdir: Path,
    progress: Progress = silent,
    should_stop: ShouldStop = never,
) -> CandidateResult:
    """Distil or take from the cache the body that the candidate inherits, fine-tune it, and score it: 'early' on held-out training
    rows, 'final' on the dev split, with as many seeds as the settings ask for. Where they ask for the supernet's accuracy, the early stage
    trains nothing for the candidate alone (`engine.supernet`). Finished work in `workdir` is returned as it is; unfinished work is gone on with.

    Raises:
        UsageError: unknown task or teacher, or an architecture that is no cut of the teacher.
        Cancelled: `should_stop()` turned true.
        TrainingError: the loss is no longer a number.
    """
    first = _Tuning(architecture, settings, stage, settings.seed, workdir / stage)
    result = first.result(progress, should_stop)
    others = []
    for seed in range(settings.seed + 1, settings.seed + settings.final_seeds) if stage == "final" else ():
        told = partial(_told_of_seed, progress, seed)
        another = replace(first, seed=seed, place=workdir / f"{stage}-seed-{seed}").result(told, should_stop)
        another.weights.unlink(missing_ok=True)
        others.append(another)
    return replace(result, metrics_by_seed=tuple(each.metrics for each in (result, *others)))


def training_facts(settings: Settings, task: "Task") -> dict[str, Any]:
    """How the final stage trains, for a model card. `dev_rows_in_train`: rows of the dev split whose text is in the train split too."""
    from engine.problem import texts_of

    seen = set(texts_of(task, "train"))
    distilled = bool(settings.distil_tokens and settings.distil_seconds)
    return {
        "epochs": settings.final_epochs,
        "seed": settings.seed,
        "losses": [loss for loss in settings.losses if distilled or loss == "logits"],
        "logits_teacher": settings.logits_teacher,
        "distil_tokens": settings.distil_tokens,
        "text": Path(settings.text).name if settings.text else None,
        "train_rows": len(task.train),
        "dev_rows": len(task.dev),
        "dev_rows_in_train": sum(text in seen for text in texts_of(task, "dev")),
    }


def spread(scores: Sequence[float]) -> dict[str, float | int | None]:
    """Mean and sample standard deviation of the scores of several seeds; one alone has no deviation."""
    return {"seeds": len(scores), "mean": fmean(scores), "deviation": stdev(scores) if len(scores) > 1 else None}


@dataclass(frozen=True)
class _Tuning:
    """A candidate's fine-tuning with one seed. Its files begin with `place`."""

    architecture: Architecture
    settings: Settings
    stage: "Stage"
    seed: int
    place: Path

    @property
    def _asked(self) -> dict[str, Any]:
        from engine.training import FORMAT

        settings = {name: value for name, value in self.settings.to_dict().items() if name != "final_seeds"}
        return {"training": FORMAT, "architecture": str(self.architecture), "settings": settings, "seed": self.seed}

    def result(self, progress: Progress, should_stop: ShouldStop) -> CandidateResult:
        """Finished work as it is, else done."""
        from engine.checkpoint import save_text, save_weights
        from engine.ground import ground_of
        from engine.training import predict

        weights, report, checkpoint = (self._file(suffix) for suffix in ("safetensors", "json", "checkpoint"))
        done = _finished(report, weights, self._asked, needs_weights=self.seed == self.settings.seed)
        if done is not None:
            return done
        ground = ground_of(self.settings)
        problem = ground.problem
        split = problem.split(self.stage)
        encoder, seconds = self._tuned(ground, split.examples, checkpoint, progress, should_stop)
        metrics = problem.score(split, predict(encoder, split.scored_rows, problem.pad, should_stop))
        save_weights(encoder.state_dict(), weights, {"architecture": str(self.architecture)})
        kept: dict[str, Any] = {
            "accuracy": next(iter(metrics.values())),
            "metrics": dict(metrics),
            "seconds": seconds,
            "outputs": encoder.outputs,
        }
        save_text(json.dumps({"asked": self._asked, "result": kept}), report)
        checkpoint.unlink(missing_ok=True)
        return CandidateResult(**kept, weights=weights)

    def _tuned(
        self, ground: "Ground", examples: "Examples", checkpoint: Path, progress: Progress, should_stop: ShouldStop
    ) -> "tuple[Encoder, float]":
        """The trained candidate, and the seconds that its own training took."""
        from engine.supernet import member
        from engine.training import Recipe, train

        settings, problem, early = self.settings, ground.problem, self.stage == "early"
        if early and settings.accuracy == SUPERNET:
            return member(ground, self.architecture, progress, should_stop), 0.0
        encoder = ground.student(self.architecture, self.stage, progress, should_stop, self.seed)
        examples = ground.with_teacher_outputs(examples, self.stage, progress, should_stop)
        recipe = Recipe(settings.early_epochs if early else settings.final_epochs, self.seed)
        transfer = ground.transfer(encoder)
        return encoder, train(
            encoder, examples, recipe, problem.heads, problem.pad, checkpoint, progress, should_stop, transfer
        )

    def _file(self, suffix: str) -> Path:
        return self.place.with_name(f"{self.place.name}.{suffix}")


def untrained_candidate(architecture: Architecture, settings: Settings) -> "BuildRequest":
    """The candidate as the compiler takes it, with random weights: its latency, at the one sequence length of the search, is the same.

    Raises:
        UsageError: unknown task or teacher.
    """
    from compiler.build import BuildRequest, ProgramMaker
    from engine.problem import pooling_of
    from engine.search import fields_of_architecture

    task, rows, pad = _samples(settings)
    arguments = {"architecture": fields_of_architecture(architecture), "outputs": task.outputs, "pooling": pooling_of(task)}
    arguments |= {"seed": settings.seed, "rows": rows, "pad": pad, "seq_len": settings.seq_len}
    # A random head answers with numbers near zero, beside which what fewer bits round away is large: that says nothing.
    tolerance = None if settings.precision == FP32 else inf
    return BuildRequest(ProgramMaker(UNTRAINED, arguments), None, settings.device, settings.precision, tolerance)


def export_candidate(architecture: Architecture, settings: Settings, weights: Path, out: Path) -> "BuildRequest":
    """The trained candidate as the compiler takes it, in the folder `out`, with sentences of the task as samples: a model to ship, which
    takes shorter sentences at shorter lengths.

    Raises:
        UsageError: unknown task or teacher.
    """
    from compiler.build import BuildRequest
    from compiler.lengths import USUAL_SEQ_LENS

    shorter = tuple(length for length in USUAL_SEQ_LENS if length < settings.seq_len)
    exported = export_trained(architecture, settings, weights, out, shorter)
    return BuildRequest(*exported, settings.device, settings.precision, None, shorter)


def export_trained(
    architecture: Architecture, settings: Settings, weights: Path, out: Path, shorter: Sequence[int] = ()
) -> tuple[Path, Path]:
    """The trained candidate as `engine.export.export_encoder` writes it.

    Raises:
        UsageError: unknown task or teacher.
    """
    from safetensors.torch import load_file

    from engine.encoder import Encoder
    from engine.export import export_encoder
    from engine.problem import pooling_of

    task, rows, pad = _samples(settings)
    encoder = Encoder(architecture, task.outputs, pooling_of(task), settings.seed)
    encoder.load_state_dict(load_file(str(weights)))
    return export_encoder(encoder, rows, pad, settings.seq_len, out, shorter)


def _samples(settings: Settings) -> "tuple[Task, list[Row], int]":
    """The task, sentences of it for the compiler's numerical check, and the token that pads them."""
    from data.tasks import load_task
    from engine.problem import sample_texts
    from engine.teacher import model_folder, read_tokenizer
    from engine.tokens import encode, pad_id

    task = load_task(settings.task)
    tokenizer = read_tokenizer(model_folder(settings.teacher), settings.teacher)
    return task, encode(tokenizer, sample_texts(task, SAMPLE_ROWS), settings.seq_len), pad_id(tokenizer)


def score_compiled(folder: Path, settings: Settings, should_stop: ShouldStop = never, device: str = HOST) -> dict[str, float]:
    """Metrics of a compiled model on the dev split, the main one first: of what ships, whatever its precision. It answers on the device
    that it was compiled for: this machine, or a connected phone.

    Raises:
        UsageError: unknown task or teacher.
        MeasureError: the phone that is to answer is not connected, or went away and did not come back.
        Cancelled: `should_stop()` turned true.
    """
    from data.tasks import evaluate, load_task
    from engine.problem import texts_of
    from engine.teacher import model_folder, read_tokenizer
    from engine.tokens import collate, encode, pad_id

    task = load_task(settings.task)
    tokenizer = read_tokenizer(model_folder(settings.teacher), settings.teacher)
    rows = encode(tokenizer, texts_of(task, "dev"), settings.seq_len)
    answers = []
    with _answering(folder, device, settings.threads, should_stop) as (answer, at_once):
        for start in range(0, len(rows), at_once):
            if should_stop():
                raise Cancelled("stopped while the compiled model was scored")
            batch = collate(rows[start : start + at_once], pad_id(tokenizer), settings.seq_len)
            answers.append(answer(*(tensor.numpy() for tensor in batch)))
    return dict(evaluate(task, np.concatenate(answers)))


@contextmanager
def _answering(
    folder: Path, device: str, threads: int | None, should_stop: ShouldStop
) -> Iterator[tuple[Callable[..., np.ndarray], int]]:
    """What answers token ids where the compiled model runs, and how many sentences to ask it at once."""
    if device != HOST:
        from compiler.phone.model import PhoneModel

        phone = PhoneModel(folder, device, threads)
        yield partial(phone.run, should_stop=should_stop), SCORED_AT_ONCE_ON_PHONE
        return
    from compiler.isa import cores
    from compiler.session import Session

    with Session(folder, threads or cores()) as session:

        def answer(*inputs: np.ndarray) -> np.ndarray:
            with busy():
                return session.run(*inputs)

        yield answer, SCORED_AT_ONCE


def _told_of_seed(progress: Progress, seed: int, message: str, fraction: float, data: dict[str, Any]) -> None:
    progress(f"seed {seed}: {message}", fraction, data)


def _finished(report: Path, weights: Path, asked: Mapping[str, Any], needs_weights: bool) -> CandidateResult | None:
    if not report.is_file() or (needs_weights and not weights.is_file()):
        return None
    kept = json.loads(report.read_text(encoding="utf-8"))
    if kept["asked"] != asked:
        return None
    return CandidateResult(**kept["result"], weights=weights)
