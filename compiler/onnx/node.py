"""One ONNX node while it is read: its operands and attributes, and the means to make values of them."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from compiler.evaluate import apply
from compiler.graph import Member, Value, constant

FLOAT = "float32"
Made = Value | tuple[Value, ...]


class Node:
    """One ONNX node: its operands and attributes, and the means to make values of them."""

    def __init__(self, proto: Any, operands: Sequence[Value | None], opset: int) -> None:
        import onnx

        self.opset = opset
        self.outputs = len(proto.output)
        self._operands = operands
        self._attributes = {item.name: onnx.helper.get_attribute_value(item) for item in proto.attribute}

    def __getitem__(self, index: int) -> Value:
        value = self._operands[index]
        if value is None:
            raise ValueError(f"input {index} is missing")
        return value

    @property
    def operands(self) -> list[Value]:
        return [self[index] for index in range(len(self._operands))]

    def has(self, index: int) -> bool:
        return index < len(self._operands) and self._operands[index] is not None

    def attribute(self, name: str, default: Any = None) -> Any:
        value = self._attributes.get(name, default)
        return value.decode() if isinstance(value, bytes) else value

    def known(self, index: int) -> np.ndarray:
        """An operand that must not depend on the tokens."""
        data = self[index].data
        if data is None:
            raise ValueError("a shape, an axis or an index depends on the tokens")
        return data

    def numbers(self, index: int) -> tuple[int, ...]:
        return tuple(int(number) for number in self.known(index).reshape(-1))

    def axes(self, index: int = 1) -> tuple[int, ...] | None:
        """Axes from the attribute of that name (older opsets) or from an operand; None where neither is given."""
        written = self.attribute("axes")
        if written is None and self.has(index):
            written = self.numbers(index)
        rank = len(self[0].shape)
        return None if written is None else tuple(int(axis) % rank for axis in written)

    def axis(self, default: int, rank: int | None = None) -> int:
        return int(self.attribute("axis", default)) % (rank or len(self[0].shape))

    def emit(self, operator: str, *inputs: Value, shape: Sequence[int], dtype: str = FLOAT, **attributes: Any) -> Value:
        made = Value(operator, inputs, tuple(int(size) for size in shape), dtype, attributes)
        if all(value.is_constant for value in inputs):
            return constant(apply(made, [value.data for value in inputs if value.data is not None]))
        member = Member(operator, made.bytes)
        return Value(operator, made.inputs, made.shape, dtype, attributes, members=(member,))


Converter = Callable[[Node], Made]
