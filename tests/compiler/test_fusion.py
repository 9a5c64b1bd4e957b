"""What may be fused (access patterns) and what is worth it (two costs)."""

import pytest
from programs import op, tensor, weights

from compiler.counts import flops
from compiler.fusion import TABLE, Candidate, Costs, Pattern, pattern_of, propose
from compiler.graph import Graph, Value, fuse
from compiler.passes.attention_mask import attention_mask

# Rows are the first operator's pattern, columns the second's; `!`: only within rows that one task holds.
ORDER = ("one-to-one", "one-to-many", "many-to-many", "reorganize", "shuffle")
TRUTH = """
one-to-one    one-to-many    many-to-many    reorganize    shuffle
one-to-many   one-to-many    many-to-many!   one-to-many   one-to-many
many-to-many  many-to-many   many-to-many!   many-to-many  many-to-many
reorganize    one-to-many    many-to-many    reorganize    shuffle
shuffle       one-to-many    many-to-many    shuffle       shuffle
"""
ROWS, DEPTH, WIDTH = 8, 16, 4
X = tensor(1, ROWS, DEPTH)


def test_every_pair_of_patterns_has_its_verdict():
    grid = [line.split() for line in TRUTH.strip().splitlines()]
    assert len(TABLE) == len(ORDER) ** 2
    for first, row in zip(ORDER, grid, strict=True):
        for second, expected in zip(ORDER, row, strict=True):
            pattern, same_rows = TABLE[Pattern(first), Pattern(second)]
            assert f"{pattern}{'!' if same_rows else ''}" == expected, (first, second)


@pytest.mark.parametrize(
    ("operator", "pattern"),
    [
        ("add", "one-to-one"),
        ("nn.gelu", "one-to-one"),
        ("astype", "one-to-one"),
        ("take", "one-to-many"),
        ("broadcast_to", "one-to-many"),
        ("matmul", "many-to-many"),
        ("nn.softmax", "many-to-many"),
        ("nn.layer_norm", "many-to-many"),
        ("reshape", "reorganize"),
        ("permute_dims", "shuffle"),
    ],
)
def test_operators_by_access_pattern(operator, pattern):
    assert pattern_of(Value(operator, (), (1,))) == pattern


def matmul(x: Value = X, width: int = WIDTH) -> Value:
    return op("matmul", x, weights(x.shape[-1], width), shape=(1, ROWS, width))


def layer_norm(x: Value) -> Value:
    return op("nn.layer_norm", x, weights(WIDTH), weights(WIDTH), shape=x.shape, axes=(-1,), epsilon=1e-5)


@pytest.mark.parametrize("same_rows", [False, True])
def test_many_to_many_twice_only_where_a_task_owns_the_rows(same_rows):
    first = matmul()
    second = layer_norm(first)
    readers = Graph((X,), second).users()
    block = propose("linear", first.inputs, (first, second), second, "many-to-many: test", readers, same_rows=same_rows)
    assert (block is not None) is same_rows


def test_a_law_asks_for_no_pattern():
    first = matmul()
    second = layer_norm(first)
    block = fuse("linear", first.inputs, (first, second), second, "associative: test")
    assert Candidate(block, (first, second), (second,), "associative: test").allowed()
    assert not Candidate(block, (first, second), (second,), "many-to-many: test").allowed()


def test_saved_bytes_are_those_of_tensors_that_are_not_written_any_more():
    first = matmul()
    second = op("nn.gelu", first, shape=first.shape)
    block = fuse("linear", first.inputs, (first, second), second)
    candidate = Candidate(block, (first, second), (second,), "one-to-one: test")
    assert candidate.costs(Graph((X,), second).users()) == Costs(saved_bytes=first.bytes, enlargement=1.0, extra_flops=0)


def test_a_part_that_others_need_too_is_computed_twice():
    """Nothing is saved, and the matmul is done again: never worth it."""
    first = matmul()
    second = op("nn.gelu", first, shape=first.shape)
    readers = Graph((X,), op("add", first, second, shape=first.shape)).users()
    block = fuse("linear", first.inputs, (first, second), second)
    costs = Candidate(block, (first, second), (second,), "one-to-one: test").costs(readers)
    assert costs == Costs(saved_bytes=0, enlargement=1.0, extra_flops=flops(first))
    assert not costs.worthwhile
    assert propose("linear", first.inputs, (first, second), second, "one-to-one: test", readers) is None


def test_three_matmuls_of_one_input_save_nothing_but_are_one_three_times_as_large():
    projections = [matmul() for _ in range(3)]
    like = Value("linear", (), (1, ROWS, 3 * WIDTH))
    inputs = (X, weights(DEPTH, 3 * WIDTH), weights(3 * WIDTH))
    block = fuse("linear", inputs, projections, like)
    assert Candidate(block, projections, projections, "distributive: test").costs({}) == Costs(0, 3.0, 0)
    assert propose("linear", inputs, projections, like, "distributive: test", {}, results=projections)


@pytest.mark.parametrize(
    ("costs", "worthwhile"),
    [
        (Costs(saved_bytes=4, enlargement=1, extra_flops=0), True),
        (Costs(saved_bytes=0, enlargement=1, extra_flops=0), False),
        (Costs(saved_bytes=0, enlargement=3, extra_flops=0), True),
        (Costs(saved_bytes=0, enlargement=0.5, extra_flops=-100), True),
        (Costs(saved_bytes=4, enlargement=3, extra_flops=1000), False),
        (Costs(saved_bytes=1000, enlargement=1, extra_flops=1000), True),
    ],
)
def test_the_decision(costs, worthwhile):
    assert costs.worthwhile is worthwhile


def test_every_layer_looks_up_the_mask_that_all_share():
    """The table has two readers: each of them is better off without it."""
    mask, types = tensor(1, ROWS, name="attention_mask"), tensor(1, ROWS, name="token_type_ids")
    table = op("token_table", mask, types, shape=(1, 1, 1, ROWS), table=((-1.0, -1.0), (0.0, 0.0)))
    packed = tensor(1, ROWS, 3 * WIDTH)
    first = op("attention", packed, table, shape=(1, ROWS, WIDTH), heads=1)
    widened = op("concat", first, first, first, shape=packed.shape, axis=-1)
    after = attention_mask(Graph((mask, types, packed), op("attention", widened, table, shape=(1, ROWS, WIDTH), heads=1)))
    assert [value.operator for value in after.values()].count("token_table") == 0
