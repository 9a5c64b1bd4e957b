"""`--precision fp16`: which tensors are float16, and that graphs mean the same. Models that run on it: test_cross.py."""

import re

import numpy as np
import pytest
from programs import op, operators, tensor, tokens, weights

from compiler.arm import levels
from compiler.evaluate import evaluate
from compiler.graph import Graph
from compiler.passes.half import halve
from compiler.precisions import FP16
from compiler.schedules.linear_fp16 import MOST_SUMMED, LinearFp16
from compiler.targets import check_precision, precisions_of
from data.errors import UsageError

TOKENS = 4


def linear(x, depth, width, seed, **attributes):
    return op("linear", x, weights(depth, width, seed=seed), weights(width), shape=(1, TOKENS, width), **attributes)


def near(before: Graph) -> Graph:
    """`before` in float16, which has to answer almost as it did."""
    after = halve(before)
    numbers = {"x": np.random.default_rng(0).standard_normal((1, TOKENS, 8)).astype(np.float32)}
    exact, rounded = evaluate(before, numbers), evaluate(after, numbers)
    assert 0 < np.abs(rounded - exact).max() < 0.01 * np.abs(exact).max()
    return after


def test_what_only_layers_read_is_written_in_float16():
    x = tensor(1, TOKENS, 8)
    wide = linear(x, 8, 12, 1, activation="gelu")
    after = near(Graph((*tokens(TOKENS), x), linear(wide, 12, 8, 2)))
    assert sorted(operators(after)) == ["half", "linear", "linear"]
    assert [value.dtype for value in after.values() if value.operator == "linear"] == ["float16", "float32"]


def test_what_others_read_besides_is_rounded_apart_and_once():
    x = tensor(1, TOKENS, 8)
    first = linear(x, 8, 8, 1)
    both = op("add", linear(first, 8, 8, 2), linear(first, 8, 8, 3), shape=(1, TOKENS, 8))
    after = near(Graph((*tokens(TOKENS), x), op("add", both, first, shape=(1, TOKENS, 8))))
    assert operators(after).count("half") == 2  # of x and of `first`
    assert {value.dtype for value in after.values() if value.operator == "linear"} == {"float32"}


def test_a_residual_is_no_factor():
    x = tensor(1, TOKENS, 8)
    first = linear(x, 8, 8, 1)
    added = op("linear", first, weights(8, 8, seed=2), weights(8), first, shape=(1, TOKENS, 8), residual=True)
    after = near(Graph((*tokens(TOKENS), x), added))
    assert operators(after).count("half") == 2
    assert {value.dtype for value in after.values() if value.operator == "linear"} == {"float32"}


@pytest.mark.parametrize("depth", [312, 384, 1536, 3072, 4096])
def test_long_sums_leave_float16_on_their_way(depth):
    best, _ = levels(FP16)
    assert all(tile.depth_block <= MOST_SUMMED for tile in LinearFp16(128, depth, 384).tiles(best, 4))


def test_a_level_without_arithmetic_on_float16_reads_what_the_best_has_packed():
    best, least = levels(FP16)
    for width in (384, 1200):
        tile = LinearFp16(128, 384, width).tiles(best, 4)[0]
        assert {each.panel for each in LinearFp16(128, 384, width, panel=tile.panel).tiles(least, 4)} == {tile.panel}


def test_phones_have_it_and_this_machine_only_with_the_arithmetic():
    assert FP16 in precisions_of("galaxy-s20")
    check_precision("galaxy-s20", FP16)
    if FP16 not in precisions_of("host"):
        with pytest.raises(UsageError, match=r"no arithmetic on fp16; take fp32, int8, or a phone with --device"):
            check_precision("host", FP16)
    with pytest.raises(UsageError, match=r"unknown precision 'fp8'; take fp32, fp16, int8"):
        check_precision("galaxy-s20", "fp8")


def test_numbers_of_x_are_loaded_by_whole_vectors():
    """Read, not run: an instruction that loads one lane of a vector is a sign of a load that LLVM has cut in pieces."""
    import tvm

    best, _ = levels(FP16)
    spec = LinearFp16(128, 384, 1152)
    function = spec.build(spec.tiles(best, 4)[0], best, "kernel")
    assembly = tvm.compile(function.tir, target=tvm.target.Target(best.target())).mod.inspect_source("asm")
    assert assembly.count("fmla") >= 128
    assert not re.findall(r"\bld1\s+\{[^}]*\}\[", assembly)
