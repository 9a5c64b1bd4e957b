"""What the Design space page knows, without a search: sampled architectures with predicted latency and an accuracy, where one is known."""

import random
from dataclasses import dataclass

import numpy as np
import streamlit as st

from app import source, wording
from data.errors import StoreError
from data.explore import Explorer, Known
from data.home import home
from engine.architecture import Architecture
from engine.prediction.accuracy import LEAST, Learned, learn
from engine.prediction.many import Predictions, predict_many
from engine.space import SearchSpace

SAMPLES = 3000
SUPERNET = "supernet"
FLOPS = "FLOPs"
FRESH_S = 10.0


@dataclass(frozen=True)
class Sampled:
    """Architectures of a space by chance, and those with one FFN size for all layers, each once; latency of each in milliseconds."""

    architectures: tuple[Architecture, ...]
    predictions: Predictions


@dataclass(frozen=True)
class Accuracy:
    """What is known of accuracy on a task: a fit, or none with `trials` too few; `basis`, one line, says which."""

    learned: Learned | None
    trials: dict[str, Known]
    basis: str


@st.cache_resource(show_spinner=False, max_entries=16)
def space_of(teacher: str) -> SearchSpace:
    """The space of a teacher's students.

    Raises:
        ModelError: no such teacher here, or its files are damaged.
    """
    from engine.teacher import teacher_architecture

    return SearchSpace.for_teacher(teacher_architecture(teacher))


def sample(teacher: str, device: str, precision: str) -> Sampled:
    """
    Raises:
        ModelError: as `space_of`.
        UsageError: no such device, or a damaged calibration.
    """
    return _sample(teacher, device, precision, str(home()))


@st.cache_resource(show_spinner=False, max_entries=16, ttl=600)
def _sample(teacher: str, device: str, precision: str, folder: str) -> Sampled:
    space, draw = space_of(teacher), random.Random(0)
    uniform = [
        space.sized(hidden, (ffn,) * depth)
        for depth in space.depths
        for hidden in space.hidden_sizes
        for ffn in space.ffn_sizes
    ]
    architectures = tuple(dict.fromkeys([*uniform, *(space.drawn(draw) for _ in range(SAMPLES))]))
    return Sampled(architectures, predict_many(architectures, device, precision=precision))


def accuracy_of(task: str, teacher: str) -> Accuracy:
    """What the store's trials on a task say of architectures that were not tried: those read off the supernet, where there are enough.
    Without a store the space can still be looked at."""
    try:
        return _accuracy(source.store(), task, teacher, str(home()))
    except StoreError as error:
        return Accuracy(None, {}, f"Accuracy is not known: {wording.markdown(str(error))}. FLOPs stand in its place.")


@st.cache_resource(show_spinner=False, ttl=FRESH_S, max_entries=32)
def _accuracy(_store: object, task: str, teacher: str, folder: str) -> Accuracy:
    rows = Explorer(source.store()).known(task, teacher)
    by = {SUPERNET: [each for each in rows if each.accuracy_by == SUPERNET]}
    by["trained"] = [each for each in rows if each.accuracy_by != SUPERNET]
    how = SUPERNET if len(by[SUPERNET]) >= LEAST else "trained"
    chosen = by[how]
    learned = learn([Architecture.parse(each.architecture) for each in chosen], [each.accuracy for each in chosen])
    trials = {each.architecture: each for each in (*by["trained"], *by[SUPERNET])}
    if learned is None:
        few = f"{len(chosen)} architectures of this teacher have an accuracy on {task}; {LEAST} are needed to learn from"
        return Accuracy(None, trials, f"Accuracy is not known: {few}. FLOPs stand in its place, which are no accuracy.")
    made = "read off the supernet" if how == SUPERNET else "trained for themselves, early stage"
    basis = (
        f"Accuracy is learned from {learned.architectures} architectures ({made}), not measured: off by {learned.error:.3f} (root mean "
        f"square) on those left out, {max(learned.explained, 0):.0%} of the variance explained."
    )
    return Accuracy(learned, trials, basis)


def heights(sampled: Sampled, accuracy: Accuracy, seq_len: int) -> np.ndarray:
    """The vertical axis of each sampled architecture: learned accuracy, else GFLOPs."""
    if accuracy.learned is not None:
        return accuracy.learned.predict(sampled.architectures)
    return np.array([each.flops(seq_len) for each in sampled.architectures]) / 1e9


def tried_in(sampled: Sampled, accuracy: Accuracy, most: int = 200) -> list[tuple[str, float, float]]:
    """Architectures of the sample's space that trials have an accuracy of: name, predicted latency, mean accuracy."""
    places = {str(each): index for index, each in enumerate(sampled.architectures)}
    found = [(name, places[name], each.accuracy) for name, each in accuracy.trials.items() if name in places]
    return [(name, float(sampled.predictions.latency_ms[place]), score) for name, place, score in found[:most]]
