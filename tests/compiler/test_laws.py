"""Every law's rewrite, and every block that an access pattern makes, equals the original on random shapes."""

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from programs import op, operators, same_numbers, tensor, tokens, weights

from compiler.graph import Graph, Value, constant
from compiler.passes import fuse_layers
from compiler.passes.activation_epilogue import activation_epilogue
from compiler.passes.cancel_reshapes import cancel_reshapes
from compiler.passes.distribute_qkv import distribute_qkv
from compiler.passes.distribute_sum import distribute_sum
from compiler.passes.embedding import embedding
from compiler.passes.fold_affine import fold_affine
from compiler.passes.layer_norm_epilogue import layer_norm_epilogue
from compiler.passes.linear import linear
from compiler.passes.residual_epilogue import residual_epilogue
from compiler.passes.transpose import transpose
from compiler.passes.write_out import write_out

SIZES = st.integers(1, 9)
ROWS = st.integers(2, 9)
random_shapes = settings(max_examples=30, deadline=None, derandomize=True)


def linear_block(x: Value, width: int, seed: int = 0) -> Value:
    depth = x.shape[-1]
    shape = (*x.shape[:-1], width)
    return op("linear", x, weights(depth, width, seed=seed), weights(width, seed=seed), shape=shape)


def layer_norm(x: Value) -> Value:
    width = x.shape[-1]
    return op("nn.layer_norm", x, weights(width, seed=1), weights(width, seed=2), shape=x.shape, axes=(-1,), epsilon=1e-5)


def attention(x: Value, heads: int, size: int, scale: float | None) -> Value:
    rows = x.shape[1]
    split = [
        op("reshape", linear_block(x, heads * size, seed), shape=(1, rows, heads, size)) for seed in range(3)
    ]  # fmt: skip
    mixed = op("nn.attention", *split, shape=(1, rows, heads, size), scale=scale)
    return op("reshape", mixed, shape=(1, rows, heads * size))


@random_shapes
@given(rows=ROWS, depth=SIZES, heads=st.integers(1, 4), size=SIZES, scale=st.none() | st.floats(0.1, 2))
def test_distributive_and_associative_queries_keys_and_values(rows, depth, heads, size, scale):
    """x Wq, x Wk, x Wv = x [s Wq, Wk, Wv]"""
    x = tensor(1, rows, depth)
    before = Graph((x,), attention(x, heads, size, scale))
    after = distribute_qkv(before)
    assert operators(after) == ["linear", "attention"]
    same_numbers(before, after)


@random_shapes
@given(rows=ROWS, depth=SIZES, width=SIZES, readers=st.integers(1, 3))
def test_associative_affine_of_layer_norm(rows, depth, width, readers):
    """(n g + b) W + c = n (g W) + (b W + c)"""
    x = tensor(1, rows, depth)
    norm = layer_norm(x)
    parts = [linear_block(norm, width, seed) for seed in range(readers)]
    output = parts[0]
    for part in parts[1:]:
        output = op("add", output, part, shape=part.shape)
    before = Graph((x,), output)
    after = fold_affine(before)
    assert [len(value.inputs) for value in after.values() if value.operator == "nn.layer_norm"] == [1]
    same_numbers(before, after)


@random_shapes
@given(rows=ROWS, depth=SIZES)
def test_an_affine_that_a_residual_reads_too_stays(rows, depth):
    """BERT's layers: the matmul's result is added to what it read."""
    x = tensor(1, rows, depth)
    norm = layer_norm(x)
    before = Graph((x,), op("add", linear_block(norm, depth), norm, shape=norm.shape))
    assert fold_affine(before).values() == before.values()


@random_shapes
@given(rows=ROWS, width=SIZES, left=st.booleans(), second_left=st.booleans())
def test_distributive_sum_of_products(rows, width, left, second_left):
    """x c + x d = x (c + d)"""
    x = tensor(1, rows, width)
    products = []
    for seed, first in enumerate((left, second_left)):
        factor = weights(width, seed=seed)
        products.append(op("multiply", *((factor, x) if first else (x, factor)), shape=x.shape))
    before = Graph((x,), op("add", *products, shape=x.shape))
    after = distribute_sum(before)
    assert operators(after) == ["multiply"]
    same_numbers(before, after)


