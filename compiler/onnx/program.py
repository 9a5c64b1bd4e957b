"""ONNX files in: nodes become the compiler's own graph (`compiler.graph`) directly.

Not by way of Relax's ONNX front end: TVM 0.27's refuses a single BERT layer from either of torch's exporters (ConstantOfShape of an
empty shape; a Reshape whose input has lost its own). Exporters write shapes and masks as programs of their own (Shape, Gather,
Concat, Range, Expand); with both axes fixed, all of that is plain numbers, which numpy folds while the nodes are read. It also
needs no TVM, so that `show` is quick. Recognising what operators mean together (LayerNorm, GELU, attention) is the passes' work,
for every exporter alike.
"""

from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from compiler.graph import INPUT, Graph, Value, constant
from compiler.onnx.arithmetic import ARITHMETIC
from compiler.onnx.file import STANDARD_DOMAINS, array_of, opset_of, read_model
from compiler.onnx.layout import LAYOUT
from compiler.onnx.node import Node
from data.errors import CompileError, ModelError

INPUT_NAMES = ("input_ids", "token_type_ids", "attention_mask")
REQUIRED_INPUTS = ("input_ids",)
CONVERTERS = ARITHMETIC | LAYOUT


@dataclass(frozen=True)
class OnnxProgram:
    """A file's graph, the name of the output that it computes, and how many numbers its weights are."""

    graph: Graph
    output: str
    parameters: int

    @property
    def layers(self) -> int:
        """Attentions, one a layer."""
        return sum(value.operator == "nn.softmax" for value in self.graph.values())

    @property
    def mult_adds(self) -> int:
        """Multiply-accumulates of matmuls and convolutions."""
        return sum(_mult_adds(value) for value in self.graph.values())

    @property
    def words(self) -> int:
        """Rows of the table that token ids choose from."""
        for value in self.graph.values():
            if value.operator == "take" and value.inputs[0].is_constant and _source(value.inputs[1]).name == "input_ids":
                return value.inputs[0].shape[0]
        raise ModelError("the model does not look up token ids in a table of embeddings")


def import_onnx(path: Path, seq_len: int) -> OnnxProgram:
    """Read an ONNX file of opset 13 to 21 whose inputs are input_ids and, where it has them, attention_mask and token_type_ids.

    Of several outputs the first with one vector a sentence is taken (scores, a pooled vector), else the first.

    Raises:
        ModelError: it cannot be read, or its batch or sequence axis cannot be fixed.
        CompileError: operators that are not supported; the message names them all.
    """
    if seq_len < 1:
        raise ModelError(f"--seq-len {seq_len}: give at least 1")
    model = read_model(path)
    _refuse_unknown(model.graph, path)
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    inputs = _inputs(model.graph, weights, path, seq_len)
    known: dict[str, Value] = {value.name: value for value in inputs}
    for name, tensor in weights.items():
        known[name] = constant(array_of(tensor, path), name)
    for proto in model.graph.node:
        _convert(proto, known, opset_of(model), path, seq_len)
    output = _output([item.name for item in model.graph.output], known, path)
    graph = Graph(inputs, known[output])
    return OnnxProgram(graph, output, _parameters(weights, model.graph))


def onnx_inputs(path: Path) -> list[str]:
    """The names of the inputs that a file asks for, in its order."""
    graph = read_model(path).graph
    weights = {tensor.name for tensor in graph.initializer}
    return [item.name for item in graph.input if item.name not in weights]


def _refuse_unknown(graph: Any, path: Path) -> None:
    unknown = dict.fromkeys(_operator(node) for node in graph.node if _operator(node) not in CONVERTERS)
    if unknown:
        raise CompileError(f"{path.name} has operators that are not supported: {', '.join(unknown)}")


def _operator(node: Any) -> str:
    return node.op_type if node.domain in STANDARD_DOMAINS else f"{node.domain}.{node.op_type}"


def _inputs(graph: Any, weights: dict[str, Any], path: Path, seq_len: int) -> tuple[Value, ...]:
    """The three inputs, each (1, S), whether or not the file has them."""
    names = [item.name for item in graph.input if item.name not in weights]
    for name in names:
        if name not in INPUT_NAMES:
            raise ModelError(f"{path.name} asks for an input '{name}'; a model may take {', '.join(INPUT_NAMES)}")
    for name in REQUIRED_INPUTS:
        if name not in names:
            raise ModelError(f"{path.name} has no input '{name}'; its inputs are {', '.join(names) or 'none'}")
    for item in graph.input:
        if item.name in names:
            _fix_axes(item, path, seq_len)
    return tuple(Value(INPUT, (), (1, seq_len), "int32", name=name) for name in INPUT_NAMES)


def _fix_axes(item: Any, path: Path, seq_len: int) -> None:
    axes = item.type.tensor_type.shape.dim
    if len(axes) != 2:
        raise ModelError(
            f"{path.name}: input '{item.name}' has {len(axes)} axes, so batch and sequence cannot be fixed; it needs 2"
        )
    for axis, size, option in zip(axes, (1, seq_len), ("batch", "seq-len"), strict=True):
        written = axis.dim_value if axis.HasField("dim_value") else 0
        if written > 0 and written != size:
            instead = f"give --seq-len {written}" if option == "seq-len" else "export it with batch 1 or a dynamic batch axis"
            raise ModelError(
                f"{path.name}: input '{item.name}' has its {option} axis fixed to {written}, not {size}; {instead}"
            )


def _convert(proto: Any, known: dict[str, Value], opset: int, path: Path, seq_len: int) -> None:
    """One node's results into `known`."""
    try:
        operands = [known[name] if name else None for name in proto.input]
    except KeyError as error:
        raise ModelError(f"{path.name} is damaged: node '{proto.name}' reads {error}, which nothing makes") from error
    node = Node(proto, operands, opset)
    try:
        made = CONVERTERS[proto.op_type](node)
    except (ValueError, IndexError, TypeError, KeyError) as error:
        reason = " ".join(str(error).split())[:160]
        raise CompileError(
            f"{path.name}: node '{proto.name}' ({proto.op_type}) does not work out at sequence length {seq_len}: {reason}"
        ) from error
    results = made if isinstance(made, tuple) else (made,)
    known.update((name, value) for name, value in zip(proto.output, results, strict=False) if name)


def _output(names: list[str], known: dict[str, Value], path: Path) -> str:
    for name in names:
        if name not in known:
            raise ModelError(f"{path.name} is damaged: nothing makes its output '{name}'")
    vectors = [name for name in names if len(known[name].shape) == 2 and known[name].shape[0] == 1]
    chosen = (vectors or names)[0]
    if known[chosen].is_constant or known[chosen].operator == INPUT:
        raise ModelError(f"{path.name}: output '{chosen}' does not depend on what the model computes")
    return chosen


def _parameters(weights: dict[str, Any], graph: Any) -> int:
    """Floating-point weights that nodes read, each once, scalars aside."""
    from onnx import TensorProto

    read = {name for node in graph.node for name in node.input}
    floats = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE)
    sizes = (prod(tensor.dims) for name, tensor in weights.items() if name in read and tensor.data_type in floats)
    return sum(size for size in sizes if size > 1)


def _mult_adds(value: Value) -> int:
    if value.operator == "matmul":
        return prod(value.shape) * value.inputs[0].shape[-1]
    return prod(value.shape) * prod(value.inputs[1].shape[1:]) if value.operator == "nn.conv1d" else 0


def _source(value: Value) -> Value:
    while value.operator in ("reshape", "astype"):
        value = value.inputs[0]
    return value
