"""What the command takes as MODEL, beside what `engine` makes of it: checks and figures that need no torch."""

import json
from pathlib import Path
from typing import Protocol

from compiler.bundle import Bundle
from data.errors import ModelError, UsageError
from engine.architecture import Architecture, architecture_of


class Figures(Protocol):
    """An architecture, or what goes by its names: how much one sentence costs."""

    def flops(self, seq_len: int) -> int: ...


class ModelFigures(Figures, Protocol):
    """All that `show` prints of any model."""

    @property
    def layers(self) -> int: ...

    def parameters(self) -> int: ...

    def mult_adds(self, seq_len: int) -> int: ...


class BundledModel:
    """A bundle's figures: by its architecture where that is written out, else as its kernels count them."""

    def __init__(self, bundle: Bundle) -> None:
        self._written = str(bundle.model["architecture"])
        self._plan = bundle.folder / "plan.json"

    def __str__(self) -> str:
        return self._written

    def flops(self, seq_len: int) -> int:
        """2 x multiply-accumulates of one sentence."""
        try:
            return Architecture.parse(self._written).flops(seq_len)
        except ModelError:
            return int(json.loads(self._plan.read_text())["flops"])


def check_batch(batch: int) -> None:
    """
    Raises:
        UsageError: another batch than one; phones answer one sentence at a time, and every kernel is made for that.
    """
    if batch != 1:
        raise UsageError(f"--batch {batch}: compiled models take one sentence at a time; leave --batch away or give 1")


def figures_of(model: str, seq_len: int) -> ModelFigures:
    """A preset, a written architecture, a Hugging Face folder or an ONNX file at that sequence length; weights are not loaded.

    Raises:
        ModelError: none of these, or one that cannot be read.
        CompileError: an ONNX file has operators that are not supported.
    """
    path = Path(model).expanduser()
    if path.suffix == ".onnx":
        from engine.onnx_model import OnnxModel

        return OnnxModel(path, seq_len)
    if path.is_dir():
        return _folder_architecture(path)
    return architecture_of(model)


def _folder_architecture(folder: Path) -> Architecture:
    from engine.relatives import relative_architecture
    from engine.teacher import teacher_architecture

    return relative_architecture(folder) or teacher_architecture(str(folder))
