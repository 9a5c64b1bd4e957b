"""A task as an encoder learns it: tokenised rows, labels, which rows are trained on and which are scored at each stage."""

import hashlib
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from data.tasks import Task, evaluate
from engine.encoder import Pooling
from engine.tokens import Row, encode, pad_id
from engine.training import Examples, Kind

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Stage = Literal["early", "final"]

HELD_OUT_SHARE = 0.2  # of the training split: early accuracy is scored there, so that the dev split chooses nothing
MOST_HELD_OUT_ROWS = 1000  # a Pearson correlation of 0.8 is then known to about 0.01
MOST_EARLY_ROWS = 8000  # trained on at the early stage: enough to rank candidates, about a minute on two cores
SPLIT_SEED = 0  # the held-out rows are the same in every search of a task, so that early accuracies can be compared


@dataclass(frozen=True)
class Split:
    """What one stage trains on and is scored on."""

    examples: Examples
    scored_rows: Sequence[Row]
    scored_labels: Sequence[float]


class Problem:
    """A task tokenised for one teacher, `seq_len` tokens at most."""

    def __init__(self, task: Task, tokenizer: "Tokenizer", seq_len: int) -> None:
        self.task = task
        self.kind: Kind = "regression" if task.kind == "regression" else "classification"
        self.outputs = task.outputs
        self.pooling = pooling_of(task)
        self.pad = pad_id(tokenizer)
        self.train_texts = texts_of(task, "train")
        self._train = encode(tokenizer, self.train_texts, seq_len)
        self._dev = encode(tokenizer, texts_of(task, "dev"), seq_len)
        self._labels: list[float] = list(task.train["label"])

    @property
    def fingerprint(self) -> str:
        """Of all that is trained on."""
        return self._fingerprint_of(self._train, self._labels)

    @property
    def dev_fingerprint(self) -> str:
        """Of all that final numbers are scored on."""
        return self._fingerprint_of(self._dev, self.task.dev["label"])

    def _fingerprint_of(self, rows: Sequence[Row], labels: Sequence[float]) -> str:
        digest = hashlib.sha256(self.task.kind.encode())
        for row, label in zip(rows, labels, strict=True):
            digest.update(f"{row.ids}{label}".encode())
        return digest.hexdigest()[:16]

    def split(self, stage: Stage) -> Split:
        """'early' holds out part of the training rows to be scored on; 'final' trains on all and is scored on dev."""
        if stage == "final":
            everything = range(len(self._train))
            return Split(self._examples(everything), self._dev, list(self.task.dev["label"]))
        order = list(range(len(self._train)))
        random.Random(SPLIT_SEED).shuffle(order)
        held_out = max(1, min(MOST_HELD_OUT_ROWS, int(len(order) * HELD_OUT_SHARE)))
        scored, trained = order[:held_out], order[held_out : held_out + MOST_EARLY_ROWS]
        return Split(self._examples(trained), [self._train[i] for i in scored], [self._labels[i] for i in scored])

    def score(self, split: Split, outputs: Tensor) -> Mapping[str, float]:
        """The task's metrics of outputs (n, N), main one first."""
        return evaluate(self.task, outputs.numpy(), split.scored_labels)

    def _examples(self, indices: Iterable[int]) -> Examples:
        kept = list(indices)
        dtype = torch.float32 if self.kind == "regression" else torch.int64
        return Examples([self._train[i] for i in kept], torch.tensor([self._labels[i] for i in kept], dtype=dtype))


def pooling_of(task: Task) -> Pooling:
    """Two sentences are pooled each by itself, for the head to compare: MiniLM fine-tuned for one epoch on STS-B reaches 0.863 dev
    Pearson so, and 0.840 with one mean over both."""
    return "pair" if task.text_columns == 2 else "mean"


def texts_of(task: Task, split: Literal["train", "dev"]) -> list[str | tuple[str, str]]:
    """A split's sentences, or pairs of them."""
    rows = task.train if split == "train" else task.dev
    if task.text_columns == 1:
        return list(rows["text_a"])
    return list(zip(rows["text_a"], rows["text_b"], strict=True))
