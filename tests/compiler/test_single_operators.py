"""Kernels of operators that are alone: how their operands spread, and how their work is shared."""

import numpy as np
import pytest
from programs import op, tensor, weights

from compiler import isa
from compiler.graph import constant
from compiler.kernels import rows_of, spec_of
from compiler.schedules.batch_matmul import BatchMatmul
from compiler.schedules.elementwise import Elementwise
from compiler.schedules.layout import plain, row_block, stored
from compiler.schedules.rowwise import Rowwise
from compiler.schedules.transpose import Transpose
from data.errors import CompileError

S, H, A = 13, 24, 3
D = H // A
ROWS = rows_of(S)
HOST = isa.host()
X = tensor(1, S, H)
SCORES = tensor(1, A, S, S, name="scores")


@pytest.mark.parametrize(
    ("shape", "in_memory"),
    [
        ((1, S, H), (ROWS, H)),
        ((S, H), (ROWS, H)),
        ((1, S, 1), (ROWS, 1)),
        ((1, A, S, S), (A, ROWS, S)),
        ((1, 1, S, S), (ROWS, S)),
        ((1, A, D, S), (A, D, S)),
    ],
)
def test_where_activations_lie(shape, in_memory):
    assert stored(shape, S, ROWS) == in_memory


def test_unit_axes_in_front_do_not_count():
    assert plain((1, 1, S, H)) == plain((S, H)) == (S, H)
    assert plain((1, 1)) == (1, 1)


@pytest.mark.parametrize(("rows", "groups", "expected"), [(128, 1, 8), (128, 12, 64), (16, 1, 1), (8, 1, 1), (128, 1000, 128)])
def test_rows_of_a_task_leave_enough_tasks(rows, groups, expected):
    assert row_block(rows, groups) == expected


@pytest.mark.parametrize(
    ("operand", "kind"),
    [
        (X, "full"),
        (weights(S, H), "full"),
        (weights(H), "column"),
        (tensor(1, S, 1, name="row"), "row"),
        (constant(np.float32(2).reshape(1)), "number"),
    ],
)
def test_how_operands_spread(operand, kind):
    spec = spec_of(op("multiply", X, operand, shape=X.shape), S)
    assert isinstance(spec, Elementwise)
    assert spec.kinds == ("full", kind)
    assert len(spec.parameters(spec.tiles(HOST, 2)[0])) == (2 if kind == "number" else 3)


def test_a_constant_is_padded_like_the_rows():
    value = op("add", X, weights(S, H), shape=X.shape)
    spec = spec_of(value, S)
    operand = spec.operands(value, spec.tiles(HOST, 2)[0])[1]
    assert isinstance(operand, np.ndarray)
    assert operand.shape == (ROWS, H)
    np.testing.assert_array_equal(operand[S:], 0)


def test_the_mask_is_a_number_a_key():
    table = op("token_table", shape=(1, 1, 1, S))
    spec = spec_of(op("add", SCORES, table, shape=SCORES.shape), S)
    assert isinstance(spec, Elementwise)
    assert (spec.shape, spec.kinds) == ((A, ROWS, S), ("full", "column"))


def test_scores_and_their_values():
    left, right = tensor(1, A, S, D, name="q"), tensor(1, A, D, S, name="k")
    scores = spec_of(op("matmul", left, right, shape=SCORES.shape), S)
    context = spec_of(op("matmul", SCORES, left, shape=left.shape), S)
    assert isinstance(scores, BatchMatmul)
    assert isinstance(context, BatchMatmul)
    assert (scores.depth, scores.result) == (D, (A, ROWS, S))
    assert (context.depth, context.result) == (S, (A, ROWS, D))
    for spec in (scores, context):
        for tile in spec.tiles(HOST, 2):
            assert tile.tile_rows * tile.vectors + tile.vectors + 1 <= HOST.registers
            assert ROWS // tile.splits % tile.tile_rows == 0


@pytest.mark.parametrize("heads", [1, A])
@pytest.mark.parametrize(("axes", "turned"), [((0, 2, 1, 3), (S, D)), ((0, 2, 3, 1), (D, S))])
def test_heads_are_views_of_rows(heads, axes, turned):
    source = tensor(1, S, heads * D)
    value = op("transpose", source, shape=(1, heads, *turned), view=(1, S, heads, D), axes=axes)
    spec = spec_of(value, S)
    assert isinstance(spec, Transpose)
    assert spec.source == (ROWS, heads * D)
    assert spec.view == (S, heads, D)
    assert spec.tasks(spec.tiles(HOST, 2)[0]) == heads


def test_softmax_and_mean_go_over_the_last_axis():
    assert isinstance(spec_of(op("nn.softmax", SCORES, shape=SCORES.shape, axis=-1), S), Rowwise)
    assert isinstance(spec_of(op("mean", X, shape=(1, S, 1), axis=(-1,)), S), Rowwise)


@pytest.mark.parametrize(
    "value",
    [
        op("nn.softmax", SCORES, shape=SCORES.shape, axis=1),
        op("mean", X, shape=(1, 1, H), axis=(1,)),
        op("add", X, tensor(1, 1, H + 1, name="odd"), shape=X.shape),
        op("transpose", X, shape=(1, H, S), view=(1, S, 2, A, D // 2), axes=(0, 4, 3, 2, 1)),
        op("reshape", X, shape=(1, H, S)),
    ],
    ids=["softmax over heads", "mean over tokens", "no broadcast", "five axes", "another order of elements"],
)
def test_what_has_no_kernel_is_named(value):
    with pytest.raises(CompileError, match=f"operator '{value.operator}' of shape"):
        spec_of(value, S)
