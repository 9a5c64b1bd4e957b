"""Shuffle: word, position and segment rows are gathered, summed and normalised a row at a time: one `embedding` block."""

from compiler.graph import Graph, Value, fuse

LAW = "shuffle: gathered rows summed and normalised in cache"


def embedding(graph: Graph) -> Graph:
    rewrites: dict[Value, Value] = {}
    for value in graph.values():
        if value.operator == "nn.layer_norm" and value.inputs[1].is_constant and value.inputs[2].is_constant:
            block = _embedding(value)
            if block:
                rewrites[value] = block
    return graph.substitute(rewrites)


def _embedding(norm: Value) -> Value | None:
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
            members.append(term)
            gathers[ids.name] = Value("gather", (term.inputs[0], ids), term.shape)
        elif term.is_constant and positions is None and term.bytes == norm.bytes:
            positions = term
        else:
            return None
    words, types = gathers.get("input_ids"), gathers.get("token_type_ids")
    if words is None:
        return None
    inputs = [*words.inputs, *([positions] if positions else []), *(types.inputs if types else []), *norm.inputs[1:]]
    attributes = {"positions": positions is not None, "types": types is not None, "epsilon": norm["epsilon"]}
    return fuse("embedding", inputs, members[::-1], norm, LAW, **attributes)


def _ids(indices: Value) -> Value | None:
    while indices.operator == "reshape":
        indices = indices.inputs[0]
    return indices if indices.operator == "input" else None
