"""ONNX files, whole and broken, made as exporters would."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SEQ_LEN, WORDS, HIDDEN = 16, 50, 32
NAMES = ("input_ids", "attention_mask", "token_type_ids")


def tensorflow_like(path, opset=13, operator=None, inputs=NAMES, axes=("batch", "sequence"), words=WORDS):
    """An encoder layer as TensorFlow's converter writes it: rows without a batch axis, LayerNorm by moments and a reciprocal root,
    segments by a one-hot product, GELU by tanh and powers, the mask by subtraction, the first token by a slice."""
    random = np.random.default_rng(0)
    weights, nodes, count = [], [], iter(range(10_000))

    def w(*shape, scale=0.1):
        return k((random.standard_normal(shape) * scale).astype(np.float32))

    def k(array):
        name = f"w{next(count)}"
        weights.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def n(op, *operands, **attributes):
        name = f"t{next(count)}"
        nodes.append(helper.make_node(op, list(operands), [name], **attributes))
        return name

    def norm(x):
        mean = n("ReduceMean", x, axes=[-1], keepdims=1)
        away = n("Sub", x, mean)
        variance = n("ReduceMean", n("Mul", away, away), axes=[-1], keepdims=1)
        inverse = n("Reciprocal", n("Sqrt", n("Add", variance, k(np.float32(1e-12)))))
        factor = n("Mul", inverse, w(HIDDEN))
        return n("Add", n("Mul", x, factor), n("Sub", w(HIDDEN), n("Mul", mean, factor)))

    def dense(x, depth, width):
        return n("Add", n("MatMul", x, w(depth, width)), w(width))

    def gelu(x):
        cubed = n("Mul", k(np.float32(0.044715)), n("Pow", x, k(np.float32(3))))
        inner = n("Tanh", n("Mul", k(np.float32(0.7978845608)), n("Add", x, cubed)))
        return n("Mul", x, n("Mul", k(np.float32(0.5)), n("Add", k(np.float32(1)), inner)))

    flat = k(np.array([-1, HIDDEN]))
    heads = k(np.array([1, -1, 2, HIDDEN // 2]))
    rows = n("Reshape", n("Gather", w(words, HIDDEN), inputs[0]), flat)
    ids = n("Reshape", inputs[2], k(np.array([-1])))
    one_hot = n("OneHot", ids, k(np.array(2)), k(np.array([0, 1], np.float32)), axis=-1)
    length = n("Gather", n("Shape", inputs[0]), k(np.array([1])))
    positions = n("Slice", w(40, HIDDEN), k(np.array([0])), length, k(np.array([0])))
    x = norm(n("Add", n("Add", rows, n("MatMul", one_hot, w(2, HIDDEN))), positions))
    masked = n("Cast", n("Unsqueeze", inputs[1], k(np.array([1, 2]))), to=TensorProto.FLOAT)
    masked = n("Mul", n("Sub", k(np.float32(1)), masked), k(np.float32(-10000)))
    query, key, value = (
        n("Transpose", n("Reshape", dense(x, HIDDEN, HIDDEN), heads), perm=perm)
        for perm in ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3])
    )
    scores = n("Add", n("Mul", n("MatMul", query, key), k(np.float32(0.25))), masked)
    context = n("Transpose", n("MatMul", n("Softmax", scores, axis=-1), value), perm=[0, 2, 1, 3])
    x = norm(n("Add", dense(n("Reshape", context, flat), HIDDEN, HIDDEN), x))
    if operator:
        x = n(operator, x)
    x = norm(n("Add", dense(gelu(dense(x, HIDDEN, 64)), 64, HIDDEN), x))
    whole = n("Reshape", x, k(np.array([1, -1, HIDDEN])))
    first = n("Slice", whole, k(np.array([0])), k(np.array([1])), k(np.array([1])))
    answer = n("Tanh", dense(n("Squeeze", first, k(np.array([1]))), HIDDEN, 3))
    nodes[-1].output[0] = "scores"
    assert answer
    graph = helper.make_graph(
        nodes,
        "tensorflow",
        [helper.make_tensor_value_info(name, TensorProto.INT64, list(axes)) for name in inputs],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, None)],
        weights,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8), str(path))
    return path


def broken(path, kind):
    """A file that cannot be compiled, in one of the ways that files are."""
    if kind == "corrupted":
        content = tensorflow_like(path).read_bytes()
        path.write_bytes(content[: len(content) // 2])
    elif kind == "no model":
        path.write_bytes(b"")
    elif kind == "huge":
        with path.open("wb") as file:
            file.truncate(3_000_000_000)
    elif kind == "unknown operator":
        tensorflow_like(path, operator="Softsign")
    elif kind == "old opset":
        tensorflow_like(path, opset=12)
    elif kind == "unknown input":
        tensorflow_like(path, inputs=("input_ids", "attention_mask", "pixels"))
    elif kind == "three axes":
        tensorflow_like(path, axes=("batch", "sequence", "more"))
    elif kind == "other length":
        tensorflow_like(path, axes=(1, 64))
    elif kind == "batch of 4":
        tensorflow_like(path, axes=(4, "sequence"))
    return path
