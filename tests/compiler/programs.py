"""Small graphs to rewrite, and the check that a rewrite kept their numbers."""

from collections.abc import Mapping

import numpy as np

from compiler.counts import flops
from compiler.evaluate import evaluate
from compiler.graph import INPUT, Graph, Member, Value, constant

Numbers = Mapping[str, np.ndarray]


def random_array(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng((seed, *shape)).standard_normal(shape).astype(np.float32)


def weights(*shape: int, seed: int = 0) -> Value:
    return constant(random_array(*shape, seed=seed))


def op(operator: str, *inputs: Value, shape: tuple[int, ...], dtype: str = "float32", **attributes: object) -> Value:
    """An operator as the import makes it: a member of its own."""
    value = Value(operator, inputs, shape, dtype, attributes)
    return Value(operator, inputs, shape, dtype, attributes, members=(Member(operator, value.bytes, flops(value)),))


def tensor(*shape: int, name: str = "x") -> Value:
    return Value(INPUT, (), shape, name=name)


def tokens(seq_len: int) -> tuple[Value, Value, Value]:
    """The three inputs of every program: ids, segments, mask."""
    names = ("input_ids", "token_type_ids", "attention_mask")
    ids, types, mask = (Value(INPUT, (), (1, seq_len), "int32", name=name) for name in names)
    return ids, types, mask


def numbers_of(graph: Graph) -> dict[str, np.ndarray]:
    """Random numbers for the inputs; ids, segments and mask bits are 0 or 1."""
    random = np.random.default_rng(len(graph.inputs))
    return {
        value.name: random.integers(0, 2, value.shape) if value.dtype == "int32" else random_array(*value.shape, seed=index)
        for index, value in enumerate(graph.inputs)
    }


def operators(graph: Graph) -> list[str]:
    return [value.operator for value in graph.values() if value.operator not in ("input", "constant")]


def same_numbers(before: Graph, after: Graph) -> None:
    numbers = numbers_of(before)
    np.testing.assert_allclose(evaluate(after, numbers), evaluate(before, numbers), rtol=1e-4, atol=1e-5)
