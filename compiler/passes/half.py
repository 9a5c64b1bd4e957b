"""x W -> half(x) half(W): dense layers and attention on float16, for `--precision fp16`.

LayerNorm, residuals and softmax stay in float32, as do embeddings and the few vectors at the end. A tensor that only such layers read is
written in float16; one that others read besides is rounded apart. Weights are rounded here, and are float32 numbers still.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from compiler.graph import Graph, Value, constant
from compiler.precisions import FP16

LAW = ("fp16",)
DTYPE = "float16"


def halve(graph: Graph) -> Graph:
    """Every `linear` on tokens, and every attention."""
    tokens, users = graph.inputs[0].shape[-1:], graph.users()
    rewrites: dict[Value, Value] = {}
    halves: dict[Value, Value] = {}
    for value in graph.values():
        if not _is_halved(value, tokens):
            continue
        source, *rest = value.inputs
        if not _is_written_in_half(source, users, tokens) and source not in halves:
            halves[source] = Value("half", (source,), source.shape, DTYPE, laws=LAW)
        if value.operator == "linear":
            weight, *rest = rest
            assert weight.data is not None
            rest = [constant(weight.data.astype(np.float16).astype(np.float32), weight.name), *rest]
        dtype = DTYPE if _is_written_in_half(value, users, tokens) else value.dtype
        halved = value.with_inputs((halves.get(source, source), *rest)).with_attributes(precision=FP16)
        rewrites[value] = replace(halved, dtype=dtype)
    return graph.substitute(rewrites)


def _is_halved(value: Value, tokens: Sequence[int]) -> bool:
    return value.operator in ("linear", "attention") and value.shape[-2:-1] == tokens


def _is_written_in_half(value: Value, users: Mapping[Value, list[Value]], tokens: Sequence[int]) -> bool:
    """Whether it is of a halved layer, not normalised in place, and only halved layers read it, as what they multiply."""
    readers = users.get(value, [])
    multiplied = all(_is_halved(reader, tokens) and value not in reader.inputs[1:] for reader in readers)
    return _is_halved(value, tokens) and value.attributes.get("epsilon") is None and bool(readers) and multiplied
