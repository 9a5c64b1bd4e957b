"""What all candidates of one search stand on: the task, the teacher, and the bodies distilled from it. Loaded once a process."""

import hashlib
import json
from dataclasses import replace
from functools import lru_cache
from typing import Any

from safetensors.torch import load_file

from compiler.quiet import ShouldStop
from data.home import subfolder
from data.tasks import load_task
from data.text import paragraphs, texts_for
from engine.architecture import Architecture
from engine.checkpoint import only_one, save_weights
from engine.corpus import Corpus, limited
from engine.distillation import Plan
from engine.encoder import Encoder
from engine.pace import Progress
from engine.problem import Problem, Stage
from engine.settings import Settings
from engine.space import SearchSpace
from engine.student import inherited
from engine.teacher import load_teacher
from engine.training import TEACHER_LEARNING_RATE, Examples, Recipe, predict, train
from engine.trunk import Distiller

BODY_LOSSES = {"hidden", "attention"}  # the losses of a body's distillation; "logits" belongs to the fine-tuning
TEACHER_EPOCHS = 2


class Ground:
    """A search's task and teacher, and the students that it makes of them."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.teacher = load_teacher(settings.teacher)
        task = load_task(settings.task)
        self.problem = Problem(task, self.teacher.tokenizer, settings.seq_len)
        text = paragraphs(settings.text) if settings.text else texts_for(task)
        corpus = Corpus(self.problem.train_texts, limited(text), self.teacher.tokenizer, settings.seq_len)
        sizes = (settings.depths, settings.hidden_sizes, settings.ffn_sizes)
        space = SearchSpace.for_teacher(self.teacher.architecture, *sizes)
        losses = tuple(loss for loss in settings.losses if loss in BODY_LOSSES)
        self.plan = Plan(settings.distil_seconds, settings.seed, losses, space.ffn_sizes)
        self.distiller = Distiller(self.teacher, corpus, self.plan)

    def student(self, architecture: Architecture, stage: Stage, progress: Progress, should_stop: ShouldStop) -> Encoder:
        """An untrained candidate with the weights of its body: the shared one, and at the final stage the one distilled for it alone.

        Raises:
            ModelError: no student of this teacher can have these sizes.
            Cancelled, TrainingError: see `engine.distillation.distil`.
        """
        if not self.distils:
            weights = self.distiller.undistilled(architecture).state_dict()
        elif stage == "early":
            weights = load_file(str(self.distiller.trunk(architecture, progress, should_stop)))
        else:
            weights = load_file(str(self.distiller.tailored(architecture, progress, should_stop)))
        return inherited(architecture, weights, self.problem.outputs, self.problem.pooling, self.settings.seed)

    @property
    def distils(self) -> bool:
        return bool(self.plan.losses and self.plan.seconds)

    def body_of(self, architecture: Architecture, progress: Progress, should_stop: ShouldStop) -> str:
        """A name for the weights that a candidate inherits at the early stage, which differs where they do. The body is distilled first,
        where it is not yet.

        Raises:
            As `student`.
        """
        if not self.distils:
            return f"cut of {self.teacher.fingerprint}"
        return self.distiller.trunk(architecture, progress, should_stop).parent.name

    def with_teacher_outputs(self, examples: Examples, stage: Stage, progress: Progress, should_stop: ShouldStop) -> Examples:
        """The examples with the outputs of the teacher fine-tuned on them, where the losses ask for logits; at the final stage alone,
        as the teacher's training takes longer than a candidate's early one. The outputs are kept for all later candidates.

        Raises:
            Cancelled, TrainingError: see `engine.training.train`.
        """
        if "logits" not in self.settings.losses or stage == "early":
            return examples
        problem = self.problem
        about = [self.teacher.fingerprint, problem.fingerprint, self.settings.seed, TEACHER_EPOCHS]
        folder = subfolder("cache", "teachers", hashlib.sha256(json.dumps(about).encode()).hexdigest()[:16])
        kept = folder / "outputs.safetensors"

        def told(message: str, fraction: float, data: dict[str, Any]) -> None:
            progress(f"teacher: {message}", fraction, data)

        with only_one(folder / "lock", lambda: progress("another process trains the teacher", 0.0, {}), should_stop):
            if not kept.is_file():
                encoder = Encoder(self.teacher.architecture, problem.outputs, problem.pooling, self.settings.seed)
                encoder.load_state_dict(self.teacher.encoder.state_dict(), strict=False)
                recipe = Recipe(TEACHER_EPOCHS, self.settings.seed, TEACHER_LEARNING_RATE)
                train(encoder, examples, recipe, problem.kind, problem.pad, folder / "checkpoint.pt", told, should_stop)
                save_weights({"outputs": predict(encoder, examples.rows, problem.pad, should_stop)}, kept, {})
                (folder / "checkpoint.pt").unlink(missing_ok=True)
        return replace(examples, teacher_outputs=load_file(str(kept))["outputs"])


@lru_cache(maxsize=2)
def ground_of(settings: Settings) -> Ground:
    """The ground of a search, kept for the next candidates of it and of one more search beside it.

    Raises:
        UsageError: unknown task, teacher or text.
    """
    return Ground(settings)
