"""The program of one sequence length as programs of shorter ones, over the same weights.

Which axes of a value count tokens follows from the operators: the inputs' last does, and every operator says what becomes of its
operands'. Those axes are cut; constants along them, such as position rows, are cut to their first. What a program computes for a
sentence must not depend on its padding, so that a short sentence may take a short program: where a shorter program's answers
differ from torch's at full length, `compiler.worker` says so.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import prod

import numpy as np

from compiler.graph import CONSTANT, INPUT, Graph, Value, constant
from data.errors import CompileError

USUAL_SEQ_LENS = (24, 48, 80, 128)
LEAST_SEQ_LEN = 2
Axes = frozenset[int]
NONE: Axes = frozenset()


def shorter_programs(
    graph: Graph, asked: Sequence[int] | None, sample_tokens: np.ndarray, log: Callable[[str], None]
) -> list[Graph]:
    """The programs of the other sequence lengths, the longest first.

    Args:
        asked: in tokens, the program's own among them or not; None: the usual ones, or none where that cannot be.
        sample_tokens: of the sentences that each length is checked with.

    Raises:
        CompileError: the program cannot be had at a length that is asked for.
    """
    longest = graph.inputs[0].shape[-1]
    lengths = sorted({length for length in USUAL_SEQ_LENS if length < longest} if asked is None else {*asked} - {longest})
    try:
        if lengths and not LEAST_SEQ_LEN <= lengths[0] <= lengths[-1] < longest:
            raise CompileError(f"sequence lengths {', '.join(map(str, lengths))}: take {LEAST_SEQ_LEN} to {longest} tokens")
        if lengths and sample_tokens.min(initial=longest) > lengths[0]:
            raise CompileError(f"there is no sample of up to {lengths[0]} tokens to check that length with")
        if lengths and not _reads_mask(graph):
            raise CompileError("the program does not read its attention mask, so that its answers depend on padding")
        return [at_length(graph, length) for length in reversed(lengths)]
    except CompileError as error:
        if asked is not None:
            raise
        log(f"compiling for {longest} tokens only: {error}")
        return []


def at_length(graph: Graph, seq_len: int) -> Graph:
    """The same program for sentences of `seq_len` tokens, its values in the same order.

    Raises:
        CompileError: an operator of which it is not known what becomes of its tokens; the message names it.
    """
    return _Cut(graph.inputs[0].shape[-1], seq_len).graph(graph, {value: frozenset({1}) for value in graph.inputs})


def _reads_mask(graph: Graph) -> bool:
    return any(value.name == "attention_mask" for value in graph.values())


class _Cut:
    """Rewrites programs from one sequence length to another."""

    def __init__(self, before: int, after: int) -> None:
        self.before, self.after = before, after

    def graph(self, graph: Graph, axes_of_inputs: Mapping[Value, Axes]) -> Graph:
        axes: dict[Value, Axes] = dict(axes_of_inputs)
        done = {value: replace(value, shape=self._shape(value, axes[value])) for value in graph.inputs}
        for value in graph.values():
            if value.operator == CONSTANT:
                axes[value], done[value] = NONE, value
            elif value.operator != INPUT:
                operands = [axes[operand] for operand in value.inputs]
                axes[value] = self._axes(value, operands)
                done[value] = self._value(value, operands, axes[value], [done[operand] for operand in value.inputs])
        return Graph(tuple(done[value] for value in graph.inputs), done[graph.output])

    def _axes(self, value: Value, operands: Sequence[Axes]) -> Axes:
        if not any(operands):
            return NONE
        found = RULES.get(value.operator, _broadcast)(value, operands)
        if found is None or any(value.shape[axis] != self.before for axis in found):
            raise CompileError(f"operator '{value.operator}' keeps the program from other sequence lengths than {self.before}")
        return found

    def _value(self, value: Value, operands: Sequence[Axes], axes: Axes, inputs: list[Value]) -> Value:
        if not any(operands):
            return value.with_inputs(tuple(inputs))
        attributes = dict(value.attributes)
        program = attributes.get("program")
        if isinstance(program, Graph):  # a block with a little program of its own
            attributes["program"] = self.graph(program, dict(zip(program.inputs, operands, strict=True)))
        if value.operator == "token" and value["index"] >= self.after:
            raise CompileError(
                f"the program reads token {value['index']}, which a sequence length of {self.after} does not have"
            )
        elif value.operator not in RULES:
            inputs = [self._aligned(item, value, axes) for item in inputs]
        return replace(value, inputs=tuple(inputs), shape=self._shape(value, axes), attributes=attributes)

    def _aligned(self, operand: Value, value: Value, axes: Axes) -> Value:
        """A constant that is broadcast with a value's tokens, cut as they are."""
        offset = len(value.shape) - len(operand.shape)
        along = {axis - offset for axis in axes if axis >= offset and operand.shape[axis - offset] != 1}
        if operand.data is None or not along:
            return operand
        return constant(operand.data[tuple(slice(self.after if axis in along else None) for axis in range(operand.data.ndim))])

    def _shape(self, value: Value, axes: Axes) -> tuple[int, ...]:
        return tuple(self.after if axis in axes else size for axis, size in enumerate(value.shape))


