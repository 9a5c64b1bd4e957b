"""Kernels for GPUs against the evaluator, on PoCL."""

import ctypes
import platform
import subprocess
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from gpu_models import HOST, answers, opencl, rows_from
from needs import need_folder
from programs import tokens, weights

from compiler import zig
from compiler.evaluate import apply
from compiler.graph import Graph, Value, constant
from compiler.kernels import spec_of
from compiler.opencl.blocks import launches
from compiler.opencl.tables import program_source
from compiler.passes.readout import readout

S, H, A = 13, 24, 3
D = H // A
SHARES = {"fp32": 2e-5, "fp16": 1e-2}
TABLE = ((-1e30, -1e30), (0.5, 0.0))  # a row a mask bit, a column a segment


@pytest.fixture(scope="module", autouse=True)
def device(tmp_path_factory):
    with opencl(tmp_path_factory.mktemp("pocl")):
        yield


def same(output, inputs, folder, precisions=("fp32", "fp16")):
    """To a small part of the largest number, in each precision."""
    found, expected = answers(Graph(inputs, output), folder, precisions)
    for precision in precisions:
        share = SHARES[precision]
        np.testing.assert_allclose(found[precision], expected, atol=share * np.abs(expected).max(), err_msg=precision)


def block(kind, *operands, shape, **attributes):
    return Value(kind, operands, shape, "float32", attributes)


def linear_of(x, width, residual=None, norm=False, groups=1, repeats=1, **attributes):
    scaled = attributes.get("scaled", False)
    operands = [residual] if residual is not None else []
    operands += [weights(width, seed=3)] if scaled else []
    operands += [weights(width, seed=4), weights(width, seed=5)] if norm else []
    attributes |= {"residual": True} if residual is not None else {}
    attributes |= {"epsilon": 1e-5} if norm else {}
    attributes |= {"groups": groups, "repeats": repeats} if groups * repeats > 1 else {}
    depth = x.shape[-1] // groups
    factors = constant(weights(depth, width).data * np.float32(depth**-0.5)), weights(width, seed=2)
    return block("linear", x, *factors, *operands, shape=(x.shape[-2], width), **attributes)


def test_linear(tmp_path):
    """One after the other: with every epilogue, and of sizes that are no multiples of a tile's."""
    inputs, x = rows_from(weights(S, 27), S)
    x = linear_of(x, 70, activation="gelu")
    x = linear_of(x, 33, activation="gelu_tanh", norm=True)
    x = linear_of(x, 33, residual=x)
    x = linear_of(x, 40, activation="relu", norm=True)
    x = linear_of(x, 30, groups=2, repeats=3)
    x = linear_of(x, 30, residual=x, scaled=True, norm=True)
    same(linear_of(x, 1), inputs, tmp_path, ["fp32"])


def test_linear_with_rows_enough_for_large_tiles(tmp_path):
    inputs, x = rows_from(weights(128, 24), 128)
    same(linear_of(x, 1024), inputs, tmp_path, ["fp32"])


def test_products_in_half(tmp_path):
    """What a device with cl_khr_fp16 runs, which PoCL is not: as a function of this machine, called for each work-item."""
    headers = need_folder("/usr/share/pocl/include", "libpocl2-common")
    _, x = rows_from(weights(16, 70), 16)
    value = linear_of(x, 30, activation="gelu", residual=weights(16, 30, seed=9))
    spec = spec_of(value, 16)
    tile = spec.tiles(HOST, 1)[0]
    (launch,) = launches(spec, tile, 16)
    (tmp_path / "kernel.cl").write_text(program_source({launch.source: "linear_in_half"}))
    machine = f"{platform.machine()}-linux-gnu"
    language = ["-x", "cl", "-cl-std=CL1.2", "-Xclang", "-fdeclare-opencl-builtins", "-Xclang", "-finclude-default-header"]
    options = ["-O1", f"-I{headers}", "-target", machine, "-DHALF_STORAGE", "-DHALF_ARITHMETIC", "-c"]
    command = [zig._zig(), "clang", *language, *options, tmp_path / "kernel.cl", "-o", tmp_path / "kernel.o"]
    subprocess.run(list(map(str, command)), check=True)
    zig.link_shared([Path(__file__).parent / "opencl_on_host.c", tmp_path / "kernel.o"], tmp_path / "kernel.so", HOST)
    library = ctypes.CDLL(str(tmp_path / "kernel.so"))
    known = {x: x.inputs[0].data}
    arrays = [known[each] if isinstance(each, Value) else each for each in spec.operands(value, tile)]
    halves = [*(np.ascontiguousarray(array, np.float16) for array in arrays), np.zeros((16, 30), np.float16)]
    tensors = [part for half in halves for part in (ctypes.c_void_p(half.ctypes.data), ctypes.c_uint(0))]
    item = (ctypes.c_size_t * 2).in_dll(library, "item")
    columns, rows = (groups * size for groups, size in zip(launch.groups, launch.group, strict=True))
    for item[0], item[1] in product(range(columns), range(rows)):
        library.linear_in_half(*tensors, *map(ctypes.c_uint, launch.numbers))
    expected = apply(value, [known.get(each, each.data) for each in value.inputs])
    np.testing.assert_allclose(halves[-1], expected, atol=SHARES["fp16"] * np.abs(expected).max())


