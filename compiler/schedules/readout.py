"""The end of a model as one task: pooling over tokens, dense layers and the head, on vectors in scratch memory."""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import prod
from typing import Any, ClassVar

import numpy as np
from tvm import tirx

from compiler.graph import INPUT, Graph, Value
from compiler.isa import Isa
from compiler.schedules import emit
from compiler.schedules.linear import pack, pad
from compiler.schedules.scalar import BINARY, UNARY
from data.errors import CompileError

PANEL_VECTORS = 4
ALIASES = ("reshape", "take")


@dataclass(frozen=True)
class Tile:
    panel: int


@dataclass(frozen=True)
class Readout:
    """`steps` spells the program out, so that equal programs share a kernel; `program` is the program itself."""

    rows: int
    seq_len: int
    steps: tuple[str, ...]
    program: Graph = field(repr=False, compare=False)

    kind: ClassVar[str] = "readout"

    @classmethod
    def of(cls, value: Value, rows: int, seq_len: int) -> "Readout":
        program: Graph = value["program"]
        names = {item: f"%{index}" for index, item in enumerate(program.values())}
        steps = tuple(
            f"{names[item]} = {item.operator}({', '.join(names[operand] for operand in item.inputs)}) {item.shape} "
            f"{dict(item.attributes)} {item.data if item.data is not None else item.name}"
            for item in program.values()
        )
        return cls(rows, seq_len, steps, program)

    @property
    def flops(self) -> int:
        return sum(2 * prod(item.inputs[1].shape) for item in self.program.values() if item.operator == "linear")

    def tasks(self, tile: Tile) -> int:
        return 1

    def tiles(self, isa: Isa, threads: int) -> list[Tile]:
        return [Tile(PANEL_VECTORS * isa.lanes)]

    def parameters(self, tile: Tile) -> list[tuple[str, tuple[int, ...], str]]:
        return [(item.name, self._shape(item, tile), item.dtype) for item in self.program.inputs] + [
            ("y", (prod(self.program.output.shape),), "float32")
        ]

    def operands(self, value: Value, tile: Tile) -> list[Value | np.ndarray]:
        roles = self._roles()
        operands: list[Value | np.ndarray] = []
        for item, outer in zip(self.program.inputs, value.inputs, strict=True):
            if outer.data is None:
                operands.append(outer)
            elif roles.get(item) == "weight":
                operands.append(pack(outer.data, tile.panel))
            elif roles.get(item) == "bias":
                operands.append(pad(outer.data, tile.panel))
            else:
                operands.append(np.ascontiguousarray(outer.data, np.float32).reshape(-1))
        return operands

    def build(self, tile: Tile, isa: Isa, symbol: str) -> emit.Function:
        def body(*buffers: Any) -> None:
            parameters = dict(zip(self.program.inputs, buffers[:-1], strict=True))
            with emit.loop(1):
                results: dict[Value, Any] = {}
                for item in self.program.values():
                    results[item] = self._step(item, results, parameters, tile, isa)
                answer = results[self.program.output]
                emit.columns(
                    prod(self.program.output.shape), isa.lanes, lambda column: emit.store(buffers[-1], answer[column], column)
                )

        return emit.kernel(symbol, self.parameters(tile), body)

    def _step(self, item: Value, results: dict[Value, Any], parameters: dict[Value, Any], tile: Tile, isa: Isa) -> Any:
        """The buffer (width,) that holds a value."""
        if item.operator == INPUT:
            return parameters[item]
        if item.is_constant:
            return [emit.number(float(number)) for number in np.asarray(item.data).reshape(-1)]
        if item.operator in ALIASES:
            return results[item.inputs[0]]
        operands = [results[operand] for operand in item.inputs]
        width = self._width(item)
        result = emit.local(_round_up(width, isa.lanes))
        if item.operator == "linear":
            self._dense(item, operands, result, tile, isa)
        elif item.operator == "token_table":
            with emit.loop(self.seq_len) as token:
                emit.store(result, _entry(item["table"], *(operand[token] for operand in operands)), token)
        elif item.operator == "token_sum":
            self._token_sum(operands, result, width, isa)
        elif item.operator == "token":
            emit.columns(width, isa.lanes, lambda column: emit.store(result, operands[0][item["index"], column], column))
        elif item.operator == "sum":
            total = emit.Reduction(isa.lanes).sum(self._width(item.inputs[0]), lambda column: operands[0][column])
            emit.store(result, total, 0)
        elif item.operator == "broadcast_to":
            read = self._reader(item.inputs[0], operands[0])
            emit.columns(width, isa.lanes, lambda column: emit.store(result, read(column), column))
        elif item.operator == "concat":
            start = 0
            for part, operand in zip(item.inputs, operands, strict=True):
                size = self._width(part)
                emit.columns(size, isa.lanes, _copy(operand, result, start))
                start += size
        elif item.operator == "clip":
            low, high = item["arguments"]
            emit.columns(width, isa.lanes, lambda column: emit.store(result, _clip(operands[0][column], low, high), column))
        elif item.operator in UNARY:
            function = UNARY[item.operator]
            emit.columns(width, isa.lanes, lambda column: emit.store(result, function(operands[0][column]), column))
        elif item.operator in BINARY:
            combine = BINARY[item.operator]
            left, right = (self._reader(part, operand) for part, operand in zip(item.inputs, operands, strict=True))
            emit.columns(width, isa.lanes, lambda column: emit.store(result, combine(left(column), right(column)), column))
        else:
            raise CompileError(f"operator '{item.operator}' is not supported after the last layer")
        return result

    def _reader(self, item: Value, operand: Any) -> Callable[[Any], Any]:
        """Element of an operand; one of width one is the same for every column."""
        return (lambda column: operand[0]) if self._width(item) == 1 else (lambda column: operand[column])

    def _dense(self, item: Value, operands: list[Any], result: Any, tile: Tile, isa: Isa) -> None:
        x, weight, bias = operands
        depth, width = item.inputs[1].shape
        vectors = range(tile.panel // isa.lanes)
        activation = item.attributes.get("activation", "")
        sums = emit.local(len(vectors), isa.lanes)
        with emit.loop(-(-width // tile.panel)) as panel:
            for vector in vectors:
                with emit.lanes(isa.lanes) as lane:
                    emit.store(sums, bias[panel * tile.panel + vector * isa.lanes + lane], vector, lane)
            with emit.loop(depth) as k:
                for vector in vectors:
                    with emit.lanes(isa.lanes) as lane:
                        product = x[k] * weight[panel, k, vector * isa.lanes + lane]
                        emit.store(sums, sums[vector, lane] + product, vector, lane)
            for vector in vectors:
                column = panel * tile.panel + vector * isa.lanes
                with emit.when(column < width), emit.lanes(isa.lanes) as lane:
                    emit.store(result, emit.activate(activation, sums[vector, lane]), column + lane)

    def _token_sum(self, operands: list[Any], result: Any, width: int, isa: Isa) -> None:
        hidden, weights = operands
        emit.columns(width, isa.lanes, lambda column: emit.store(result, emit.number(0.0), column))
        with emit.loop(self.seq_len) as token, emit.when(weights[token] != emit.number(0.0)):
            emit.columns(
                width,
                isa.lanes,
                lambda column: emit.store(result, result[column] + weights[token] * hidden[token, column], column),
            )

    def _roles(self) -> dict[Value, str]:
        roles: dict[Value, str] = {}
        for item in self.program.values():
            if item.operator == "linear":
                roles |= {item.inputs[1]: "weight", item.inputs[2]: "bias"}
            elif item.operator in ("token_sum", "token"):
                roles[item.inputs[0]] = "hidden"
            elif item.operator == "token_table":
                roles |= dict.fromkeys(item.inputs, "tokens")
        return roles

    def _shape(self, item: Value, tile: Tile) -> tuple[int, ...]:
        role = self._roles().get(item)
        if role == "weight":
            depth, width = item.shape
            return -(-width // tile.panel), depth, tile.panel
        if role == "bias":
            return (_round_up(item.shape[0], tile.panel),)
        if role == "hidden":
            return self.rows, item.shape[-1]
        return (self.rows,) if role == "tokens" else (prod(item.shape),)

    def _width(self, item: Value) -> int:
        return prod(item.shape)


def _entry(table: tuple[tuple[float, ...], ...], bit: Any, segment: Any) -> Any:
    rows = []
    for entries in table:
        chosen = emit.number(entries[0])
        for index, entry in enumerate(entries[1:], 1):
            if entry != entries[0]:
                chosen = tirx.Select(segment == index, emit.number(entry), chosen)
        rows.append(chosen)
    return tirx.Select(bit == 0, rows[0], rows[1])


def _clip(x: Any, low: float, high: float) -> Any:
    raised = tirx.max(x, emit.number(low)) if low != -np.inf else x
    return tirx.min(raised, emit.number(high)) if high != np.inf else raised


def _copy(source: Any, target: Any, start: int) -> Callable[[Any], None]:
    return lambda column: emit.store(target, source[column], start + column)


def _round_up(size: int, multiple: int) -> int:
    return -(-size // multiple) * multiple
