"""Vector functions, compiled and compared with the same in double precision."""

from math import erf

import numpy as np
import pytest
import tvm

from compiler.isa import host
from compiler.schedules import emit

ISA = host()
SPREAD = np.concatenate([np.linspace(-87, 88, 1401), np.linspace(-2, 2, 400)]).astype(np.float32)
NEAR = np.linspace(-9, 9, 1801).astype(np.float32)


def applied(function, x):
    """`function` of a kernel, to each number, in the type of x; as many as whole vectors and a rest of them take."""
    count, dtype = len(x) // ISA.lanes * ISA.lanes, str(x.dtype)

    def body(source, target):
        with emit.tasks(1):
            emit.together(count, ISA.lanes, lambda at: emit.store(target, function(source[at]), at), ISA)

    kernel = emit.kernel("kernel", [("source", (count,), dtype), ("target", (count,), dtype)], body)
    module = tvm.compile(kernel.tir, target=tvm.target.Target(ISA.target()))
    result = tvm.runtime.tensor(np.full(count, np.nan, x.dtype))
    module["kernel"](tvm.runtime.tensor(x[:count]), result)
    return x[:count].astype(np.float64), result.numpy()


def test_exp_is_within_two_units_in_the_last_place():
    x, found = applied(emit.exp, SPREAD)
    np.testing.assert_allclose(found, np.exp(x), rtol=2.5e-7)


def test_exp_of_what_a_mask_leaves_is_as_good_as_zero():
    _, found = applied(emit.exp, np.full(64, emit.LOWEST, np.float32))
    assert np.all((found >= 0) & (found < 2e-38))


def test_exp_below_zero_is_within_two_units_in_the_last_place_of_one():
    x, found = applied(emit.exp_below_zero, np.concatenate([np.linspace(-120, 0, 1401), [emit.LOWEST] * 15]).astype(np.float32))
    np.testing.assert_allclose(found, np.exp(x), rtol=0, atol=2.4e-7)


def test_gelu_for_float16_is_a_fraction_of_its_last_digit_off():
    x, found = applied(lambda x: emit.activate("gelu", x, "float16"), np.linspace(-30, 30, 1601).astype(np.float32))
    exact = x.astype(np.float64) * (1 + np.vectorize(erf)(x / np.sqrt(2))) / 2
    assert (np.abs(found - exact) <= 1e-6 + 3.3e-5 * np.abs(x)).all()


def test_exp_below_zero_in_half_is_half_a_digit_of_one_off():
    scores = np.concatenate([np.linspace(-30, 0, 2385), [2 * emit.LOWEST_HALF] * 15])
    x, found = applied(emit.exp_below_zero_half, scores.astype(np.float16))
    np.testing.assert_allclose(found, np.exp(x), rtol=0, atol=7e-4)
    assert not found[x < -10.4].any()


def test_gelu_in_half_is_about_a_rounding_off():
    x, found = applied(
        lambda x: emit.activate("gelu", x, "float16", "float16"), np.linspace(-300, 300, 60001).astype(np.float16)
    )
    exact = x * (1 + np.vectorize(erf)(x / np.sqrt(2))) / 2
    assert (np.abs(found - exact) <= 1e-3 + 5e-4 * np.abs(exact)).all()
    assert not found[x < -12].any()


@pytest.mark.parametrize(("rows", "width"), [(1, 5), (2, 6), (4, 10), (8, 24), (8, 3)])
def test_rows_side_by_side_for_each_column(rows, width):
    stride = 8

    def body(source, target):
        with emit.tasks(1):
            emit.transpose(source, 1, target, 0, stride, rows, width)

    parameters = [("source", (rows + 1, width), "float32"), ("target", (width * stride,), "float32")]
    kernel = emit.kernel("kernel", parameters, body)
    module = tvm.compile(kernel.tir, target=tvm.target.Target(ISA.target()))
    source = np.arange((rows + 1) * width, dtype=np.float32).reshape(rows + 1, width)
    result = tvm.runtime.tensor(np.full(width * stride, -1, np.float32))
    module["kernel"](tvm.runtime.tensor(source), result)
    found = result.numpy().reshape(width, stride)
    np.testing.assert_array_equal(found[:, :rows], source[1:].T)
    assert (found[:, rows:] == -1).all()


@pytest.mark.parametrize(
    ("function", "exact"),
    [
        (emit.erf, np.vectorize(erf)),
        (emit.gelu, lambda x: x * (1 + np.vectorize(erf)(x / np.sqrt(2))) / 2),
        (emit.gelu_tanh, lambda x: x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))) / 2),
        (emit.tanh, np.tanh),
        (emit.relu, lambda x: np.maximum(x, 0)),
    ],
    ids=["erf", "gelu", "gelu_tanh", "tanh", "relu"],
)
def test_activations(function, exact):
    x, found = applied(function, NEAR)
    np.testing.assert_allclose(found, exact(x), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("vectors", [1, 2, 3, 7, 8])
def test_every_number_is_taken_once(vectors):
    x = np.arange(vectors * ISA.lanes, dtype=np.float32)
    _, found = applied(lambda number: number + emit.number(1.0), x)
    np.testing.assert_array_equal(found, x + 1)


@pytest.mark.parametrize("count", [1, 2, 6, 7, 8])
def test_an_unrolled_loop_goes_over_all_of_its_rounds(count):
    def body(source, target):
        with emit.tasks(1):
            emit.unrolled(count, (4, 2, 1), lambda k: emit.store(target, target[0] + source[k], 0))

    kernel = emit.kernel("kernel", [("source", (count,), "float32"), ("target", (1,), "float32")], body)
    module = tvm.compile(kernel.tir, target=tvm.target.Target(ISA.target()))
    total = tvm.runtime.tensor(np.zeros(1, np.float32))
    module["kernel"](tvm.runtime.tensor(2.0 ** np.arange(count, dtype=np.float32)), total)
    assert total.numpy()[0] == 2**count - 1
