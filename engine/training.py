"""Fine-tuning an encoder on a task: AdamW, warm-up and linear decay, packed batches, the word embeddings frozen.

An elastic encoder is tuned for all its FFN sizes at once (Yu & Huang 2019, "Universally Slimmable Networks"): each step takes the largest,
the smallest and one drawn by chance, and the smaller two learn the largest one's answers as well as the labels.

The embeddings are the teacher's already; frozen, they spare AdamW two thirds of a small student's parameters, and three layers of
hidden size 384 still come to 0.854 dev Pearson on STS-B in two epochs (their teacher: 0.863 in one).
"""

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from compiler.quiet import ShouldStop, busy
from data.errors import Cancelled, TrainingError
from engine.architecture import Architecture
from engine.checkpoint import TrainingState
from engine.encoder import Encoder
from engine.hardware import mixed_precision, training_device
from engine.losses import logits_transfer
from engine.pace import Pace, Progress
from engine.packing import PackedEncoder, groups_of
from engine.student import ffn_prefix
from engine.tokens import Batch, Row, batches_of_rows, batches_of_tokens, collate
from engine.transfer import Transfer

FORMAT = 2  # counted up when a change of this code makes older fine-tuned weights worth less than new ones
BATCH_ROWS = 32
LEARNING_RATE = 2e-4  # of a student with hidden size 384; inversely proportional to the hidden size
TEACHER_LEARNING_RATE = 1e-4  # the same, for a whole pretrained teacher
HEAD_LEARNING_RATE = 10  # times the body's: the head starts from nothing
WEIGHT_DECAY = 0.01
WARMUP_SHARE = 0.1
GRADIENT_NORM = 1.0
LOGITS_WEIGHT = 0.5  # of the teacher's answer; the rest is the label's
PASSES_OF_ELASTIC = 3  # a step
BUSY_FLOPS = 100e9  # most work under one `busy()`: under a second on two AVX2 cores
COUNTERS = ("trained_s", "steps", "samples")  # of a run, kept in its checkpoint

Kind = Literal["classification", "regression"]


@dataclass(frozen=True)
class Head:
    """What of an encoder's N outputs answers one task: those from `start` to before `stop`."""

    kind: Kind
    start: int
    stop: int

    @property
    def columns(self) -> slice:
        return slice(self.start, self.stop)


@dataclass(frozen=True)
class Examples:
    """Rows with their labels, (n,): numbers of a regression, classes from 0; where a task-trained teacher takes part, its outputs (n, N);
    and where there are several heads, which one answers each row, int64 (n,)."""

    rows: Sequence[Row]
    labels: Tensor
    teacher_outputs: Tensor | None = None
    heads: Tensor | None = None


@dataclass(frozen=True)
class Recipe:
    """How long and how fast to fine-tune. `ffn_choices`: the FFN sizes of an elastic encoder, ascending; none: it is trained as it is."""

    epochs: int
    seed: int
    learning_rate: float = LEARNING_RATE
    ffn_choices: tuple[int, ...] = ()


def train(
    encoder: Encoder,
    examples: Examples,
    recipe: Recipe,
    heads: Sequence[Head],
    pad: int,
    checkpoint: Path,
    progress: Progress,
    should_stop: ShouldStop,
    transfer: Transfer | None = None,
) -> float:
    """Fine-tune in place and return the seconds that its steps took. A killed run goes on from its checkpoint, at most 20 s back. With a
    transfer, the student goes on learning from its teacher's layers beside the task (MobileBERT's auxiliary knowledge transfer). With several
    heads, one for each task, every batch has rows of all, and a row counts the same whatever its task (multi-task learning, Caruana 1997).

    Raises:
        Cancelled: `should_stop()` turned true; the checkpoint holds what was reached.
        TrainingError: the loss is no longer a number.
    """
    run = _Run(encoder, examples, recipe, heads, pad, checkpoint, transfer)
    run.restore()
    pace = Pace(progress, should_stop)
    done = 0
    for epoch in range(recipe.epochs):
        rng = random.Random(f"{recipe.seed}/{epoch}")
        for batch in batches_of_rows(len(examples.rows), BATCH_ROWS, rng):
            done += 1
            if done <= run.steps:
                continue
            pace.check("training", run.save)
            loss = run.step(batch)
            figures = {"loss": loss, "epoch": epoch + 1, "samples_per_s": run.samples / max(run.trained_s, 1e-9)}
            pace.step(f"training, epoch {epoch + 1} of {recipe.epochs}", run.steps / run.total_steps, figures)
            if pace.checkpoint_due():
                run.save()
    run.finish()
    return run.trained_s