def test_attention(tmp_path):
    """More keys than a work-group has items; heads of whole and of partial vectors, with a mask and without."""
    seq_len = 70
    inputs, x = rows_from(weights(seq_len, 3 * 3 * 26), seq_len)
    x = block("attention", x, inputs[2], inputs[1], shape=(seq_len, 3 * 26), heads=3, mask=TABLE)
    x = block("attention", linear_of(x, 3 * 64), shape=(seq_len, 64), heads=1)
    same(
        block("attention", linear_of(x, 3 * 2 * 3), inputs[2], inputs[1], shape=(seq_len, 6), heads=2, mask=TABLE),
        inputs,
        tmp_path,
    )


def test_embedding(tmp_path):
    """The sum of three: all tables and a norm; a norm without affine; neighbours, without a norm."""
    inputs = tokens(S)
    norm = weights(21, seed=4), weights(21, seed=5)
    rows = weights(100, 21), inputs[0], weights(S, 21, seed=1), weights(2, 21, seed=2), inputs[1]
    every = {"words": True, "positions": True, "types": True, "neighbours": False}
    words = {"words": True, "positions": False, "types": False}
    whole = block("embedding", *rows, *norm, shape=(S, 21), **every, affine=True, epsilon=1e-12)
    plain = block("embedding", *rows[:2], shape=(S, 21), **words, neighbours=False, affine=False, epsilon=1e-12)
    three = block("embedding", weights(100, 7), inputs[0], shape=(S, 21), **words, neighbours=True, affine=False, epsilon=None)
    same(block("add", block("add", whole, plain, shape=(S, 21)), three, shape=(S, 21)), inputs, tmp_path)


def pooled(inputs, hidden):
    """Mean over the tokens that the mask keeps."""
    table = block("token_table", inputs[2], inputs[1], shape=(1, S), table=((0.0, 0.0), (1.0, 0.5)))
    total = block("token_sum", hidden, table, shape=(1, H))
    count = block("sum", table, shape=(1, 1), axis=(1,))
    return block("divide", total, block("clip", count, shape=(1, 1), arguments=(1e-9, np.inf)), shape=(1, H))


def dense(x, width, **attributes):
    return block("linear", x, weights(x.shape[-1], width), weights(width, seed=2), shape=(1, width), **attributes)


def test_readout_of_mean_pooling_and_layers(tmp_path):
    inputs, x = rows_from(weights(S, H), S)
    hidden = dense(pooled(inputs, x), 301, activation="gelu")
    both = block("concat", hidden, block("tanh", dense(hidden, 5), shape=(1, 5)), shape=(1, 306), axis=1)
    graph = readout(Graph(inputs, dense(both, 2)))
    assert graph.output.operator == "readout"
    same(graph.output, inputs, tmp_path)


def test_readout_of_one_token(tmp_path):
    inputs, x = rows_from(weights(S, H), S)
    token = block("token", x, shape=(1, H), index=3)
    length = block("sqrt", block("sum", block("multiply", token, token, shape=(1, H)), shape=(1, 1), axis=(1,)), shape=(1, 1))
    wide = block("broadcast_to", block("maximum", length, constant(np.float32([[1e-9]])), shape=(1, 1)), shape=(1, H))
    graph = readout(Graph(inputs, block("divide", token, wide, shape=(1, H))))
    assert graph.output.operator == "readout"
    same(graph.output, inputs, tmp_path, ["fp32"])


def test_operators_on_elements(tmp_path):
    """Each alone, one after the other, with operands of every kind."""
    inputs, x = rows_from(weights(S, H), S)
    value = x
    for operator in ("nn.gelu", "nn.gelu_tanh", "tanh", "erf", "exp", "sqrt", "negative", "abs", "nn.relu"):
        value = block(operator, value, shape=(S, H))
    row = block("mean", x, shape=(S, 1), axis=(-1,))
    for operator, operand in (
        ("add", weights(H)),
        ("subtract", row),
        ("multiply", x),
        ("maximum", weights(S, H, seed=7)),
        ("minimum", constant(np.float32([1.5]))),
        ("divide", constant(np.float32([3]))),
    ):
        value = block(operator, value, operand, shape=(S, H))
    same(value, inputs, tmp_path, ["fp32"])


def test_layer_norm_alone(tmp_path):
    inputs, x = rows_from(weights(S, 70), S)
    x = block("nn.layer_norm", x, weights(70, seed=1), weights(70, seed=2), shape=(S, 70), axes=(-1,), epsilon=1e-5)
    same(block("nn.layer_norm", x, shape=(S, 70), axes=(-1,), epsilon=1e-5), inputs, tmp_path, ["fp32"])


def test_attention_without_fusion(tmp_path):
    """Heads split by transposes, scores and softmax as tensors, values summed and heads joined."""
    inputs, x = rows_from(weights(S, H), S)

    def heads(axes, shape):
        return block("transpose", x, shape=shape, view=(1, S, A, D), axes=axes)

    queries, keys = heads((0, 2, 1, 3), (1, A, S, D)), heads((0, 2, 3, 1), (1, A, D, S))
    scores = block("nn.softmax", block("matmul", queries, keys, shape=(1, A, S, S)), shape=(1, A, S, S), axis=-1)
    context = block("matmul", scores, queries, shape=(1, A, S, D))
    same(block("transpose", context, shape=(1, S, H), view=(1, A, S, D), axes=(0, 2, 1, 3)), inputs, tmp_path, ["fp32"])