@random_shapes
@given(rows=ROWS, depth=SIZES, width=SIZES)
def test_distributive_sum_of_matmuls(rows, depth, width):
    """x C + x D = x (C + D)"""
    x = tensor(1, rows, depth)
    products = [op("matmul", x, weights(depth, width, seed=seed), shape=(1, rows, width)) for seed in range(2)]
    before = Graph((x,), op("add", *products, shape=(1, rows, width)))
    after = distribute_sum(before)
    assert operators(after) == ["matmul"]
    same_numbers(before, after)


@random_shapes
@given(rows=ROWS, depth=SIZES, width=SIZES)
def test_distributive_sum_under_the_same_weights(rows, depth, width):
    """c W + d W = (c + d) W"""
    c, d, shared = tensor(1, rows, depth, name="c"), tensor(1, rows, depth, name="d"), weights(depth, width)
    products = [op("matmul", factor, shared, shape=(1, rows, width)) for factor in (c, d)]
    before = Graph((c, d), op("add", *products, shape=(1, rows, width)))
    after = distribute_sum(before)
    assert operators(after) == ["add", "matmul"]
    same_numbers(before, after)


@random_shapes
@given(sizes=st.permutations([1, 2, 3, 4]), orders=st.lists(st.permutations(range(4)), min_size=1, max_size=4), data=st.data())
def test_commutative_chains_of_transposes_and_reshapes(sizes, orders, data):
    x = tensor(*sizes)
    value = op("abs", x, shape=x.shape)
    for order in orders:
        shape = tuple(value.shape[axis] for axis in order)
        value = op("permute_dims", value, shape=shape, axes=tuple(order))
        if data.draw(st.booleans()):
            shape = tuple(data.draw(st.permutations(shape)))
            value = op("reshape", value, shape=shape)
            value = op("reshape", value, shape=(24,)) if data.draw(st.booleans()) else value
            value = op("reshape", value, shape=shape)
    before = Graph((x,), op("negative", value, shape=value.shape))
    after = cancel_reshapes(before)
    same_numbers(before, after)
    named = [name for name in operators(after) if name not in ("abs", "negative")]
    assert all(first != second for first, second in pairwise(named)), "two of a kind in a row are one"


@random_shapes
@given(rows=ROWS, heads=SIZES, size=SIZES, axes=st.sampled_from([(0, 2, 1, 3), (0, 2, 3, 1)]))
def test_a_transpose_reads_and_writes_through_views(rows, heads, size, axes):
    x = tensor(1, rows, heads * size)
    split = op("reshape", op("abs", x, shape=x.shape), shape=(1, rows, heads, size))
    turned = op("permute_dims", split, shape=tuple(split.shape[axis] for axis in axes), axes=axes)
    before = Graph((x,), op("abs", turned, shape=turned.shape))
    after = transpose(before)
    assert operators(after) == ["abs", "transpose", "abs"]
    same_numbers(before, after)


@random_shapes
@given(rows=ROWS, depth=SIZES, width=SIZES, activation=st.booleans(), residual=st.booleans(), norm=st.booleans())
def test_a_matmul_with_its_epilogue(rows, depth, width, activation, residual, norm):
    x, y = tensor(1, rows, depth), tensor(1, rows, width, name="y")
    shape = (1, rows, width)
    value = op("add", op("matmul", x, weights(depth, width), shape=shape), weights(width), shape=shape)
    if activation:
        value = op("nn.gelu", value, shape=shape)
    elif residual:
        value = op("add", value, y, shape=shape)
    value = layer_norm(value) if norm and not activation else value
    before = Graph((x, y), value)
    after = layer_norm_epilogue(residual_epilogue(activation_epilogue(linear(before))))
    assert operators(after) == ["linear"]
    same_numbers(before, after)


