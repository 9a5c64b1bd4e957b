"""Distilling a student body from its teacher on unlabelled rows: feature maps and attention, for a number of tokens. The same seed
then gives the same body however busy the machine is, as long as the time allowed suffices.

The teacher's outputs are computed as they are needed. Kept in a file instead, they would be read once only: no row comes twice to a body, and
bodies of another depth learn from other layers.

All layers learn jointly, or progressively: one after the other, with those before it frozen (MobileBERT, Sun et al. 2020, section 3.4).

The body may be elastic: each step runs with another FFN size in each layer, a prefix of its neurons, so that one distilled body
serves every FFN size of the search (slimmable networks, Yu et al. 2019). Embeddings are the teacher's and stay frozen.
"""

import random
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import torch
from torch import Tensor, nn
from torch.func import functional_call

from compiler.quiet import ShouldStop, busy
from data.errors import TrainingError
from engine.architecture import Architecture
from engine.checkpoint import TrainingState
from engine.corpus import Corpus
from engine.encoder import Encoder, Features
from engine.hardware import mixed_precision, training_device
from engine.pace import Pace, Progress
from engine.student import ffn_prefix
from engine.teacher import Teacher
from engine.tokens import Batch, collate, pad_id
from engine.transfer import Transfer

LEARNING_RATE = 6e-4
FINAL_LEARNING_RATE = 1e-5
WARMUP_STEPS = 50
GRADIENT_NORM = 1.0
STEP_FLOPS = 60e9  # of teacher and student: 0.4 s on two AVX2 cores, which a latency measurement may have to wait for
MOST_STEP_TOKENS = 1024
LEAST_STEP_TOKENS = 128
COUNTERS = ("trained_s", "steps", "tokens", "chunk", "batch")  # of a run, kept in its checkpoint


@dataclass(frozen=True)
class Plan:
    """How a body is distilled."""

    tokens: int  # read, padding not counted
    seconds: float  # of training steps at most; what they wait for a measurement is not counted
    seed: int
    losses: tuple[str, ...]  # of "hidden" and "attention"; others are not this stage's
    ffn_choices: tuple[int, ...] = ()  # the FFN sizes of an elastic body; none: every step runs the student as it is
    progressive: bool = False  # one layer after the other, each for an equal share of the tokens; else all jointly


class _FeaturesOf(nn.Module):
    """`Encoder.features` as a forward, so that `functional_call` can run it with other weights."""

    def __init__(self, student: Encoder) -> None:
        super().__init__()
        self.student = student

    def forward(self, batch: Batch, trained: range) -> Features:
        return self.student.features(*batch, trained)


def distil(
    teacher: Teacher,
    student: Encoder,
    projection: nn.Linear | None,
    corpus: Corpus,
    plan: Plan,
    checkpoint: Path,
    progress: Progress,
    should_stop: ShouldStop,
) -> None:
    """Train `student` in place until `plan.tokens` are read or `plan.seconds` used; a checkpoint about every 20 s lets a killed run go
    on from there.

    Raises:
        Cancelled: `should_stop()` turned true; the checkpoint holds what was reached.
        TrainingError: the loss is no longer a number.
    """
    run = _Run(teacher, student, projection, plan, checkpoint)
    run.restore()
    pace = Pace(progress, should_stop)
    step_tokens = _step_tokens(teacher.architecture, student.architecture)
    what = f"distilling {student.architecture.layers} layers of hidden size {student.architecture.hidden_size}"
    try:
        while not run.over:
            batches = corpus.batches(plan.seed, run.chunk, step_tokens)
            for rows in batches[run.batch :]:
                pace.check(what, run.save)
                with busy():
                    loss = run.step(collate(rows, pad_id(corpus.tokenizer)))
                figures = {"loss": loss, "steps": run.steps, "tokens_per_s": run.tokens / max(run.trained_s, 1e-9)}
                pace.step(what, run.done, figures)
                run.batch += 1
                if pace.checkpoint_due():
                    run.save()
                if run.over:
                    break
            run.chunk, run.batch = run.chunk + 1, 0
        if run.tokens < plan.tokens:
            seen = f"{run.tokens:,} of {plan.tokens:,} tokens"
            progress(f"{what}: the time allowed was up after {seen}, so that another machine may come to another body", 1.0, {})
    finally:
        run.leave()


