"""One-to-many: word, position and segment rows are gathered, summed and normalised a row at a time: one `embedding` block."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from compiler.fusion import propose
from compiler.graph import Graph, Value, constant

LAW = "one-to-many: gathered rows summed and normalised in cache"
TABLES = ("input_ids", "token_type_ids")  # whose rows a block can gather


@dataclass
class Sum:
    """A tree of additions: rows gathered by the tokens, constant rows, other terms, and the operators that add them up."""

    gathers: dict[str, tuple[Value, Value]] = field(default_factory=dict)  # input's name: (table, ids)
    constants: list[np.ndarray] = field(default_factory=list)
    others: list[Value] = field(default_factory=list)
    members: list[Value] = field(default_factory=list)

    def block(
        self, shape: tuple[int, ...], norm: tuple[Value, ...] = (), epsilon: float | None = None
    ) -> tuple[list[Value], dict[str, Any]]:
        """Inputs and attributes of the embedding that sums what is gathered or constant, normalised where there is an epsilon."""
        inputs = [*self.gathers.get("input_ids", ())]
        if self.constants:
            total = np.zeros(shape[-2:], np.float32)
            for rows in self.constants:
                total = total + rows.reshape(-1, total.shape[-1])
            inputs.append(constant(total))
        inputs += self.gathers.get("token_type_ids", ())
        attributes = {
            "words": "input_ids" in self.gathers,
            "neighbours": False,
            "positions": bool(self.constants),
            "types": "token_type_ids" in self.gathers,
            "affine": bool(norm),
            "epsilon": epsilon,
        }
        return [*inputs, *norm], attributes


def embedding(graph: Graph) -> Graph:
    readers = graph.users()
    rewrites: dict[Value, Value] = {}
    for value in graph.values():
        if value.operator == "nn.layer_norm" and all(operand.is_constant for operand in value.inputs[1:]):
            found = summed(value.inputs[0], value.shape)
            if "input_ids" in found.gathers and not found.others:
                found.members.insert(0, value)
                inputs, attributes = found.block(value.shape, value.inputs[1:], value["epsilon"])
                block = propose("embedding", inputs, found.members[::-1], value, LAW, readers, same_rows=True, **attributes)
                if block:
                    rewrites[value] = block
    return graph.substitute(rewrites)


def summed(value: Value, shape: tuple[int, ...]) -> Sum:
    """What a value of a shape (1, S, E) is the sum of."""
    found = Sum()
    pending = [value]
    while pending:
        term = pending.pop()
        if term.data is not None and term.dtype == "float32" and _spreads(term.shape, shape):
            found.constants.append(term.data)
        elif term.operator == "add" and term.shape in (shape, shape[1:]):
            found.members.append(term)
            pending.extend(term.inputs)
        elif term.operator == "reshape" and _leads_to_rows(term):
            found.members.append(term)
            pending.append(term.inputs[0])
        elif (gather := _gather(term)) and gather[1].name not in found.gathers:
            found.members += [term, *_views(term.inputs[1])]
            found.gathers[gather[1].name] = gather
        else:
            found.others.append(term)
    return found


def ids_of(indices: Value) -> Value | None:
    """The input that indices are, reshaped or not."""
    while indices.operator == "reshape":
        indices = indices.inputs[0]
    return indices if indices.operator == "input" else None


def _views(indices: Value) -> list[Value]:
    """The reshapes between token ids and the gather that reads them."""
    return [indices, *_views(indices.inputs[0])] if indices.operator == "reshape" else []


def _gather(term: Value) -> tuple[Value, Value] | None:
    if term.operator != "take" or not term.inputs[0].is_constant:
        return None
    ids = ids_of(term.inputs[1])
    return (term.inputs[0], ids) if ids is not None and ids.name in TABLES else None


def _leads_to_rows(value: Value) -> bool:
    """Whether behind reshapes there are gathered rows or a sum, whose width stays."""
    source = value.inputs[0]
    return source.shape[-1] == value.shape[-1] and (
        source.operator in ("take", "add") or (source.operator == "reshape" and _leads_to_rows(source))
    )


def _spreads(shape: tuple[int, ...], over: tuple[int, ...]) -> bool:
    """Whether a constant is one row, or a row a token."""
    rows = int(np.prod(shape[:-1]))
    return shape[-1:] == over[-1:] and rows in (1, int(np.prod(over[:-1])))
