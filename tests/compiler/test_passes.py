"""Each pass before and after, and the same numbers from both."""

import numpy as np
import pytest

from compiler.evaluate import evaluate
from compiler.graph import INPUT, Graph, Member, Value, constant
from compiler.passes.activation_epilogue import activation_epilogue
from compiler.passes.attention_mask import attention_mask
from compiler.passes.cancel_reshapes import cancel_reshapes
from compiler.passes.distribute_qkv import distribute_qkv
from compiler.passes.embedding import embedding
from compiler.passes.fold_constants import fold_constants
from compiler.passes.layer_norm_epilogue import layer_norm_epilogue
from compiler.passes.linear import linear
from compiler.passes.readout import readout
from compiler.passes.residual_epilogue import residual_epilogue
from compiler.passes.token_sums import token_sums
from compiler.passes.token_tables import token_tables

S, H, A = 6, 8, 2
RANDOM = np.random.default_rng(0)
TOKENS = tuple(Value(INPUT, (), (1, S), "int32", name=name) for name in ("input_ids", "token_type_ids", "attention_mask"))
IDS, TYPES, MASK = TOKENS
HIDDEN = Value(INPUT, (), (1, S, H), name="hidden")
NUMBERS = {
    "input_ids": RANDOM.integers(0, 20, (1, S)),
    "token_type_ids": np.array([[0, 0, 0, 1, 1, 1]]),
    "attention_mask": np.array([[1, 1, 1, 1, 0, 0]]),
    "hidden": RANDOM.standard_normal((1, S, H)).astype(np.float32),
}


def weights(*shape: int) -> Value:
    return constant(RANDOM.standard_normal(shape).astype(np.float32))


def op(operator: str, *inputs: Value, shape: tuple[int, ...], dtype: str = "float32", **attributes) -> Value:
    value = Value(operator, inputs, shape, dtype, attributes)
    return Value(operator, inputs, shape, dtype, attributes, members=(Member(operator, value.bytes),))


def graph(output: Value) -> Graph:
    return Graph((*TOKENS, HIDDEN), output)


def operators(program: Graph) -> list[str]:
    return [value.operator for value in program.values() if value.operator not in ("input", "constant")]


def same_numbers(before: Graph, after: Graph) -> None:
    np.testing.assert_allclose(evaluate(before, NUMBERS), evaluate(after, NUMBERS), rtol=1e-5, atol=1e-6)


def projected(source: Value, width: int = H) -> Value:
    return op("linear", source, weights(H, width), weights(width), shape=(1, S, width))


def test_constants_are_folded_and_inputs_are_not():
    transposed = op("permute_dims", weights(4, H), shape=(H, 4), axes=None)
    before = graph(op("matmul", HIDDEN, transposed, shape=(1, S, 4)))
    after = fold_constants(before)
    assert operators(after) == ["matmul"]
    same_numbers(before, after)