class _Run:
    """One distillation under way: what a step changes, and how that is kept."""

    def __init__(self, teacher: Teacher, student: Encoder, projection: nn.Linear | None, plan: Plan, checkpoint: Path) -> None:
        self.device = training_device()
        self.transfer = Transfer.between(teacher.encoder, student, projection, plan.losses)
        self.transfer.to(self.device)
        self.student = student.to(self.device).train()
        self.features = _FeaturesOf(self.student)
        self.plan = plan
        student.embeddings.requires_grad_(False)
        self.trained = {f"student.{name}": value for name, value in student.named_parameters() if value.requires_grad}
        self.trained |= {f"projection.{name}": value for name, value in self.transfer.projection.named_parameters()}
        self.optimizer = torch.optim.AdamW(list(self.trained.values()), lr=LEARNING_RATE, fused=True)
        self.state = TrainingState(checkpoint, self.trained, self.optimizer)
        self.trained_s = 0.0
        self.steps = self.tokens = self.chunk = self.batch = 0

    def step(self, batch: Batch) -> float:
        started = perf_counter()
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate()
        loss = self._loss(Batch(*(tensor.to(self.device) for tensor in batch)))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(list(self.trained.values()), GRADIENT_NORM)
        self.optimizer.step()
        self.optimizer.zero_grad()
        value = float(loss.detach())
        if value != value:
            raise TrainingError("the distillation loss is not a number; the teacher's weights may be damaged, try another")
        self.steps += 1
        self.tokens += int(batch.attention_mask.sum())
        self.trained_s += perf_counter() - started
        return value

    def _loss(self, batch: Batch) -> Tensor:
        trained, _ = self._under_way()
        with mixed_precision(self.device):
            ours: Features = functional_call(self.features, self._elastic(), (batch, trained))
            return self.transfer.loss(ours, batch, trained)

    def _under_way(self) -> tuple[range, float]:
        """The layers that are trained now, and the share of their tokens that is left."""
        layers = self.student.architecture.layers
        done = self._schedule()
        if not self.plan.progressive:
            return range(layers), 1 - done
        layer = min(layers - 1, int(done * layers))
        return range(layer, layer + 1), layer + 1 - done * layers

    def _elastic(self) -> dict[str, Tensor]:
        """The weights of this step: the student's own, or those of one of the FFN sizes that it must serve."""
        largest = self.student.architecture.ffn_sizes
        if not self.plan.ffn_choices:
            return {}
        rng = random.Random(f"{self.plan.seed}/{self.steps}")
        sizes = [rng.choice([size for size in self.plan.ffn_choices if size <= limit]) for limit in largest]
        return {f"student.{name}": value for name, value in ffn_prefix(dict(self.student.named_parameters()), sizes).items()}

    @property
    def over(self) -> bool:
        return self.tokens >= self.plan.tokens or self.trained_s >= self.plan.seconds

    @property
    def done(self) -> float:
        """The share that is behind, of the tokens or of the time, whichever ends it sooner."""
        return max(self.tokens / max(self.plan.tokens, 1), self.trained_s / max(self.plan.seconds, 1e-9))

    def _schedule(self) -> float:
        """The share that is behind, by the tokens read: the clock must not change a body. It decides only where half the time allowed is
        used, as the learning rate would otherwise be cut off high."""
        read = self.tokens / max(self.plan.tokens, 1)
        return min(1.0, self.done if self.trained_s > self.plan.seconds / 2 else read)

    def _learning_rate(self) -> float:
        _, left = self._under_way()
        return LEARNING_RATE * max(0.0, left) * min(1.0, (self.steps + 1) / WARMUP_STEPS) + FINAL_LEARNING_RATE

    def leave(self) -> None:
        """Teacher and student go back to where everything else expects them."""
        self.transfer.to(torch.device("cpu"))
        self.student.to("cpu").eval()

    def save(self) -> None:
        self.state.save({name: getattr(self, name) for name in COUNTERS})

    def restore(self) -> None:
        for name, value in self.state.restore().items():
            setattr(self, name, value)


def _step_tokens(teacher: Architecture, student: Architecture) -> int:
    per_token = (teacher.flops(1) + 3 * student.flops(1)) or 1
    return int(min(MOST_STEP_TOKENS, max(LEAST_STEP_TOKENS, STEP_FLOPS // per_token)))
