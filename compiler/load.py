"""Programs of every kind into the compiler's own graph, by the file's name."""

from pathlib import Path

from compiler.graph import Graph
from compiler.onnx.program import import_onnx


def load_graph(path: Path, seq_len: int) -> Graph:
    """A `.onnx` file at that sequence length, or a `torch.export` `.pt2`, which has its own.

    Raises:
        ModelError: it cannot be read, or its axes cannot be fixed.
        CompileError: not such a file, or operators that are not supported.
    """
    if path.suffix == ".onnx":
        return import_onnx(path, seq_len).graph
    from compiler.relax_import import import_program

    return import_program(path)