def test_transposes_that_undo_each_other_are_cancelled_and_stay_on_record():
    heads = op("reshape", op("abs", HIDDEN, shape=(1, S, H)), shape=(1, S, A, H // A))
    there = op("permute_dims", heads, shape=(1, A, S, H // A), axes=(0, 2, 1, 3))
    back = op("permute_dims", there, shape=(1, S, A, H // A), axes=(0, 2, 1, 3))
    before = graph(op("reshape", back, shape=(1, S, H)))
    after = cancel_reshapes(before)
    assert operators(after) == ["abs"]
    assert [member.operator for member in after.output.members] == ["abs", "reshape", "permute_dims", "permute_dims", "reshape"]
    assert after.output.laws[0].startswith("commutative")
    same_numbers(before, after)


def test_a_transpose_that_moves_numbers_is_kept():
    before = graph(op("permute_dims", HIDDEN, shape=(1, H, S), axes=(0, 2, 1)))
    assert operators(cancel_reshapes(before)) == ["permute_dims"]


def mask_scores() -> Value:
    bits = op("astype", op("reshape", MASK, shape=(1, 1, 1, S), dtype="int32"), shape=(1, 1, 1, S))
    return op(
        "multiply",
        op("subtract", constant(np.float32(1)), bits, shape=(1, 1, 1, S)),
        constant(np.float32(-1e4)),
        shape=(1, 1, 1, S),
    )


def test_an_additive_mask_becomes_a_table():
    before = graph(op("add", op("reshape", HIDDEN, shape=(1, H, 1, S)), mask_scores(), shape=(1, H, 1, S)))
    after = token_tables(before)
    table = next(value for value in after.values() if value.operator == "token_table")
    assert table["table"] == ((-1e4, -1e4), (0.0, 0.0))
    assert [member.operator for member in table.members] == ["reshape", "astype", "subtract", "multiply"]
    same_numbers(before, after)


def test_a_mask_that_depends_on_the_position_is_no_table():
    position = op("multiply", op("astype", MASK, shape=(1, S)), constant(np.arange(S, dtype=np.float32)), shape=(1, S))
    before = graph(op("add", op("reshape", HIDDEN, shape=(H, S)), position, shape=(H, S)))
    assert "token_table" not in operators(token_tables(before))


def test_matmul_and_bias_become_one_block():
    product = op("matmul", HIDDEN, weights(H, 4), shape=(1, S, 4))
    before = graph(op("add", weights(4), product, shape=(1, S, 4)))
    after = linear(before)
    assert operators(after) == ["linear"]
    same_numbers(before, after)


def test_a_matmul_of_two_activations_is_no_linear_block():
    before = graph(op("matmul", HIDDEN, op("permute_dims", HIDDEN, shape=(1, H, S), axes=(0, 2, 1)), shape=(1, S, S)))
    assert operators(linear(before)) == ["permute_dims", "matmul"]


def attention(
    mask: tuple[Value, ...], sources: tuple[Value, Value, Value] = (HIDDEN, HIDDEN, HIDDEN), scale: float | None = None
) -> Value:
    heads = [op("reshape", projected(source), shape=(1, S, A, H // A)) for source in sources]
    name = "nn.attention_bias" if mask else "nn.attention"
    return op("reshape", op(name, *heads, *mask, shape=(1, S, A, H // A), scale=scale), shape=(1, S, H))


@pytest.mark.parametrize("scale", [None, 0.25])
def test_projections_of_one_input_become_one_matmul_and_the_scale_goes_into_the_weights(scale):
    before = graph(attention((), scale=scale))
    after = distribute_qkv(before)
    assert operators(after) == ["linear", "attention"]
    packed, block = (value for value in after.values() if value.operator in ("linear", "attention"))
    assert packed.shape == (1, S, 3 * H)
    assert [law.split(":")[0] for law in packed.laws] == ["distributive", "associative"]
    assert [member.operator for member in block.members] == ["reshape"] * 3 + ["nn.attention", "reshape"]
    same_numbers(before, after)


def test_projections_of_different_inputs_stay_apart():
    other = op("abs", HIDDEN, shape=(1, S, H))
    before = graph(attention((), sources=(HIDDEN, other, other)))
    assert operators(distribute_qkv(before)).count("linear") == 3


def test_the_mask_is_looked_up_inside_attention():
    before = graph(attention((mask_scores(),)))
    after = attention_mask(distribute_qkv(token_tables(before)))
    assert operators(after) == ["linear", "attention"]
    assert after.output.inputs[1:] == (MASK, TYPES)
    same_numbers(before, after)


def test_gelu_joins_the_block_before_it():
    before = graph(op("nn.gelu", projected(HIDDEN, 4), shape=(1, S, 4)))
    after = activation_epilogue(before)
    assert operators(after) == ["linear"]
    same_numbers(before, after)


def test_a_block_that_others_read_too_keeps_its_result():
    up = projected(HIDDEN)
    before = graph(op("add", op("nn.gelu", up, shape=(1, S, H)), up, shape=(1, S, H)))
    assert "nn.gelu" in operators(activation_epilogue(before))


@pytest.mark.parametrize("swapped", [False, True])
def test_residual_and_layer_norm_join_the_projection(swapped):
    block = projected(HIDDEN)
    total = op("add", *((HIDDEN, block) if swapped else (block, HIDDEN)), shape=(1, S, H))
    before = graph(op("nn.layer_norm", total, weights(H), weights(H), shape=(1, S, H), axes=(-1,), epsilon=1e-12))
    after = layer_norm_epilogue(residual_epilogue(before))
    assert operators(after) == ["linear"]
    assert after.output["residual"]
    assert after.output["epsilon"] == 1e-12
    same_numbers(before, after)


def test_gathers_and_layer_norm_become_one_embedding_block():
    words = op("take", weights(20, H), op("reshape", IDS, shape=(S,), dtype="int32"), shape=(S, H), axis=0)
    types = op("take", weights(2, H), op("reshape", TYPES, shape=(S,), dtype="int32"), shape=(S, H), axis=0)
    total = op("add", op("add", op("reshape", words, shape=(1, S, H)), weights(S, H), shape=(1, S, H)),
               op("reshape", types, shape=(1, S, H)), shape=(1, S, H))  # fmt: skip
    before = graph(op("nn.layer_norm", total, weights(H), weights(H), shape=(1, S, H), axes=(-1,), epsilon=1e-12))
    after = embedding(before)
    assert operators(after) == ["embedding"]
    same_numbers(before, after)


def mean(form: str) -> Value:
    bits = op("astype", MASK, shape=(1, S))
    if form == "matmul":
        weighted = op("matmul", op("reshape", bits, shape=(1, 1, S)), HIDDEN, shape=(1, 1, H))
        total = op("reshape", weighted, shape=(1, H))
    else:
        product = op("multiply", HIDDEN, op("reshape", bits, shape=(1, S, 1)), shape=(1, S, H))
        total = op("sum", product, shape=(1, H), axis=(1,))
    count = op("clip", op("sum", bits, shape=(1, 1), axis=(1,)), shape=(1, 1), arguments=(1.0, float("inf")))
    return op("divide", total, count, shape=(1, H))


@pytest.mark.parametrize("form", ["matmul", "product"])
def test_mean_pooling_and_head_become_one_readout(form):
    before = graph(op("add", op("matmul", mean(form), weights(H, 3), shape=(1, 3)), weights(3), shape=(1, 3)))
    after = readout(token_sums(linear(token_tables(before))))
    assert operators(after) == ["readout"]
    same_numbers(before, after)


def test_a_single_token_is_picked_in_the_readout():
    picked = op("take", HIDDEN, constant(np.int64(0)), shape=(1, H), axis=1)
    before = graph(op("tanh", op("linear", picked, weights(H, H), weights(H), shape=(1, H)), shape=(1, H)))
    after = readout(token_sums(before))
    assert operators(after) == ["readout"]
    same_numbers(before, after)
