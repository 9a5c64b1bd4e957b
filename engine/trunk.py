"""Trunks: bodies distilled once and shared. A trunk serves every candidate of its depth and hidden size, whatever their FFN sizes;
a tailored body goes on from it for one architecture. Both are kept under `home()/cache/trunks`, by content, for all later runs.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor, nn

from compiler.quiet import ShouldStop, busy
from data.home import subfolder
from engine.architecture import Architecture
from engine.checkpoint import only_one, save_weights
from engine.corpus import Corpus
from engine.distillation import Plan, distil
from engine.encoder import Encoder
from engine.pace import Progress
from engine.student import cut, inherited
from engine.teacher import Teacher
from engine.tokens import collate, pad_id

FORMAT = 1  # counted up when a change of this code makes older bodies worth less than new ones
SAMPLE_TOKENS = 1024  # of each sampled chunk: on them neurons are ranked and principal directions found
SAMPLE_CHUNKS = (0, 2)  # one of the task's, one of the text's

Start = Callable[[], tuple[Encoder, nn.Linear | None]]


@dataclass(frozen=True)
class Distiller:
    """A teacher, what its students read, and how they are distilled: all bodies of one search share these."""

    teacher: Teacher
    corpus: Corpus
    plan: Plan  # with the FFN sizes of the search space as its choices

    def trunk(self, architecture: Architecture, progress: Progress, should_stop: ShouldStop) -> Path:
        """The safetensors of the shared body for an architecture's depth and hidden size, as wide as the largest FFN size.

        Distilled on first use, which takes `plan.seconds`; a killed or cancelled distillation goes on where it was, and a second
        process that wants the same one waits for the first.

        Raises:
            ModelError: no student of this teacher can have these sizes.
            Cancelled, TrainingError: see `engine.distillation.distil`.
        """
        ffn_size = max(*self.plan.ffn_choices, *architecture.ffn_sizes)
        largest = replace(architecture, ffn_sizes=(ffn_size,) * architecture.layers)
        return self._body(largest, self.plan, "teacher", lambda: self._cut(largest), progress, should_stop)

    def tailored(self, architecture: Architecture, progress: Progress, should_stop: ShouldStop) -> Path:
        """The safetensors of a body distilled for one architecture alone: its trunk's, then `plan.seconds` more.

        Raises:
            As `trunk`.
        """
        trunk = self.trunk(architecture, progress, should_stop)
        plan = replace(self.plan, seed=self.plan.seed + 1, ffn_choices=())

        def start() -> tuple[Encoder, nn.Linear | None]:
            weights = load_file(str(trunk))
            return inherited(architecture, weights, 0, "mean", 0), _projection(weights)

        return self._body(architecture, plan, trunk.parent.name, start, progress, should_stop)

    def undistilled(self, architecture: Architecture) -> Encoder:
        """The body as cut from the teacher, for training without distillation (CANAO Table 3 compares the two)."""
        return self._cut(architecture)[0]

    def _cut(self, architecture: Architecture) -> tuple[Encoder, nn.Linear | None]:
        rows = [
            row
            for chunk in range(2)
            for batch in self.corpus.batches(self.plan.seed, chunk, SAMPLE_TOKENS)[:1]
            for row in batch
        ]
        with busy():
            return cut(self.teacher.encoder, architecture, collate(rows, pad_id(self.corpus.tokenizer)))

    def _body(
        self, architecture: Architecture, plan: Plan, source: str, start: Start, progress: Progress, should_stop: ShouldStop
    ) -> Path:
        about = {
            "format": FORMAT,
            "architecture": str(architecture),
            "source": source,
            "teacher": self.teacher.fingerprint,
            "corpus": self.corpus.fingerprint,
            "plan": asdict(plan),
        }
        key = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:16]
        folder = subfolder("cache", "trunks", key)
        finished, checkpoint = folder / "body.safetensors", folder / "checkpoint.pt"

        def waiting() -> None:
            progress("another process distils the same body", 0.0, {})

        with only_one(folder / "lock", waiting, should_stop):
            if not finished.is_file():
                student, projection = start()
                distil(self.teacher, student, projection, self.corpus, plan, checkpoint, progress, should_stop)
                weights = student.state_dict()
                if projection is not None:
                    weights |= {f"projection.{name}": tensor for name, tensor in projection.state_dict().items()}
                save_weights(weights, finished, {"about": json.dumps(about)})
                checkpoint.unlink(missing_ok=True)
        return finished


def _projection(weights: Mapping[str, Tensor]) -> nn.Linear | None:
    """The map to the teacher's hidden size that was distilled with a narrower body."""
    if "projection.weight" not in weights:
        return None
    weight, bias = weights["projection.weight"], weights["projection.bias"]
    linear = nn.Linear(weight.shape[1], weight.shape[0])
    linear.load_state_dict({"weight": weight, "bias": bias})
    return linear