@random_shapes
@given(rows=ROWS, width=SIZES, positions=st.booleans(), types=st.booleans(), affine=st.booleans())
def test_an_embedding(rows, width, positions, types, affine):
    ids, segments, mask = tokens(rows)
    total = op("take", weights(2, width, seed=1), op("reshape", ids, shape=(rows,), dtype="int32"), shape=(rows, width), axis=0)
    total = op("reshape", total, shape=(1, rows, width))
    if positions:
        total = op("add", total, weights(rows, width, seed=2), shape=(1, rows, width))
    if types:
        rows_of_types = op("take", weights(2, width, seed=3), segments, shape=(1, rows, width), axis=0)
        total = op("add", total, rows_of_types, shape=(1, rows, width))
    norm = layer_norm(total)
    norm = norm if affine else Value(norm.operator, norm.inputs[:1], norm.shape, attributes=norm.attributes)
    before = Graph((ids, segments, mask), norm)
    after = embedding(before)
    assert operators(after) == ["embedding"]
    same_numbers(before, after)


@random_shapes
@given(rows=ROWS, heads=st.integers(1, 3), size=SIZES, scale=st.none() | st.floats(0.1, 2))
def test_composites_written_out(rows, heads, size, scale):
    width = heads * size
    x = tensor(1, rows, width)
    mixed = op("add", attention(x, heads, size, scale), x, shape=x.shape)
    before = Graph((x,), op("nn.gelu", layer_norm(mixed), shape=x.shape))
    after = write_out(before)
    assert not {"nn.attention", "nn.layer_norm", "nn.gelu"} & set(operators(after))
    assert operators(after).count("matmul") == 2
    same_numbers(before, after)


@random_shapes
@given(rows=ROWS, heads=st.integers(1, 3), size=SIZES, ffn_size=SIZES, fusion=st.sampled_from(["lp", "none"]))
def test_a_whole_layer(rows, heads, size, ffn_size, fusion):
    """Attention with its mask, FFN, mean over the tokens: both pipelines keep the program's meaning."""
    width = heads * size
    ids, types, mask = tokens(rows)
    hidden = op("take", weights(2, width), op("reshape", ids, shape=(rows,), dtype="int32"), shape=(rows, width), axis=0)
    hidden = layer_norm(op("reshape", hidden, shape=(1, rows, width)))
    bits = op("astype", op("reshape", mask, shape=(1, 1, 1, rows), dtype="int32"), shape=(1, 1, 1, rows))
    scores = op(
        "multiply", op("subtract", constant(np.float32(1)), bits, shape=bits.shape), constant(np.float32(-50)), shape=bits.shape
    )
    split = [op("reshape", projected(hidden, width, seed), shape=(1, rows, heads, size)) for seed in range(3)]
    turned = [op("permute_dims", op("permute_dims", part, shape=(1, heads, rows, size), axes=(0, 2, 1, 3)), shape=part.shape, axes=(0, 2, 1, 3))
              for part in split]  # fmt: skip
    mixed = op("nn.attention_bias", *turned, scores, shape=(1, rows, heads, size))
    mixed = op("reshape", mixed, shape=(1, rows, width))
    hidden = layer_norm(op("add", projected(mixed, width, 3), hidden, shape=hidden.shape))
    inner = op("nn.gelu", projected(hidden, ffn_size, 4), shape=(1, rows, ffn_size))
    hidden = layer_norm(op("add", projected(inner, width, 5), hidden, shape=hidden.shape))
    weight = op("astype", mask, shape=(1, rows))
    total = op("matmul", op("reshape", weight, shape=(1, 1, rows)), hidden, shape=(1, 1, width))
    before = Graph((ids, types, mask), op("reshape", total, shape=(1, width)))
    after = fuse_layers(before, fusion)
    left = set(operators(after))
    assert not left & {"reshape", "permute_dims", "nn.layer_norm", "nn.gelu", "nn.attention_bias"}
    assert len(operators(after)) == 7 if fusion == "lp" else len(operators(after)) > 40
    same_numbers(before, after)


def projected(x: Value, width: int, seed: int) -> Value:
    shape = (*x.shape[:-1], width)
    return op(
        "add", op("matmul", x, weights(x.shape[-1], width, seed=seed), shape=shape), weights(width, seed=seed), shape=shape
    )
