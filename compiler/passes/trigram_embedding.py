"""Shuffle: the rows of a token and of its two neighbours, side by side (MobileBERT section 3.1), are gathered by one block.

Exporters cut and pad in several ways. The region is run on random rows; it counts where it agrees with what trigrams are.
"""

import numpy as np

from compiler.evaluate import compute
from compiler.graph import Graph, Value, fuse
from compiler.passes.embedding import ids_of

LAW = "shuffle: neighbours' rows gathered beside a token's own"
MOVING = {"strided_slice", "nn.pad", "concat", "reshape"}


def trigram_embedding(graph: Graph) -> Graph:
    rewrites: dict[Value, Value] = {}
    for value in graph.values():
        if value.operator == "concat" and len(value.shape) == 3 and value.shape[0] == 1:
            region: list[Value] = []
            source = _source(value, region)
            ids = ids_of(source.inputs[1]) if source is not None else None
            if source is not None and ids is not None and _is_trigram(source, region, value):
                rewrites[value] = fuse(
                    "embedding", (source.inputs[0], ids), (source, *region), value, LAW,
                    words=True, neighbours=True, positions=False, types=False, affine=False, epsilon=None,
                )  # fmt: skip
    return graph.substitute(rewrites)


def _source(value: Value, region: list[Value]) -> Value | None:
    """The one gather that a value moves numbers of; the operators on the way, each after its operands, go to `region`."""
    if value.operator == "take" and value.inputs[0].is_constant:
        return value
    if value.operator not in MOVING:
        return None
    sources = {_source(operand, region) for operand in value.inputs if not operand.is_constant}
    if value not in region:
        region.append(value)
    return sources.pop() if len(sources) == 1 else None


def _is_trigram(source: Value, region: list[Value], end: Value) -> bool:
    tokens, width = end.shape[1], end.shape[2] // 3
    if source.shape[-1] != width or int(np.prod(source.shape)) != tokens * width:
        return False
    rows = np.random.default_rng(0).standard_normal((tokens, width)).astype(np.float32)
    known = {source: rows.reshape(source.shape)}
    compute(region, known)
    beyond = np.zeros((1, width), np.float32)
    expected = np.concatenate([np.concatenate([rows[1:], beyond]), rows, np.concatenate([beyond, rows[:-1]])], axis=1)
    return np.array_equal(known[end].reshape(expected.shape), expected)
