"""One-to-one: what a program computes from a token's mask bit and segment alone becomes a table of a few numbers.

Additive attention masks (0 or -10000 a key) and the weights of mean pooling are such values; the kernels then read the mask
itself. The table is found by running the subgraph on every pair, and kept only if a random sentence agrees with it.
"""

from math import prod

import numpy as np

from compiler.evaluate import apply
from compiler.graph import Graph, Value, fuse

LAW = "one-to-one: tabulated over mask and segment"
RANDOM_CHECKS = 4


def token_tables(graph: Graph) -> Graph:
    mask, types = graph.input("attention_mask"), graph.input("token_type_ids")
    segments = _segments(graph)
    tokens = prod(mask.shape)
    depends: dict[Value, list[Value]] = {}
    for value in graph.values():
        if value in (mask, types) or value.is_constant:
            depends[value] = []
        elif value.inputs and all(operand in depends for operand in value.inputs) and prod(value.shape) in (tokens, tokens**2):
            depends[value] = list(dict.fromkeys(item for operand in value.inputs for item in (*depends[operand], operand)))
    readers = graph.users()
    rewrites: dict[Value, Value] = {}
    for value, before in depends.items():
        leaves_region = any(reader not in depends for reader in readers.get(value, []))
        if before and value.dtype == "float32" and leaves_region:
            table = _tabulate(value, before, mask, types, segments)
            if table is not None:
                inside = [item for item in before if item.members]
                rewrites[value] = _table_value(value, mask, types, [*inside, value], table)
    return graph.substitute(rewrites)


def _table_value(value: Value, mask: Value, types: Value, of: list[Value], table: np.ndarray) -> Value:
    rows = tuple(tuple(float(number) for number in row) for row in table)
    block = fuse("token_table", (mask, types), of, value, LAW, table=rows)
    tokens = prod(mask.shape)
    if prod(value.shape) == tokens:
        return block
    return Value(
        block.operator, block.inputs, (1, 1, 1, tokens), block.dtype, block.attributes, members=block.members, laws=block.laws
    )


def _segments(graph: Graph) -> int:
    """Rows of the segment table, or two."""
    for value in graph.values():
        if value.operator == "take" and value.inputs[0].is_constant and _source(value.inputs[1]).name == "token_type_ids":
            return value.inputs[0].shape[0]
    return 2


def _source(value: Value) -> Value:
    while value.operator in ("reshape", "astype"):
        value = value.inputs[0]
    return value


def _tabulate(value: Value, before: list[Value], mask: Value, types: Value, segments: int) -> np.ndarray | None:
    """(2, segments) numbers, or None where a token's value depends on more than itself."""

    def run(mask_bits: np.ndarray, segment_ids: np.ndarray) -> np.ndarray:
        known = {mask: mask_bits.reshape(mask.shape), types: segment_ids.reshape(types.shape)}
        for item in (*before, value):
            if item not in known:
                known[item] = apply(item, [known[operand] for operand in item.inputs])
        return known[value].reshape(-1, tokens)

    tokens = prod(mask.shape)
    table = np.empty((2, segments), np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        for bit in range(2):
            for segment in range(segments):
                table[bit, segment] = run(np.full(tokens, bit), np.full(tokens, segment))[0, 0]
        random = np.random.default_rng(0)
        for _ in range(RANDOM_CHECKS):
            bits, ids = random.integers(0, 2, tokens), random.integers(0, segments, tokens)
            if not np.array_equal(run(bits, ids), np.broadcast_to(table[bits, ids], run(bits, ids).shape)):
                return None
    return table