def _broadcast(value: Value, operands: Sequence[Axes]) -> Axes | None:
    """Operators whose result has the shape of their operands, broadcast: element-wise ones, and those that work along one axis."""
    axes: set[int] = set()
    for operand, tokens in zip(value.inputs, operands, strict=True):
        offset = len(value.shape) - len(operand.shape)
        sizes = value.shape[offset:] if offset >= 0 else ()
        if len(sizes) != len(operand.shape) or any(
            own not in (1, size) for own, size in zip(operand.shape, sizes, strict=True)
        ):
            return None
        axes |= {axis + offset for axis in tokens}
    return frozenset(axes)


def _rows(value: Value, operands: Sequence[Axes]) -> Axes | None:
    """Blocks that work on hidden states (…, S, H) row by row."""
    return frozenset({len(value.shape) - 2}) if len(value.shape) >= 2 else None


def _query(value: Value, operands: Sequence[Axes]) -> Axes | None:
    """As many rows as queries, in their layout."""
    return operands[0]


def _vector(value: Value, operands: Sequence[Axes]) -> Axes | None:
    """Blocks that leave one vector a sentence."""
    return NONE


def _table(value: Value, operands: Sequence[Axes]) -> Axes | None:
    """One number a token, whatever the other axes of size one."""
    return frozenset(axis for axis, size in enumerate(value.shape) if size != 1)


def _linear(value: Value, operands: Sequence[Axes]) -> Axes | None:
    return _rows(value, operands) if operands[0] else NONE


def _matmul(value: Value, operands: Sequence[Axes]) -> Axes | None:
    (left, right), (left_axes, right_axes), rank = value.inputs, operands, len(value.shape)
    if (len(left.shape) - 1 in left_axes) != (len(right.shape) - 2 in right_axes):
        return None
    batch = {axis + rank - len(left.shape) for axis in left_axes if axis < len(left.shape) - 2}
    rows = {rank - 2} if len(left.shape) - 2 in left_axes else set()
    columns = {rank - 1} if len(right.shape) - 1 in right_axes else set()
    return frozenset(batch | rows | columns)


def _permuted(value: Value, operands: Sequence[Axes]) -> Axes | None:
    order = value["axes"] or range(len(value.shape))[::-1]
    return frozenset(index for index, axis in enumerate(order) if axis in operands[0])


def _reshaped(value: Value, operands: Sequence[Axes]) -> Axes | None:
    """An axis stays itself where as many numbers lie before it and after it as did."""
    source = value.inputs[0].shape
    found = set()
    for axis in operands[0]:
        places = [
            index
            for index, size in enumerate(value.shape)
            if size == source[axis] and prod(value.shape[:index]) == prod(source[:axis])
        ]
        if not places:
            return None
        found.add(places[0])
    return frozenset(found)


def _reduced(value: Value, operands: Sequence[Axes]) -> Axes | None:
    axis = value.attributes.get("axis")
    rank = len(value.inputs[0].shape)
    gone = set(range(rank)) if axis is None else {each % rank for each in (axis if isinstance(axis, tuple) else (axis,))}
    left = [each for each in range(rank) if each not in gone]
    kept = value.attributes.get("keepdims") or len(value.shape) == rank
    return frozenset(each if kept else left.index(each) for each in operands[0] - gone)


def _gathered(value: Value, operands: Sequence[Axes]) -> Axes | None:
    """Rows of a table, one for each token id; or tokens at fixed positions."""
    source, indices = value.inputs
    axis, more = (value["axis"] or 0) % len(source.shape), len(indices.shape) - 1
    if operands[1]:
        return None if operands[0] else frozenset(each + axis for each in operands[1])
    return frozenset(each if each < axis else each + more for each in operands[0] - {axis})


RULES: dict[str, Callable[[Value, Sequence[Axes]], Axes | None]] = {
    "embedding": _rows,
    "linear": _linear,
    "attention": _rows,
    "nn.attention": _query,
    "nn.attention_bias": _query,
    "token_table": _table,
    "token_sum": _vector,
    "token": _vector,
    "readout": _vector,
    "matmul": _matmul,
    "permute_dims": _permuted,
    "reshape": _reshaped,
    "sum": _reduced,
    "max": _reduced,
    "take": _gathered,
}
