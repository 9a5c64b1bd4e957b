"""Exporters spell LayerNorm out in nine operators or more; it is recognised by what they compute, not how.

A region of row-wise operators that depends on one tensor is run on random rows; where it agrees with LayerNorm by the region's own
constants, it is that LayerNorm. TensorFlow's form, x (s / d) + (b - mean (s / d)), counts as well as torch's ((x - mean) / d) s + b.
"""

from collections.abc import Iterator

import numpy as np

from compiler.evaluate import compute, layer_norm
from compiler.graph import Graph, Value, constant, fuse
from compiler.passes.recognise_activation import ELEMENTWISE

LAW = "many-to-many: operators that spell out LayerNorm"
LARGEST_EPSILON = 1e-2
RELATIVE, ABSOLUTE = 1e-3, 1e-4  # of float32 sums over a row, in whatever order


def recognise_layer_norm(graph: Graph) -> Graph:
    readers = graph.users()
    rewrites: dict[Value, Value] = {}
    for value in graph.values():
        if value.operator == "mean" and _along_rows(value) and value.inputs[0] not in rewrites:
            source = value.inputs[0]
            found = next(_layer_norms(source, _region(source, readers)), None)
            if found:
                rewrites[found[0]] = found[1]
    return graph.substitute(rewrites)


def _along_rows(mean: Value) -> bool:
    axes = mean["axis"] if isinstance(mean["axis"], tuple) else (mean["axis"],)
    source = mean.inputs[0]
    return len(mean.shape) == len(source.shape) and axes in ((-1,), (len(source.shape) - 1,)) and not source.is_constant


def _region(source: Value, readers: dict[Value, list[Value]]) -> list[Value]:
    """Row-wise operators that depend on `source` and constants alone, each after its operands."""
    inside = {source}
    region: list[Value] = []
    pending = list(readers[source])
    while pending:
        value = pending.pop(0)
        rowwise = value.operator in ELEMENTWISE or (value.operator == "mean" and _along_rows(value))
        if value not in inside and rowwise and all(operand in inside or operand.is_constant for operand in value.inputs):
            inside.add(value)
            region.append(value)
            pending.extend(readers.get(value, []))
    return region


def _layer_norms(source: Value, region: list[Value]) -> Iterator[tuple[Value, Value]]:
    """Values that are a LayerNorm of `source`, with what replaces them, the latest first."""
    width = source.shape[-1]
    constants = {operand: operand.data for value in region for operand in value.inputs if operand.data is not None}
    epsilons = [float(data.item()) for data in constants.values() if data.size == 1 and 0 < data.item() <= LARGEST_EPSILON]
    scales = [data.reshape(width) for data in constants.values() if data.size == width] + [np.ones(width, np.float32)]
    for end in reversed(region):
        if end.shape != source.shape:
            continue
        of = _needed(region, end)
        shift = _run(source, of, np.zeros(source.shape, np.float32)).reshape(-1, width)[0]  # rows of zeros stay zeros
        for epsilon in epsilons:
            rows = _rows(source.shape, epsilon)
            results = [_run(source, of, x) for x in rows]
            for scale in scales:
                expected = [layer_norm(x, (scale, shift), epsilon) for x in rows]
                if all(np.allclose(ours, theirs, RELATIVE, ABSOLUTE) for ours, theirs in zip(results, expected, strict=True)):
                    operands = (source, constant(scale), constant(shift))
                    yield end, fuse("nn.layer_norm", operands, of, end, LAW, axes=(-1,), epsilon=epsilon)


def _rows(shape: tuple[int, ...], epsilon: float) -> list[np.ndarray]:
    """Random rows, among them some whose variance is about epsilon, where it matters."""
    random = np.random.default_rng(0)
    return [
        (random.standard_normal(shape) * spread + mean * spread).astype(np.float32)
        for spread, mean in ((1.0, 0.0), (3.0, 0.5), (epsilon**0.5, 0.0))
    ]


def _needed(region: list[Value], end: Value) -> list[Value]:
    wanted = {end}
    for value in reversed(region):
        if value in wanted:
            wanted.update(value.inputs)
    return [value for value in region if value in wanted]


def _run(source: Value, of: list[Value], x: np.ndarray) -> np.ndarray:
    known = {source: x}
    compute(of, known)
    return known[of[-1]]
