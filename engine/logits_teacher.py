"""Teachers that students learn answers from and nothing else, so that architecture, hidden size and tokenizer may be any: `--logits-teacher`.

A classifier in Hugging Face's layout is asked as it is. A BERT-family encoder without a head is fine-tuned on the task first, with its own
tokenizer (`engine.tuned_teacher`). Only safetensors weights are read, and no code of a checkpoint is ever run.
"""

import hashlib
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compiler.quiet import ShouldStop, busy
from data.errors import Cancelled, ModelError
from data.home import subfolder
from data.tasks import Task
from engine.pace import Progress
from engine.problem import Problem
from engine.teacher import load_teacher, model_folder, read_json

if TYPE_CHECKING:
    from torch import Tensor

CLASSIFIER = "ForSequenceClassification"  # how transformers names such models, in `architectures` of their config.json
FILES = ("*.json", "*.txt", "*.model", "*.safetensors")  # all that is read of one: configuration, tokenizer, weights
BATCH_TOKENS = 512  # padding included: within a second for BERT-base on two cores, for which a latency measurement may wait
FORMAT = 1  # counted up when a change of this code makes answers differ


@dataclass(frozen=True)
class LogitsTeacher:
    """One such teacher, of which nothing but the configuration was read.

    Raises:
        ModelError: no such model, not in safetensors form, or other outputs than the task has.
    """

    spec: str
    folder: Path
    order: tuple[int, ...] | None  # for each label of the task the classifier's own number of it; None: the model has no head

    @classmethod
    def of(cls, spec: str, task: Task) -> "LogitsTeacher":
        if len(task.parts) > 1:
            raise ModelError(
                f"logits teacher '{spec}' answers one task; leave it away for {task.name}, or give that task alone"
            )
        folder = model_folder(spec, FILES)
        config = read_json(folder / "config.json")
        if not config:
            raise ModelError(f"logits teacher '{spec}': {folder} is not a model, as it has no readable config.json")
        if not any(name.endswith(CLASSIFIER) for name in config.get("architectures") or ()):
            return cls(spec, folder, None)
        if not list(folder.glob("*.safetensors")):
            raise ModelError(
                f"logits teacher '{spec}': {folder} has no safetensors weights; pickled ones are never read, convert them first"
            )
        return cls(spec, folder, _order(spec, config, task))

    def outputs(self, problem: Problem, seq_len: int, seed: int, progress: Progress, should_stop: ShouldStop) -> "Tensor":
        """Its answers (n, N) on a task's training rows, in their order; kept for all later students and runs. A regression's are in the
        labels' scale, which a classifier's own may not be: the line that takes one to the other is fitted on these rows.

        Raises:
            ModelError: weights or a tokenizer that cannot be read.
            Cancelled, TrainingError: as `tuned_teacher`.
        """
        from safetensors.torch import load_file

        from engine.checkpoint import only_one, save_weights

        if self.order is None:
            return self._tuned(problem.task, seq_len, seed, progress, should_stop)
        about = [FORMAT, self._fingerprint(), problem.fingerprint, problem.train_texts, seq_len, self.order]
        key = hashlib.sha256(json.dumps(about).encode()).hexdigest()[:16]
        folder = subfolder("cache", "teachers", key)
        with only_one(folder / "lock", lambda: progress("another process asks the same teacher", 0.0, {}), should_stop):
            kept = folder / "outputs.safetensors"
            if not kept.is_file():
                answers = self._asked(problem.train_texts, seq_len, progress, should_stop)[:, list(self.order)]
                if problem.task.kind == "regression":
                    answers = _to_scale(answers, problem.split("final").examples.labels)
                save_weights({"outputs": answers}, kept, {"teacher": self.spec})
        return load_file(str(kept))["outputs"]

    def _tuned(self, task: Task, seq_len: int, seed: int, progress: Progress, should_stop: ShouldStop) -> "Tensor":
        from engine.tuned_teacher import tuned_teacher

        teacher = load_teacher(self.spec)
        own = Problem(task, teacher.tokenizer, seq_len)
        return tuned_teacher(teacher, own, seed, progress, should_stop).outputs

    def _asked(
        self, texts: Sequence[str | tuple[str, str]], seq_len: int, progress: Progress, should_stop: ShouldStop
    ) -> "Tensor":
        import torch

        from engine.hardware import mixed_precision, training_device
        from engine.tokens import Row, batches_of_tokens

        model, tokenizer = self._loaded()
        columns = [list(texts)] if isinstance(texts[0], str) else list(map(list, zip(*texts, strict=True)))
        encoded = tokenizer(*columns, truncation=True, max_length=min(seq_len, tokenizer.model_max_length))
        rows = [Row(ids, []) for ids in encoded["input_ids"]]
        device, found, done = training_device(), torch.zeros(len(texts), model.config.num_labels), 0
        model.to(device).eval()
        for indices in batches_of_tokens(rows, BATCH_TOKENS, random.Random(0)):
            if should_stop():
                raise Cancelled("asking the logits teacher was stopped")
            chosen = {name: [values[index] for index in indices] for name, values in encoded.items()}
            batch = tokenizer.pad(chosen, return_tensors="pt").to(device)
            with busy(), torch.no_grad(), mixed_precision(device):
                found[indices] = model(**batch).logits.float().cpu()
            done += len(indices)
            progress(f"asking {self.spec}", done / len(texts), {"rows": done})
        return found

    def _loaded(self) -> tuple[Any, Any]:
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        try:
            tokenizer = AutoTokenizer.from_pretrained(str(self.folder), local_files_only=True, trust_remote_code=False)
            model = AutoModelForSequenceClassification.from_pretrained(
                str(self.folder), local_files_only=True, trust_remote_code=False, use_safetensors=True, dtype="float32"
            )
        except Exception as error:  # transformers raises errors of its own for each file
            reason = " ".join(str(error).split())[:200]
            raise ModelError(f"logits teacher '{self.spec}' cannot be read ({reason}); take another") from error
        return model, tokenizer

    def _fingerprint(self) -> str:
        digest = hashlib.sha256()
        for path in sorted({path for pattern in FILES for path in self.folder.glob(pattern)}):
            with path.open("rb") as file:
                digest.update(path.name.encode() + hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()[:16]


def _order(spec: str, config: Mapping[str, Any], task: Task) -> tuple[int, ...]:
    """By the labels' names where the model has the task's; else its numbers are taken to be the task's."""
    names = {int(number): str(name).lower() for number, name in (config.get("id2label") or {}).items()}
    count = len(names) or int(config.get("num_labels", 2))
    if count != task.outputs:
        raise ModelError(
            f"logits teacher '{spec}' answers with {count} numbers, task {task.name} asks for {task.outputs}; take another"
        )
    wanted = [name.lower() for name in task.label_names]
    if sorted(names.values()) == sorted(wanted):
        number_of = {name: number for number, name in names.items()}
        return tuple(number_of[name] for name in wanted)
    return tuple(range(count))


def _to_scale(answers: "Tensor", labels: "Tensor") -> "Tensor":
    """Least squares of labels (n,) on answers (n, 1)."""
    centred, wanted = answers[:, 0] - answers.mean(), labels - labels.mean()
    slope = (centred @ wanted) / (centred @ centred).clamp(min=1e-12)
    return (slope * centred + labels.mean())[:, None]
