"""Exporters spell GELU and its like out in five to nine operators; they are recognised by what they compute, not how.

A region of element-wise operators that depends on one tensor is run on a grid of numbers; where it agrees with an activation, it
is that activation. So every spelling of every exporter counts, and nothing else does.
"""

import numpy as np

from compiler.evaluate import ACTIVATIONS, compute
from compiler.graph import Graph, Value, fuse

ELEMENTWISE = {
    "add", "subtract", "multiply", "divide", "power", "maximum", "minimum", "clip", "abs", "negative", "exp", "sqrt", "erf",
    "tanh", "sigmoid", "nn.relu",
}  # fmt: skip
LAW = "one-to-one: operators that spell out an activation"
GRID = np.linspace(-8, 8, 321, dtype=np.float32)
TOLERANCE = 2e-6  # GELU and its approximation by tanh are up to 5e-4 apart


def recognise_activation(graph: Graph) -> Graph:
    roots: dict[Value, Value] = {}
    regions: dict[Value, list[Value]] = {}
    for value in graph.values():
        root = _root(value, roots)
        roots[value] = root
        if root is not value:
            regions.setdefault(root, []).append(value)
    readers = graph.users()
    rewrites: dict[Value, Value] = {}
    for root, region in regions.items():
        inside = set(region)
        for end in region:
            if end is graph.output or any(reader not in inside for reader in readers.get(end, [])):
                name, of = _activation(root, region, end)
                if name and len(of) > 1:
                    rewrites[end] = fuse(f"nn.{name}", (root,), of, end, LAW)
    return graph.substitute(rewrites)


def _root(value: Value, roots: dict[Value, Value]) -> Value:
    """The one tensor that an element-wise value depends on; itself where there are several, or where it is none."""
    tensors = [operand for operand in value.inputs if not _is_number(operand)]
    if value.operator not in ELEMENTWISE or not tensors or any(operand.shape != value.shape for operand in tensors):
        return value
    found = {roots[operand] for operand in tensors}
    return found.pop() if len(found) == 1 else value


def _is_number(value: Value) -> bool:
    return value.is_constant and value.data is not None and value.data.size == 1


def _activation(root: Value, region: list[Value], end: Value) -> tuple[str, list[Value]]:
    """The activation's name, if it is one, and the operators that compute it."""
    needed = _needed(root, region, end)
    known: dict[Value, np.ndarray] = {root: GRID}
    compute(needed, known)
    for name, function in ACTIVATIONS.items():
        if np.allclose(known[end].reshape(-1), function(GRID), rtol=TOLERANCE, atol=TOLERANCE):
            return name, needed
    return "", needed


def _needed(root: Value, region: list[Value], end: Value) -> list[Value]:
    wanted = {end}
    for value in reversed(region):
        if value in wanted:
            wanted.update(operand for operand in value.inputs if operand is not root)
    return [value for value in region if value in wanted]
