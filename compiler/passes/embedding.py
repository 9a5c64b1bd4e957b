"""One-to-many: word, position and segment rows are gathered, summed and normalised a row at a time: one `embedding` block."""

from compiler.fusion import propose
from compiler.graph import Graph, Value

LAW = "one-to-many: gathered rows summed and normalised in cache"


def embedding(graph: Graph) -> Graph:
    readers = graph.users()
    rewrites: dict[Value, Value] = {}
    for value in graph.values():
        if value.operator == "nn.layer_norm" and all(operand.is_constant for operand in value.inputs[1:]):
            block = _embedding(value, readers)
            if block:
                rewrites[value] = block
    return graph.substitute(rewrites)


def _embedding(norm: Value, readers: dict[Value, list[Value]]) -> Value | None:
    members: list[Value] = [norm]
    gathers: dict[str, Value] = {}
    positions: Value | None = None
    pending = [norm.inputs[0]]
    while pending:
        term = pending.pop()
        if term.operator == "add" or (term.operator == "reshape" and not term.is_constant):
            members.append(term)
            pending.extend(term.inputs)
        elif (
            term.operator == "take" and term.inputs[0].is_constant and (ids := _ids(term.inputs[1])) and ids.name not in gathers
        ):
            members += [term, *_flattened(term.inputs[1])]
            gathers[ids.name] = Value("gather", (term.inputs[0], ids), term.shape)
        elif term.is_constant and positions is None and term.bytes == norm.bytes:
            positions = term
        else:
            return None
    words, types = gathers.get("input_ids"), gathers.get("token_type_ids")
    if words is None:
        return None
    inputs = [*words.inputs, *([positions] if positions else []), *(types.inputs if types else []), *norm.inputs[1:]]
    return propose(
        "embedding",
        inputs,
        members[::-1],
        norm,
        LAW,
        readers,
        same_rows=True,
        positions=positions is not None,
        types=types is not None,
        affine=len(norm.inputs) == 3,
        epsilon=norm["epsilon"],
    )


def _ids(indices: Value) -> Value | None:
    source = (_flattened(indices) or [indices])[-1]
    source = source.inputs[0] if source.operator == "reshape" else source
    return source if source.operator == "input" else None


def _flattened(indices: Value) -> list[Value]:
    """The reshapes between token ids and the gather that reads them."""
    steps = []
    while indices.operator == "reshape":
        steps.append(indices)
        indices = indices.inputs[0]
    return steps
