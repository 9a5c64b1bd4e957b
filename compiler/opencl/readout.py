"""The end of a model as one work-group: its program's steps in order, their vectors in local memory."""

from math import inf, prod

from compiler.graph import INPUT, Value
from compiler.opencl.launch import ITEMS
from compiler.opencl.scalar import BINARY, UNARY, literal, select
from compiler.schedules.readout import ALIASES, Readout, Tile
from data.errors import CompileError

LOCAL_BYTES = 32 << 10  # that every OpenCL device has: CL_DEVICE_LOCAL_MEM_SIZE of the full profile
BARRIER = "barrier(CLK_LOCAL_MEM_FENCE);"


def readout(spec: Readout, tile: Tile) -> str:
    """OpenCL C of the program.

    Raises:
        CompileError: its vectors take more local memory than every GPU has, or it has an operator that there is no code for.
    """
    writer = _Writer(spec, tile)
    for item in spec.program.values():
        writer.step(item)
    if writer.local_bytes > LOCAL_BYTES:
        raise CompileError(f"the vectors after the last layer take {writer.local_bytes} bytes, a GPU may have {LOCAL_BYTES}")
    inputs = spec.program.inputs
    operands = [f"{'TOKENS' if item.dtype == 'int32' else 'TENSOR'}({item.name})" for item in inputs]
    output = spec.program.output
    body = [*(f"{item.name} += {item.name}_at;" for item in inputs), *writer.vectors, *writer.lines]
    body.append(
        f"for (uint at = item; at < {prod(output.shape)}; at += ITEMS) STORE({writer.read(output, 'at')}, y, y_at + at);"
    )
    indented = "\n    ".join(body)
    return f"""/* The end of the model, one work-group. */
IN_GROUPS(ITEMS, 1)
__kernel void KERNEL({", ".join(operands)}, RESULT(y)) {{
    __local float shared[ITEMS];
    __local float4 partial[ITEMS];
    const uint item = get_local_id(0);
    {indented}
}}
"""


class _Writer:
    """The steps so far. `elements` says how an element of a value is read, with a place for its index."""

    def __init__(self, spec: Readout, tile: Tile) -> None:
        self.spec, self.tile = spec, tile
        self.elements: dict[Value, str] = {}
        self.vectors: list[str] = []
        self.lines: list[str] = []
        self.local_bytes = 4 * ITEMS + 16 * ITEMS

    def read(self, item: Value, at: str) -> str:
        return self.elements[item].format(at)

    def step(self, item: Value) -> None:
        """
        Raises:
            CompileError: an operator without code.
        """
        if item.operator == INPUT:
            self.elements[item] = f"LOAD({item.name}, {{}})" if item.dtype == "float32" else f"{item.name}[{{}}]"
            return
        if item.is_constant:
            assert item.data is not None
            if item.data.size != 1:
                raise CompileError("a constant vector after the last layer has no kernel for GPUs")
            self.elements[item] = literal(item.data.reshape(-1)[0])
            return
        if item.operator in ALIASES:
            self.elements[item] = self.elements[item.inputs[0]]
            return
        width, name = prod(item.shape), f"v{len(self.vectors)}"
        if item.operator == "linear":
            self._dense(item, name)
        elif item.operator == "token_sum":
            hidden, weights = item.inputs
            product = f"{self.read(weights, 'token')} * {self.read(hidden, f'token * {width} + at')}"
            sums = f"float sum = 0; for (uint token = 0; token < {self.spec.seq_len}; token++) sum += {product};"
            self.lines.append(f"for (uint at = item; at < {width}; at += ITEMS) {{ {sums} {name}[at] = sum; }}")
        elif item.operator == "sum":
            source = item.inputs[0]
            self.lines += [
                "{",
                "    float mine = 0;",
                f"    for (uint at = item; at < {prod(source.shape)}; at += ITEMS) mine += {self.read(source, 'at')};",
                "    const float total = group_sum(mine, shared);",
                f"    if (item == 0) {name}[0] = total;",
                "}",
            ]
        elif item.operator == "concat":
            start = 0
            for part in item.inputs:
                size = prod(part.shape)
                self.lines.append(
                    f"for (uint at = item; at < {size}; at += ITEMS) {name}[{start} + at] = {self.read(part, 'at')};"
                )
                start += size
        else:
            self.lines.append(f"for (uint at = item; at < {width}; at += ITEMS) {name}[at] = {self._element(item)};")
        self.lines.append(BARRIER)
        self.vectors.append(f"__local float {name}[{width}];")
        self.local_bytes += 4 * width
        self.elements[item] = f"{name}[{{}}]"

    def _element(self, item: Value) -> str:
        """The formula of one element."""
        terms = [self.read(each, "0" if prod(each.shape) == 1 else "at") for each in item.inputs]
        if item.operator == "token_table":
            rows = [select(entries, terms[1]) for entries in item["table"]]
            return f"({terms[0]} == 0 ? {rows[0]} : {rows[1]})"
        if item.operator == "token":
            return self.read(item.inputs[0], f"{item['index'] * prod(item.shape)} + at")
        if item.operator == "broadcast_to":
            return terms[0]
        if item.operator == "clip":
            low, high = item["arguments"]
            raised = terms[0] if low == -inf else f"fmax({terms[0]}, {literal(low)})"
            return raised if high == inf else f"fmin({raised}, {literal(high)})"
        formula = UNARY.get(item.operator) or BINARY.get(item.operator)
        if formula is None:
            raise CompileError(f"operator '{item.operator}' after the last layer has no kernel for GPUs")
        return formula.format(*terms)

    def _dense(self, item: Value, name: str) -> None:
        """A matrix by a vector: an item has four columns, and where there are fewer of those than items a share of the rows."""
        x, weight, bias = item.inputs
        (depth, width), panel = weight.shape, self.tile.panel
        quads = -(-width // 4)
        at_once = min(quads, ITEMS)
        shares = ITEMS // at_once
        activation = item.attributes.get("activation", "")
        total = f"{activation}(total)" if activation else "total"
        first = f"quad * 4 / {panel} * {depth * panel} + quad * 4 % {panel}"
        self.lines += [
            f"for (uint first = 0; first < {quads}; first += {at_once}) {{",
            f"    const uint quad = first + item % {at_once}, share = item / {at_once};",
            f"    const uint active = share < {shares} && quad < {quads};",
            "    float4 sum = 0;",
            f"    for (uint k = share; active && k < {depth}; k += {shares})",
            f"        sum += {self.read(x, 'k')} * LOAD4({weight.name}, {first} + k * {panel});",
            "    partial[item] = sum;",
            f"    {BARRIER}",
            "    if (active && share == 0) {",
            f"        float4 total = LOAD4({bias.name}, quad * 4);",
            f"        for (uint other = 0; other < {shares}; other++) total += partial[item + other * {at_once}];",
            f"        total = {total};",
            *(f"        if (quad * 4 + {lane} < {width}) {name}[quad * 4 + {lane}] = total.s{lane};" for lane in range(4)),
            "    }",
            f"    {BARRIER}",
            "}",
        ]
