"""Fusion reports as the page gets them: made by `pocketformer fuse` in a process of its own, and kept by content for the next who ask."""

import hashlib
import json
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import streamlit as st

from app import background
from app.own_file import save_upload
from compiler.process import PROJECT
from data.errors import ModelError, UsageError
from data.home import home, subfolder
from engine.architecture import PRESETS, architecture_of

LARGEST_ONNX_MB = 200  # of an upload: BERT-base in fp16, or a student in fp32
LONGEST_SENTENCE = 512
ONNX = "onnx:"  # before the name of an uploaded file


@dataclass(frozen=True)
class Subject:
    """What the page shows the fusion of.

    Attributes:
        model: a preset, a written architecture, or `onnx:` and the name of an uploaded file.
        seq_len: tokens.
    """

    model: str
    seq_len: int

    @property
    def title(self) -> str:
        return self.model.removeprefix(ONNX).partition("-")[2] if self.is_upload else self.model

    @property
    def is_upload(self) -> bool:
        return self.model.startswith(ONNX)

    @property
    def argument(self) -> str:
        """As the command takes it."""
        return str(_upload(self.model.removeprefix(ONNX))) if self.is_upload else self.model

    @property
    def key(self) -> str:
        """Of everything that the report depends on; an upload's name has its content's hash."""
        parts = (self.model, str(self.seq_len), _compiler_digest())
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:20]


def subject(model: str, seq_len: int) -> Subject:
    """
    Raises:
        ModelError: no such preset, architecture or upload.
        UsageError: a sequence length that no model of the family takes.
    """
    if not 1 <= seq_len <= LONGEST_SENTENCE:
        raise UsageError(f"sequence length {seq_len}: give 1 to {LONGEST_SENTENCE} tokens")
    model = model.strip()
    if model.startswith(ONNX):
        _upload(model.removeprefix(ONNX))
    elif model not in PRESETS:
        model = str(architecture_of(model))
    return Subject(model, seq_len)


def keep_upload(name: str, content: bytes) -> str:
    """The model's name of an uploaded ONNX file. It is parsed by another process alone.

    Raises:
        ModelError: it is too large, or no ONNX file by its name.
        TaskError: it cannot be written.
    """
    if not name.lower().endswith(".onnx"):
        raise ModelError(f"{name} is no .onnx file")
    if len(content) > LARGEST_ONNX_MB * 1_000_000:
        raise ModelError(
            f"{name} has {len(content) / 1e6:.0f} MB; the page takes {LARGEST_ONNX_MB} MB, `pocketformer fuse` any size"
        )
    return f"{ONNX}{save_upload(name[:-5] + '.onnx', content).name}"


def begin(asked: Subject, *, measure: bool = False) -> None:
    """Have the report made, unless it is being made.

    Raises:
        PocketformerError: as `background.begin`.
    """
    arguments = ["fuse", asked.argument, "--seq-len", str(asked.seq_len)]
    background.begin(work_key(asked, measure=measure), [*arguments, "--measure"] if measure else arguments)


def work_key(asked: Subject, *, measure: bool = False) -> str:
    return f"fuse-{asked.key}-measured" if measure else f"fuse-{asked.key}"


def report_of(asked: Subject) -> dict[str, Any] | None:
    """The report, where it has been made; with `measured` where that was asked for."""
    for measured in (True, False):
        work = background.find(work_key(asked, measure=measured))
        if work is not None and work.result is not None:
            _keep(asked, work.result)
            background.forget(work_key(asked, measure=measured))
    path = _path(asked)
    try:
        return _read(str(path), path.stat().st_mtime_ns)
    except (OSError, ValueError):
        return None


@st.cache_resource(show_spinner=False, max_entries=16)
def _read(path: str, written_at: int) -> dict[str, Any]:
    return json.loads(Path(path).read_text(encoding="utf-8"))


def _keep(asked: Subject, report: dict[str, Any]) -> None:
    """Whole or not at all. A report without measured times does not take those of an earlier one away."""
    path = _path(asked)
    if path.exists() and "measured" not in report:
        return
    part = path.with_suffix(f".{os.getpid()}.part")
    part.write_text(json.dumps(report), encoding="utf-8")
    part.replace(path)


def _path(asked: Subject) -> Path:
    return subfolder("cache", "fusion") / f"{asked.key}.json"


def _upload(name: str) -> Path:
    """
    Raises:
        ModelError: no such file among the uploads.
    """
    path = home() / "uploads" / Path(name).name
    if path.suffix != ".onnx" or Path(name).name != name or not path.is_file():
        raise ModelError(f"there is no uploaded file {name}; upload it again")
    return path


@cache
def _compiler_digest() -> str:
    """Of the code that makes reports: another version may make others."""
    sources = sorted([*(PROJECT / "compiler").glob("*.py"), *(PROJECT / "compiler" / "passes").glob("*.py")])
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()
