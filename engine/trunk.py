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

from compiler.quiet import ShouldStop
from data.home import subfolder
from engine.architecture import Architecture
from engine.checkpoint import only_one, save_weights
from engine.corpus import Corpus
from engine.distillation import Plan, distil
from engine.encoder import Encoder
from engine.pace import Progress
from engine.student import cut, inherited
from engine.teacher import Teacher
from engine.tokens import Row, collate, pad_id

FORMAT = 2  # counted up when a change of this code makes older bodies worth less than new ones
SAMPLE_TOKENS = (
    1024  # of each sampled chunk: on them neurons are ranked and principal directions found; the fit takes all of the chunk
)
SAMPLE_CHUNKS = (0, 2)  # one of the task's, one of the text's: some 10,000 to 20,000 tokens
FITTED = True  # a body that is cut is fitted before it is distilled

Start = Callable[[], tuple[Encoder, nn.Linear | None]]


@dataclass(frozen=True)
class Distiller:
    """A teacher, what its students read, and how they are distilled: all bodies of one search share these."""

    teacher: Teacher
    corpus: Corpus
    plan: Plan  # with the FFN sizes of the search space as its choices

    def trunk(self, architecture: Architecture, progress: Progress, should_stop: ShouldStop) -> Path:
        """The safetensors of the shared body for an architecture's depth and hidden size, as wide as the largest FFN size.

        Distilled on first use, on `plan.tokens`; a killed or cancelled distillation goes on where it was, and a second
        process that wants the same one waits for the first.

        Raises:
            ModelError: no student of this teacher can have these sizes.
            Cancelled, TrainingError: see `engine.distillation.distil`.
        """
        ffn_size = max(*self.plan.ffn_choices, *architecture.ffn_sizes)
        largest = replace(architecture, ffn_sizes=(ffn_size,) * architecture.layers)
        return self._body(largest, self.plan, "teacher", lambda: self.cut(largest, FITTED), progress, should_stop)

    def tailored(self, architecture: Architecture, progress: Progress, should_stop: ShouldStop) -> Path:
        """The safetensors of a body distilled for one architecture alone: its trunk's, then `plan.tokens` more.

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
        return self.cut(architecture, fitted=False)[0]

    def projection_of(self, architecture: Architecture) -> nn.Linear | None:
        """The map from a student's hidden states, as cut, to the teacher's; None where they are of one size."""
        return self.cut(architecture, fitted=False)[1]

    def cut(self, architecture: Architecture, fitted: bool) -> tuple[Encoder, nn.Linear | None]:
        """See `engine.student.cut`; cut, and where asked fitted, on rows of the corpus."""
        sample = [row for chunk in SAMPLE_CHUNKS for row in self._rows(chunk, SAMPLE_TOKENS)[0]]
        pad = pad_id(self.corpus.tokenizer)
        fitted_on = [collate(rows, pad) for chunk in SAMPLE_CHUNKS if fitted for rows in self._rows(chunk, SAMPLE_TOKENS)]
        return cut(self.teacher.encoder, architecture, collate(sample, pad), fitted_on)

    def _rows(self, chunk: int, batch_tokens: int) -> list[list[Row]]:
        return self.corpus.batches(self.plan.seed, chunk, batch_tokens)

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
