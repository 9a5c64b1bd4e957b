"""What a user may choose from, asked of its owners and light to ask: tasks, teachers, devices, strategies."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from app import wording
from data.tasks import MEAN, TaskInfo, part_names, task_names

OWN_FILE = "own file"
TEACHERS = ("minilm",)  # those that need no hub and no folder
SAMPLE_CHARACTERS = 160


@dataclass(frozen=True)
class Sample:
    """A look into a task: some rows, how many examples there are, and how its labels are spread."""

    rows: tuple[dict[str, str], ...]
    train: int
    dev: int
    balance: str


@st.cache_data(show_spinner=False)
def tasks() -> dict[str, TaskInfo]:
    """The named tasks, in the order of `data.tasks`."""
    return {info.name: info for info in task_names()}


@st.cache_data(show_spinner=False)
def devices() -> list[str]:
    """Those that a model can be searched for; latency on some can only be predicted."""
    from compiler.devices import device_names

    return device_names()


@st.cache_data(show_spinner=False, ttl=30)
def measurable_devices() -> list[str]:
    """This machine, and phones as they are connected and taken away."""
    from compiler.devices import measurable_names

    return measurable_names()


def device_title(name: str) -> str:
    """A device's name, and whether its latency can only be predicted now."""
    return name if name in measurable_devices() else f"{name} · latency predicted"


def metric_of(task: str) -> str:
    """The main metric's name: of a user's own file Pearson for regression, else accuracy; of several tasks the mean of theirs."""
    if len(part_names(task)) > 1:
        return MEAN
    info = tasks().get(task)
    if info is not None:
        return wording.metric(info.metric)
    return "Pearson" if "kind=regression" in task else "accuracy"


def task_title(name: str) -> str:
    """A task's name and what it is about: one line of the choice."""
    if name == OWN_FILE:
        return "My own file (CSV, TSV, Parquet)"
    return f"{name} · {tasks()[name].description}"


@st.cache_data(show_spinner="Reading the task", max_entries=16, ttl=600)
def sample(task: str, rows: int) -> Sample:
    """The first rows of a task's training data and the spread of its labels; reads the whole data set.

    Raises:
        TaskError: the task cannot be read.
    """
    from data.tasks import load_task

    loaded = load_task(task)
    names = loaded.label_names
    labels = list(loaded.train["label"])
    shown = []
    for example in loaded.train.select(range(min(rows, len(labels)))):
        label = example["label"]
        row = {"Label": names[int(label)] if names else f"{label:.2f}", "Text": _short(example["text_a"])}
        shown.append(row | ({"Second text": _short(example["text_b"])} if loaded.text_columns == 2 else {}))
    return Sample(tuple(shown), len(labels), len(loaded.dev), balance(labels, names))


def balance(labels: Sequence[Any], names: Sequence[str] | None) -> str:
    """The share of each class, the largest first; of numbers their range and mean."""
    if not labels:
        return "No labels."
    if not names:
        return f"Labels from {min(labels):.2f} to {max(labels):.2f}, mean {sum(labels) / len(labels):.2f}."
    shares = Counter(int(label) for label in labels).most_common()
    return "Labels: " + ", ".join(f"{names[label]} {number / len(labels):.0%}" for label, number in shares) + "."


def _short(text: str) -> str:
    return text if len(text) <= SAMPLE_CHARACTERS else text[: SAMPLE_CHARACTERS - 1] + "…"
