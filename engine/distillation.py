"""Distilling a student body from its teacher on unlabelled rows, for a given time: feature maps and attention, all layers jointly.

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
from engine.losses import attention_transfer, feature_map_transfer
from engine.pace import Pace, Progress
from engine.student import ffn_prefix, matched_layers
from engine.teacher import Teacher
from engine.tokens import Batch, collate, pad_id

LEARNING_RATE = 6e-4
FINAL_LEARNING_RATE = 1e-5
WARMUP_STEPS = 50
GRADIENT_NORM = 1.0
ATTENTION_WEIGHT = 0.1
STEP_FLOPS = 60e9  # of teacher and student: 0.4 s on two AVX2 cores, which a latency measurement may have to wait for
MOST_STEP_TOKENS = 1024
LEAST_STEP_TOKENS = 128
COUNTERS = ("trained_s", "steps", "tokens", "chunk")  # of a run, kept in its checkpoint


@dataclass(frozen=True)
class Plan:
    """How a body is distilled."""

    seconds: float  # of training steps; what they wait for a measurement is not counted
    seed: int
    losses: tuple[str, ...]  # of "hidden" and "attention"; others are not this stage's
    ffn_choices: tuple[int, ...] = ()  # the FFN sizes of an elastic body; none: every step runs the student as it is


class _FeaturesOf(nn.Module):
    """`Encoder.features` as a forward, so that `functional_call` can run it with other weights."""

    def __init__(self, student: Encoder) -> None:
        super().__init__()
        self.student = student

    def forward(self, batch: Batch) -> Features:
        return self.student.features(*batch)


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
    """Train `student` in place until `plan.seconds` are used; a checkpoint about every 20 s lets a killed run go on from there.

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
        while run.trained_s < plan.seconds:
            for rows in corpus.batches(plan.seed, run.chunk, step_tokens):
                pace.check(what, run.save)
                with busy():
                    loss = run.step(collate(rows, pad_id(corpus.tokenizer)))
                figures = {"loss": loss, "steps": run.steps, "tokens_per_s": run.tokens / max(run.trained_s, 1e-9)}
                pace.step(what, run.trained_s / plan.seconds, figures)
                if run.trained_s >= plan.seconds:
                    break
            run.chunk += 1
            if pace.checkpoint_due():
                run.save()
    finally:
        run.leave()


class _Run:
    """One distillation under way: what a step changes, and how that is kept."""

    def __init__(self, teacher: Teacher, student: Encoder, projection: nn.Linear | None, plan: Plan, checkpoint: Path) -> None:
        self.device = training_device()
        self.teacher = teacher.encoder.to(self.device)
        self.student = student.to(self.device).train()
        self.projection = projection.to(self.device) if projection is not None else nn.Identity()
        self.features = _FeaturesOf(self.student)
        self.plan = plan
        self.matched = matched_layers(student.architecture.layers, teacher.architecture.layers)
        student.embeddings.requires_grad_(False)
        self.trained = {f"student.{name}": value for name, value in student.named_parameters() if value.requires_grad}
        self.trained |= {f"projection.{name}": value for name, value in self.projection.named_parameters()}
        self.optimizer = torch.optim.AdamW(list(self.trained.values()), lr=LEARNING_RATE, fused=True)
        self.state = TrainingState(checkpoint, self.trained, self.optimizer)
        self.trained_s = 0.0
        self.steps = self.tokens = self.chunk = 0

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
        mask = batch.attention_mask
        with mixed_precision(self.device):
            with torch.no_grad():
                theirs = self.teacher.features(*batch)
            ours: Features = functional_call(self.features, self._elastic(), (batch,))
            total = torch.zeros((), device=self.device)
            for layer, matched in enumerate(self.matched):
                if "hidden" in self.plan.losses:
                    hidden = self.projection(ours.hidden[layer + 1])
                    total = total + feature_map_transfer(hidden.float(), theirs.hidden[matched].float(), mask)
                if "attention" in self.plan.losses:
                    total = total + ATTENTION_WEIGHT * attention_transfer(ours.heads[layer], theirs.heads[matched - 1], mask)
        return total

    def _elastic(self) -> dict[str, Tensor]:
        """The weights of this step: the student's own, or those of one of the FFN sizes that it must serve."""
        largest = self.student.architecture.ffn_sizes
        if not self.plan.ffn_choices:
            return {}
        rng = random.Random(f"{self.plan.seed}/{self.steps}")
        sizes = [rng.choice([size for size in self.plan.ffn_choices if size <= limit]) for limit in largest]
        return {f"student.{name}": value for name, value in ffn_prefix(dict(self.student.named_parameters()), sizes).items()}

    def _learning_rate(self) -> float:
        left = max(0.0, 1 - self.trained_s / self.plan.seconds)
        return LEARNING_RATE * left * min(1.0, (self.steps + 1) / WARMUP_STEPS) + FINAL_LEARNING_RATE

    def leave(self) -> None:
        """Teacher and student go back to where everything else expects them."""
        for module in (self.teacher, self.student, self.projection):
            module.to("cpu").eval()

    def save(self) -> None:
        self.state.save({name: getattr(self, name) for name in COUNTERS})

    def restore(self) -> None:
        for name, value in self.state.restore().items():
            setattr(self, name, value)


def _step_tokens(teacher: Architecture, student: Architecture) -> int:
    per_token = (teacher.flops(1) + 3 * student.flops(1)) or 1
    return int(min(MOST_STEP_TOKENS, max(LEAST_STEP_TOKENS, STEP_FLOPS // per_token)))
