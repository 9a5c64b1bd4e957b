"""A task as an encoder learns it: tokenised rows, labels, which rows are trained on and which are scored at each stage."""

import hashlib
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from data.tasks import Task, evaluate, spans
from engine.encoder import Pooling
from engine.tokens import Row, encode, pad_id
from engine.training import Examples, Head

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
    scored_rows: Sequence[Row]  # of a joint task those of each part in turn
    scored_labels: Sequence[float]
    counts: tuple[int, ...]  # of scored rows, by part


class Problem:
    """A task tokenised for one teacher, `seq_len` tokens at most."""

    def __init__(self, task: Task, tokenizer: "Tokenizer", seq_len: int) -> None:
        self.task = task
        self.heads = heads_of(task)
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
            counts = tuple(len(part.dev) for part in self.task.parts)
            return Split(self._examples(range(len(self._train))), self._dev, list(self.task.dev["label"]), counts)
        scored: list[int] = []
        trained: list[int] = []
        counts = ()
        for rows in self._rows_by_part():
            order = list(range(rows.start, rows.stop))
            random.Random(SPLIT_SEED).shuffle(order)
            held_out = max(1, min(MOST_HELD_OUT_ROWS, int(len(order) * HELD_OUT_SHARE)))
            scored += order[:held_out]
            trained += order[held_out : held_out + MOST_EARLY_ROWS // len(self.heads)]
            counts += (held_out,)
        return Split(self._examples(trained), [self._train[i] for i in scored], [self._labels[i] for i in scored], counts)

    def _rows_by_part(self) -> list[slice]:
        return spans([len(part.train) for part in self.task.parts])

    def score(self, split: Split, outputs: Tensor) -> Mapping[str, float]:
        """The task's metrics of outputs (n, N), main one first."""
        return evaluate(self.task, outputs.numpy(), split.scored_labels, split.counts)

    def _examples(self, indices: Iterable[int]) -> Examples:
        kept = list(indices)
        dtype = torch.int64 if self.task.kind == "classification" else torch.float32
        heads = None
        if len(self.heads) > 1:
            owner = [number for number, part in enumerate(self.task.parts) for _ in range(len(part.train))]
            heads = torch.tensor([owner[i] for i in kept], dtype=torch.int64)
        labels = torch.tensor([self._labels[i] for i in kept], dtype=dtype)
        return Examples([self._train[i] for i in kept], labels, heads=heads)


def heads_of(task: Task) -> tuple[Head, ...]:
    """One for each part of the task, side by side."""
    return tuple(
        Head("regression" if part.kind == "regression" else "classification", columns.start, columns.stop)
        for part, columns in zip(task.parts, task.columns, strict=True)
    )


def pooling_of(task: Task) -> Pooling:
    """Two sentences are pooled each by itself, for the head to compare: MiniLM fine-tuned for one epoch on STS-B reaches 0.863 dev
    Pearson so, and 0.840 with one mean over both. In a joint task a sentence alone is one whose second is empty: v is zero."""
    return "pair" if task.text_columns == 2 else "mean"


def texts_of(task: Task, split: Literal["train", "dev"]) -> list[str | tuple[str, str]]:
    """A split's sentences, or pairs of them; of a joint task those of each part in turn."""
    texts: list[str | tuple[str, str]] = []
    for part in task.parts:
        rows = part.train if split == "train" else part.dev
        texts += rows["text_a"] if part.text_columns == 1 else zip(rows["text_a"], rows["text_b"], strict=True)
    return texts


def sample_texts(task: Task, count: int) -> list[str | tuple[str, str]]:
    """The first dev sentences, or pairs of them, as many of each part."""
    parts = task.parts
    return [text for part in parts for text in texts_of(part, "dev")[: -(-count // len(parts))]]