@torch.no_grad()
def predict(encoder: Encoder, rows: Sequence[Row], pad: int, should_stop: ShouldStop) -> Tensor:
    """Float32 outputs (n, N) in the order of the rows.

    Raises:
        Cancelled: `should_stop()` turned true.
    """
    device = training_device()
    encoder.to(device).eval()
    outputs = torch.zeros(len(rows), encoder.outputs)
    for indices in batches_of_tokens(rows, _busy_tokens(encoder.architecture) * 3, random.Random(0)):
        if should_stop():
            raise Cancelled("evaluation was stopped")
        with busy(), mixed_precision(device):
            batch = collate([rows[index] for index in indices], pad)
            outputs[indices] = encoder(*(tensor.to(device) for tensor in batch)).float().cpu()
    encoder.to("cpu")
    return outputs


class _Run:
    """One fine-tuning under way: what a step changes, and how that is kept."""

    def __init__(
        self,
        encoder: Encoder,
        examples: Examples,
        recipe: Recipe,
        heads: Sequence[Head],
        pad: int,
        checkpoint: Path,
        transfer: Transfer | None = None,
    ) -> None:
        assert encoder.classifier is not None
        self.device = training_device()
        self.transfer = transfer
        self.encoder = encoder.to(self.device).train()
        self.packed = PackedEncoder(self.encoder)
        self.examples = examples
        self.heads = heads
        self.pad = pad
        self.recipe = recipe
        self.part_tokens = _busy_tokens(encoder.architecture) // (PASSES_OF_ELASTIC if recipe.ffn_choices else 1)
        self.total_steps = recipe.epochs * -(-len(examples.rows) // BATCH_ROWS)
        encoder.requires_grad_(True)
        encoder.embeddings.word_embeddings.requires_grad_(False)
        self.head = encoder.classifier
        self.low, self.span = torch.zeros(encoder.outputs), torch.ones(encoder.outputs)  # of each output's labels
        for number, head in enumerate(heads):
            if head.kind == "regression":
                own = examples.labels if examples.heads is None else examples.labels[examples.heads == number]
                self.low[head.columns], self.span[head.columns] = _range(own)
                middle = (float(own.mean()) - self.low[head.start]) / self.span[head.start]
                nn.init.constant_(self.head.bias[head.columns], float(middle))
        self.low, self.span = self.low.to(self.device), self.span.to(self.device)
        self.trained = {name: value for name, value in encoder.named_parameters() if value.requires_grad}
        if transfer is not None:
            transfer.to(self.device)
            self.trained |= {f"projection.{name}": value for name, value in transfer.projection.named_parameters()}
        rate = recipe.learning_rate * 384 / encoder.architecture.hidden_size
        fresh = [value for name, value in self.trained.items() if name.startswith("classifier.")]
        body = [value for name, value in self.trained.items() if not name.startswith("classifier.")]
        self.rates = [rate, rate * HEAD_LEARNING_RATE]
        groups = [{"params": body}, {"params": fresh}]
        self.optimizer = torch.optim.AdamW(groups, lr=rate, weight_decay=WEIGHT_DECAY, fused=True)
        self.state = TrainingState(checkpoint, self.trained, self.optimizer)
        self.trained_s = 0.0
        self.steps = self.samples = 0

    def step(self, indices: list[int]) -> float:
        """One step over a batch, in parts short enough for a waiting latency measurement; their gradients add up."""
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * self._schedule()
        loss = 0.0
        rows = [self.examples.rows[index] for index in indices]
        for part in batches_of_tokens(rows, self.part_tokens, random.Random(0)):
            with busy():
                loss += self._backward([indices[position] for position in part], len(part) / len(indices))
        if loss != loss:
            raise TrainingError("the training loss is not a number; check the labels, or take another seed")
        with busy():
            started = time.perf_counter()
            torch.nn.utils.clip_grad_norm_(list(self.trained.values()), GRADIENT_NORM)
            self.optimizer.step()
            self.optimizer.zero_grad()
            self.trained_s += time.perf_counter() - started
        self.steps += 1
        self.samples += len(indices)
        return loss

    def _backward(self, indices: list[int], share: float) -> float:
        started = time.perf_counter()
        rows = [self.examples.rows[index] for index in indices]
        # A teacher's layers are compared with the student's on one batch.
        groups = [list(range(len(rows)))] if self.transfer else groups_of(rows)
        batches = [self._batch([rows[position] for position in group]) for group in groups]
        indices = [indices[position] for group in groups for position in group]
        labels, theirs = self.examples.labels[indices].to(self.device), self._taught(indices)
        owners = None if self.examples.heads is None else self.examples.heads[indices].to(self.device)
        members, total = self._members(), 0.0
        for sizes in members:
            with mixed_precision(self.device):
                outputs, transferred = self._answers(batches, sizes)
                outputs = outputs.float()
            loss = (self._loss(outputs, labels, theirs, owners) + transferred) * share / len(members)
            loss.backward()
            total += float(loss.detach())
            if len(members) > 1 and theirs is None:
                theirs = outputs.detach()
        self.trained_s += time.perf_counter() - started
        return total

    def _members(self) -> list[Sequence[int]]:
        """FFN sizes of the networks that a step trains, the largest first; one network as it is where there is nothing to choose."""
        largest, choices = self.encoder.architecture.ffn_sizes, self.recipe.ffn_choices
        if not choices:
            return [largest]
        rng = random.Random(f"{self.recipe.seed}/{self.steps}")
        drawn = [rng.choice([size for size in choices if size <= limit]) for limit in largest]
        return [largest, [choices[0]] * len(largest), drawn]

    def _batch(self, rows: Sequence[Row]) -> Batch:
        return Batch(*(tensor.to(self.device) for tensor in collate(rows, self.pad)))

    def _answers(self, batches: Sequence[Batch], ffn_sizes: Sequence[int]) -> tuple[Tensor, Tensor | float]:
        """The outputs, and of the encoder as a whole what its layers have yet to learn from the teacher's, where that is asked for."""
        if tuple(ffn_sizes) != self.encoder.architecture.ffn_sizes:
            smaller = ffn_prefix(dict(self.encoder.named_parameters()), ffn_sizes)
            weights = {f"encoder.{name}": value for name, value in smaller.items()}
            return cast(Tensor, functional_call(self.packed, weights, (batches,))), 0.0
        if self.transfer is None:
            return cast(Tensor, self.packed(batches)), 0.0
        (batch,) = batches
        features = self.encoder.features(*batch)
        outputs = self.encoder.answer(features.hidden[-1], batch.token_type_ids, batch.attention_mask)
        return outputs, self.transfer.loss(features, batch)

    def _taught(self, indices: list[int]) -> Tensor | None:
        """The teacher's outputs, as numbers from 0 to 1 where labels are learned so."""
        theirs = self.examples.teacher_outputs
        return None if theirs is None else (theirs[indices].to(self.device) - self.low) / self.span

    def _loss(self, outputs: Tensor, labels: Tensor, theirs: Tensor | None, owners: Tensor | None) -> Tensor:
        """Mean over the rows, each answered by its own head."""
        if owners is None:
            return self._loss_of(self.heads[0], outputs, labels, theirs)
        total = outputs.new_zeros(())
        for number, head in enumerate(self.heads):
            own = owners == number
            if count := int(own.sum()):
                taught = None if theirs is None else theirs[own][:, head.columns]
                loss = self._loss_of(head, outputs[own][:, head.columns], labels[own], taught)
                total = total + loss * (count / len(owners))
        return total

    def _loss_of(self, head: Head, outputs: Tensor, labels: Tensor, theirs: Tensor | None) -> Tensor:
        """Of one head's outputs (B, its N), as a mean."""
        regression = head.kind == "regression"
        if regression:
            loss = functional.mse_loss(outputs[:, 0], (labels - self.low[head.start]) / self.span[head.start])
        else:
            loss = functional.cross_entropy(outputs, labels.long())
        if theirs is None:
            return loss
        return (1 - LOGITS_WEIGHT) * loss + LOGITS_WEIGHT * logits_transfer(outputs, theirs, regression)

    def _schedule(self) -> float:
        warmup = max(1.0, WARMUP_SHARE * self.total_steps)
        left = (self.total_steps - self.steps) / max(1.0, self.total_steps - warmup)
        return min((self.steps + 1) / warmup, left)

    @torch.no_grad()
    def finish(self) -> None:
        """Labels of a regression are learned as numbers from 0 to 1, whatever their scale; the head takes it over."""
        self.head.weight.mul_(self.span[:, None])
        self.head.bias.mul_(self.span).add_(self.low)
        self.encoder.to("cpu").eval()
        if self.transfer is not None:
            self.transfer.to(torch.device("cpu"))

    def save(self) -> None:
        self.state.save({name: getattr(self, name) for name in COUNTERS})

    def restore(self) -> None:
        for name, value in self.state.restore().items():
            setattr(self, name, value)


def _range(labels: Tensor) -> tuple[float, float]:
    """The lowest label and how far the highest is above it; 1 where all are the same."""
    low, high = float(labels.min()), float(labels.max())
    return low, (high - low) or 1.0


def _busy_tokens(architecture: Architecture) -> int:
    return max(128, int(BUSY_FLOPS // (3 * architecture.flops(1))))
