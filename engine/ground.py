"""What all candidates of one search stand on: the task, the teacher, and the bodies distilled from it. Loaded once a process."""

from dataclasses import replace
from functools import lru_cache

from safetensors.torch import load_file

from compiler.quiet import ShouldStop
from data.tasks import load_task
from data.text import paragraphs, texts_for
from engine.architecture import Architecture
from engine.corpus import Corpus, limited
from engine.distillation import Plan
from engine.encoder import Encoder
from engine.logits_teacher import LogitsTeacher
from engine.pace import Progress
from engine.problem import Problem, Stage
from engine.settings import AUXILIARY, PROGRESSIVE, Settings
from engine.space import SearchSpace
from engine.student import inherited
from engine.teacher import load_teacher
from engine.training import Examples
from engine.transfer import Transfer
from engine.trunk import Distiller
from engine.tuned_teacher import check_answers, tuned_teacher

BODY_LOSSES = {"hidden", "attention"}  # the losses of a body's distillation; "logits" belongs to the fine-tuning


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
        budget = settings.distil_tokens, settings.distil_seconds, settings.seed
        self.plan = Plan(*budget, losses, space.ffn_sizes, settings.schedule == PROGRESSIVE)
        self.distiller = Distiller(self.teacher, corpus, self.plan)

    def student(
        self, architecture: Architecture, stage: Stage, progress: Progress, should_stop: ShouldStop, seed: int | None = None
    ) -> Encoder:
        """An untrained candidate with the weights of its body: the shared one, and at the final stage the one distilled for it alone.
        Its head is new, from the seed, without one from the search's.

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
        head_seed = self.settings.seed if seed is None else seed
        return inherited(architecture, weights, self.problem.outputs, self.problem.pooling, head_seed)

    @property
    def distils(self) -> bool:
        return bool(self.plan.losses and self.plan.tokens and self.plan.seconds) and self.settings.schedule != AUXILIARY

    def body_of(self, architecture: Architecture, progress: Progress, should_stop: ShouldStop) -> str:
        """A name for the weights that a candidate inherits at the early stage, which differs where they do. The body is distilled first,
        where it is not yet.

        Raises:
            As `student`.
        """
        if not self.distils:
            beside = f", {self.plan.losses} beside the task" if self.settings.schedule == AUXILIARY else ""
            return f"cut of {self.teacher.fingerprint}{beside}"
        return self.distiller.trunk(architecture, progress, should_stop).parent.name

    def transfer(self, student: Encoder) -> Transfer | None:
        """What a student learns from the teacher's layers while it is fine-tuned, where the schedule is the auxiliary one."""
        if self.settings.schedule != AUXILIARY or not self.plan.losses:
            return None
        projection = self.distiller.projection_of(student.architecture)
        return Transfer.between(self.teacher.encoder, student, projection, self.plan.losses)

    def with_teacher_outputs(self, examples: Examples, stage: Stage, progress: Progress, should_stop: ShouldStop) -> Examples:
        """The examples with the outputs of the logits teacher, or where the losses ask for logits of the teacher fine-tuned on them; at the
        final stage alone, as a teacher's training takes longer than a candidate's early one. The outputs are kept for all later candidates.

        Raises:
            ModelError: a logits teacher that cannot be read.
            Cancelled, TrainingError: see `engine.training.train`; or the teacher is no better than chance.
        """
        settings, problem = self.settings, self.problem
        if stage == "early" or not (settings.logits_teacher or "logits" in settings.losses):
            return examples
        if settings.logits_teacher:
            another = LogitsTeacher.of(settings.logits_teacher, problem.task)
            outputs = another.outputs(problem, settings.seq_len, settings.seed, progress, should_stop)
        else:
            outputs = tuned_teacher(self.teacher, problem, settings.seed, progress, should_stop).outputs
        check_answers(outputs, problem, settings.logits_teacher or settings.teacher)
        return replace(examples, teacher_outputs=outputs)


@lru_cache(maxsize=2)
def ground_of(settings: Settings) -> Ground:
    """The ground of a search, kept for the next candidates of it and of one more search beside it.

    Raises:
        UsageError: unknown task, teacher or text.
    """
    return Ground(settings)
