"""Programs in: a `torch.export` file -> Relax -> the compiler's own graph (`compiler.graph`)."""

from pathlib import Path
from typing import Any

from compiler.graph import INPUT, Graph, Member, Value, constant
from compiler.torch_load import load_program
from data.errors import CompileError

MASKED_SCORE = -1e30
INPUT_NAMES = ("input_ids", "token_type_ids", "attention_mask")


def import_program(path: Path) -> Graph:
    """Read a `.pt2` of a module (input_ids, token_type_ids, attention_mask: int64 (1, S)) -> float32 (1, N).

    Raises:
        CompileError: not such a file, or an operator that TVM's importer does not know.
    """
    try:
        program = load_program(path)
    except Exception as error:
        raise CompileError(f"{path.name} is not a torch.export program: {_first_line(error)}") from error
    return import_exported(program, path.name)


def import_exported(program: Any, name: str) -> Graph:
    """The same of a program in memory; messages call it `name`.

    Raises:
        CompileError: an operator that TVM's importer does not know.
    """
    from tvm.relax.frontend.torch import from_exported_program

    try:
        module = from_exported_program(
            program,
            run_ep_decomposition=False,
            custom_convert_map={
                "rsub.Scalar": _reverse_subtract,
                "to.device": _same_tensor,
                "where.ScalarOther": _where,
                "scaled_dot_product_attention.default": _attention,
            },
        )
    except Exception as error:
        raise CompileError(f"{name} has an operator that cannot be imported: {_first_line(error)}") from error
    return graph_of(module["main"])


def graph_of(function: Any) -> Graph:
    """A Relax function of one output, its parameters bound as constants, as a graph.

    Raises:
        CompileError: other inputs than the three, or several outputs.
    """
    from tvm import ir, relax

    if len(function.params) != len(INPUT_NAMES):
        raise CompileError(f"the program takes {len(function.params)} inputs; it must take {', '.join(INPUT_NAMES)}")
    inputs = tuple(
        Value(INPUT, (), _shape(parameter), "int32", name=name)
        for parameter, name in zip(function.params, INPUT_NAMES, strict=True)
    )
    known: dict[Any, Value | tuple[Value, ...]] = dict(zip(function.params, inputs, strict=True))
    constants: dict[Any, Value] = {}

    def value_of(expression: Any) -> Value | tuple[Value, ...]:
        if isinstance(expression, ir.GenericConst):
            if expression not in constants:
                constants[expression] = constant(expression.value.numpy())
            return constants[expression]
        if isinstance(expression, relax.Tuple):
            return tuple(_one(value_of(item)) for item in expression.fields)
        if isinstance(expression, relax.TupleGetItem):
            return _many(value_of(expression.tuple_value))[expression.index]
        return known[expression]

    for block in function.body.blocks:
        for binding in block.bindings:
            expression = binding.value
            if isinstance(expression, relax.Call):
                known[binding.var] = _call(expression, binding.var, value_of)
            else:
                known[binding.var] = value_of(expression)
    results = known[function.body.body]
    outputs = results if isinstance(results, tuple) else (results,)
    if len(outputs) != 1:
        raise CompileError(f"the program has {len(outputs)} outputs; it must have one")
    return Graph(inputs, outputs[0])


def _reverse_subtract(node: Any, importer: Any) -> Any:
    """`scalar - tensor` in the tensor's type: TVM 0.27's own converter takes the scalar's and then refuses the pair."""
    from tvm import relax

    tensor, scalar = importer.retrieve_args(node)[:2]
    return importer.block_builder.emit(relax.op.subtract(relax.const(scalar, str(tensor.ty.dtype)), tensor))


def _attention(node: Any, importer: Any) -> Any:
    """scaled_dot_product_attention; TVM 0.27's own converter refuses the boolean masks that `transformers` passes."""
    from tvm import relax

    query, key, value, mask, _, causal = (*importer.retrieve_args(node), None, 0.0, False)[:6]
    if causal:
        raise CompileError("operator 'scaled_dot_product_attention' is supported without is_causal only")
    emit, op = importer.block_builder.emit, relax.op
    query, key, value = (emit(op.permute_dims(item, [0, 2, 1, 3])) for item in (query, key, value))
    if mask is not None and not str(mask.ty.dtype).startswith("float"):
        mask = emit(op.where(op.astype(mask, "bool"), relax.const(0.0, "float32"), relax.const(MASKED_SCORE, "float32")))
    scale = node.kwargs.get("scale")
    context = emit(op.nn.attention(query, key, value, bias=mask, scale=scale))
    return emit(op.permute_dims(context, [0, 2, 1, 3]))


def _where(node: Any, importer: Any) -> Any:
    """A choice between a tensor and a number, which TVM 0.27 has no converter for."""
    from tvm import relax

    condition, tensor, other = importer.retrieve_args(node)
    condition = importer.block_builder.emit(relax.op.astype(condition, "bool"))
    return importer.block_builder.emit(relax.op.where(condition, tensor, relax.const(other, str(tensor.ty.dtype))))


def _same_tensor(node: Any, importer: Any) -> Any:
    """A move to another device, which compiled programs do not have."""
    return importer.retrieve_args(node)[0]


def _call(call: Any, variable: Any, value_of: Any) -> Value:
    """A call of a Relax operator. Tensors become inputs; shapes and scalars go to attributes under `arguments`."""
    from tvm import relax, tirx

    scalars = (tirx.IntImm, tirx.FloatImm)
    operator = str(call.op.name).removeprefix("relax.")
    inputs: list[Value] = []
    arguments: list[Any] = []
    for argument in call.args:
        if isinstance(argument, scalars):
            arguments.append(argument.value)
        elif isinstance(argument, relax.ShapeExpr):
            arguments.append(tuple(int(size) for size in argument.values))
        elif isinstance(argument, relax.Tuple) and all(isinstance(item, scalars) for item in argument.fields):
            arguments.append(tuple(item.value for item in argument.fields))
        else:
            found = value_of(argument)
            inputs.extend(found if isinstance(found, tuple) else (found,))
    fields = type(call.attrs).__tvm_ffi_type_info__.fields if call.attrs is not None else ()
    attributes = {entry.name: _plain(getattr(call.attrs, entry.name)) for entry in fields}
    if arguments:
        attributes["arguments"] = tuple(arguments)
    dtype = str(variable.ty.dtype)
    shape = _shape(variable)
    value = Value(operator, tuple(inputs), shape, dtype, attributes)
    return Value(operator, value.inputs, shape, dtype, attributes, members=(Member(operator, value.bytes),))


def _shape(variable: Any) -> tuple[int, ...]:
    try:
        return tuple(int(size) for size in variable.ty.shape.values)
    except (AttributeError, TypeError) as error:
        raise CompileError(f"{variable.name} has no fixed shape; export the model for one sequence length") from error


def _plain(attribute: Any) -> Any:
    """TVM's containers and constants as Python's."""
    if attribute is None or isinstance(attribute, bool | int | float):
        return attribute
    if isinstance(attribute, str):
        return str(attribute)
    if hasattr(attribute, "value"):
        return attribute.value
    if hasattr(attribute, "__iter__"):
        return tuple(_plain(item) for item in attribute)
    return str(attribute)


def _one(value: Value | tuple[Value, ...]) -> Value:
    assert isinstance(value, Value)
    return value


def _many(value: Value | tuple[Value, ...]) -> tuple[Value, ...]:
    assert isinstance(value, tuple)
    return value


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
