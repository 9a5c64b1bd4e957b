"""Each pass before and after, and the same numbers from both; on random shapes, see `test_laws`."""

import numpy as np
import pytest

from compiler.evaluate import evaluate
from compiler.graph import INPUT, Graph, Member, Value, constant
from compiler.passes.activation_epilogue import activation_epilogue
from compiler.passes.affine import affine
from compiler.passes.attention_mask import attention_mask
from compiler.passes.batch_axis import batch_axis
from compiler.passes.cancel_reshapes import cancel_reshapes
from compiler.passes.compose_projections import compose_projections
from compiler.passes.distribute_qkv import distribute_qkv
from compiler.passes.distribute_sum import distribute_sum
from compiler.passes.embedding import embedding
from compiler.passes.embedding_sum import embedding_sum
from compiler.passes.fold_affine import fold_affine
from compiler.passes.fold_constants import fold_constants
from compiler.passes.gather import gather
from compiler.passes.late_broadcasts import late_broadcasts
from compiler.passes.layer_norm_epilogue import layer_norm_epilogue
from compiler.passes.linear import linear
from compiler.passes.move_transposes import move_transposes
from compiler.passes.one_hot import one_hot
from compiler.passes.pointwise_convolution import pointwise_convolution
from compiler.passes.readout import readout
from compiler.passes.recognise_activation import recognise_activation
from compiler.passes.recognise_attention import recognise_attention
from compiler.passes.recognise_layer_norm import recognise_layer_norm
from compiler.passes.record_members import record_members
from compiler.passes.residual_epilogue import residual_epilogue
from compiler.passes.separate_matmul import separate_matmul
from compiler.passes.separate_vectors import separate_vectors
from compiler.passes.token_sums import token_sums
from compiler.passes.token_tables import token_tables
from compiler.passes.transpose import transpose
from compiler.passes.trigram_embedding import trigram_embedding
from compiler.passes.write_out import write_out

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


def layer_norm(source: Value) -> Value:
    return op("nn.layer_norm", source, weights(H), weights(H), shape=source.shape, axes=(-1,), epsilon=1e-12)


def imported_attention() -> Value:
    """As the import writes it: each transpose of the program undone by one that Relax's operator asks for."""
    split = [op("reshape", projected(HIDDEN), shape=(1, S, A, H // A)) for _ in range(3)]
    heads = [op("permute_dims", part, shape=(1, A, S, H // A), axes=(0, 2, 1, 3)) for part in split]
    back = [op("permute_dims", part, shape=(1, S, A, H // A), axes=(0, 2, 1, 3)) for part in heads]
    mixed = op("nn.attention_bias", *back, mask_scores(), shape=(1, S, A, H // A), scale=None)
    for shape in ((1, A, S, H // A), (1, S, A, H // A)):
        mixed = op("permute_dims", mixed, shape=shape, axes=(0, 2, 1, 3))
    return op("reshape", mixed, shape=(1, S, H))


def test_composites_are_recorded_as_their_parts():
    after = record_members(graph(op("nn.gelu", layer_norm(HIDDEN), shape=(1, S, H))))
    norm, gelu = (value for value in after.values() if value.members)
    assert [member.operator for member in norm.members] == [
        "mean", "subtract", "multiply", "mean", "add", "sqrt", "divide", "multiply", "add",
    ]  # fmt: skip
    assert [member.bytes for member in norm.members[:2]] == [S * 4, S * H * 4]
    assert [member.operator for member in gelu.members] == ["divide", "erf", "add", "multiply", "multiply"]


def test_the_imports_own_transposes_are_no_layers():
    after = record_members(graph(imported_attention()))
    members = [member for value in after.values() for member in value.members]
    names = [member.operator for member in members]
    assert names.count("permute_dims") == 5, "queries, keys and values; keys once more; the result"
    assert names.count("matmul") == 2
    assert sum(member.flops for member in members) == 2 * 2 * S * S * H + 3 * 2 * S * H * H


def test_work_on_constants_is_no_layer():
    after = record_members(
        graph(op("matmul", HIDDEN, op("permute_dims", weights(H, H), shape=(H, H), axes=None), shape=(1, S, H)))
    )
    assert [member.operator for value in after.values() for member in value.members] == ["matmul"]


def test_recorded_and_written_out_programs_count_alike():
    before = graph(layer_norm(op("add", imported_attention(), HIDDEN, shape=(1, S, H))))
    counts = []
    for program in (record_members(before), record_members(write_out(before))):
        counts.append(sorted((m.operator, m.bytes, m.flops) for value in program.values() for m in value.members))
    assert counts[0] == counts[1]
    same_numbers(before, write_out(before))


def test_attention_is_written_out_without_the_imports_transposes():
    before = graph(imported_attention())
    after = write_out(before)
    assert "nn.attention_bias" not in operators(after)
    assert operators(after).count("permute_dims") == 5
    same_numbers(before, after)


def test_an_affine_goes_into_the_next_matmul():
    before = graph(projected(layer_norm(HIDDEN)))
    after = fold_affine(before)
    assert operators(after) == ["nn.layer_norm", "linear"]
    norm, block = (value for value in after.values() if value.inputs)
    assert norm.inputs == (HIDDEN,)
    assert block.laws[0].startswith("associative")
    same_numbers(before, after)


@pytest.mark.parametrize("other", ["add", "tanh"])
def test_an_affine_that_something_else_reads_stays(other):
    norm = layer_norm(HIDDEN)
    reader = op("add", projected(norm), norm, shape=norm.shape) if other == "add" else op("tanh", norm, shape=norm.shape)
    before = graph(op("add", projected(norm), reader, shape=norm.shape))
    assert fold_affine(before).values() == before.values()


def test_a_sum_of_products_with_one_factor():
    products = [op("multiply", HIDDEN, weights(H), shape=(1, S, H)) for _ in range(2)]
    before = graph(op("add", *products, shape=(1, S, H)))
    after = distribute_sum(before)
    assert operators(after) == ["multiply"]
    assert after.output.laws == ("distributive: x c + x d = x (c + d)",)
    assert [member.operator for member in after.output.members] == ["multiply", "multiply", "add"]
    same_numbers(before, after)


def test_a_sum_of_products_that_others_read_stays():
    first, second = (op("multiply", HIDDEN, weights(H), shape=(1, S, H)) for _ in range(2))
    before = graph(op("subtract", op("add", first, second, shape=(1, S, H)), first, shape=(1, S, H)))
    assert distribute_sum(before).values() == before.values()


def test_without_fusion_a_bias_is_added_apart():
    product = op("matmul", HIDDEN, weights(H, 4), shape=(1, S, 4))
    before = graph(op("add", product, weights(4), shape=(1, S, 4)))
    after = separate_matmul(before)
    assert operators(after) == ["linear", "add"]
    same_numbers(before, after)


def test_without_fusion_every_operator_on_vectors_is_a_readout():
    before = graph(op("add", op("matmul", mean("matmul"), weights(H, 3), shape=(1, 3)), weights(3), shape=(1, 3)))
    after = separate_vectors(token_sums(separate_matmul(token_tables(before))))
    assert set(operators(after)) == {"readout"}
    steps = [value["program"].output.operator for value in after.values() if value.operator == "readout"]
    assert sorted(steps) == sorted(["token_table", "token_sum", "token_table", "sum", "clip", "divide", "linear", "add"])
    same_numbers(before, after)


def test_a_gather_that_no_embedding_took_in():
    before = graph(op("take", weights(20, H), op("reshape", IDS, shape=(S,), dtype="int32"), shape=(S, H), axis=0))
    after = gather(before)
    assert operators(after) == ["gather"]
    assert after.output.inputs[1] is IDS
    same_numbers(before, after)


def test_heads_are_split_and_joined_by_one_copy_each():
    before = graph(imported_attention())
    after = transpose(cancel_reshapes(token_tables(write_out(before))))
    assert operators(after).count("transpose") == 4
    assert not {"reshape", "permute_dims"} & set(operators(after))
    same_numbers(before, after)


def test_a_reshape_that_is_no_view_of_the_same_rows_stays():
    before = graph(op("abs", op("reshape", HIDDEN, shape=(1, H, S)), shape=(1, H, S)))
    assert operators(transpose(before)) == ["reshape", "abs"]


GELU_TANH = 0.7978845608028654


def number(value: float) -> Value:
    return constant(np.array(value, np.float32))


def spelled_gelu(form: str) -> Value:
    shape = (1, S, H)
    if form == "erf":
        inner = op("erf", op("divide", HIDDEN, number(2**0.5), shape=shape), shape=shape)
        return op(
            "multiply", op("multiply", HIDDEN, op("add", inner, number(1), shape=shape), shape=shape), number(0.5), shape=shape
        )
    cubed = op("multiply", op("power", HIDDEN, number(3), shape=shape), number(0.044715), shape=shape)
    inner = op("tanh", op("multiply", op("add", HIDDEN, cubed, shape=shape), number(GELU_TANH), shape=shape), shape=shape)
    return op(
        "multiply", op("multiply", number(0.5), HIDDEN, shape=shape), op("add", number(1), inner, shape=shape), shape=shape
    )


@pytest.mark.parametrize(("form", "name"), [("erf", "nn.gelu"), ("tanh", "nn.gelu_tanh")])
def test_a_spelled_out_activation_is_recognised_and_keeps_its_members(form, name):
    before = graph(spelled_gelu(form))
    after = recognise_activation(before)
    assert operators(after) == [name]
    assert len(after.output.members) == len(operators(before))
    same_numbers(before, after)


def test_a_curve_that_is_no_activation_stays():
    before = graph(op("multiply", op("tanh", HIDDEN, shape=(1, S, H)), HIDDEN, shape=(1, S, H)))
    assert operators(recognise_activation(before)) == ["tanh", "multiply"]


def spelled_layer_norm(form: str, epsilon: float = 1e-6) -> Value:
    shape, column = (1, S, H), (1, S, 1)
    mean = op("mean", HIDDEN, shape=column, axis=(2,))
    away = op("subtract", HIDDEN, mean, shape=shape)
    variance = op("mean", op("multiply", away, away, shape=shape), shape=column, axis=(2,))
    deviation = op("sqrt", op("add", variance, number(epsilon), shape=column), shape=column)
    if form == "torch":
        return op(
            "add", op("multiply", op("divide", away, deviation, shape=shape), weights(H), shape=shape), weights(H), shape=shape
        )
    factor = op("multiply", op("divide", number(1), deviation, shape=column), weights(H), shape=shape)
    shift = op("subtract", weights(H), op("multiply", mean, factor, shape=shape), shape=shape)
    return op("add", op("multiply", HIDDEN, factor, shape=shape), shift, shape=shape)


@pytest.mark.parametrize("form", ["torch", "tensorflow"])
@pytest.mark.parametrize("epsilon", [1e-3, 1e-12])
def test_a_spelled_out_layer_norm_is_recognised_with_its_epsilon(form, epsilon):
    before = graph(spelled_layer_norm(form, epsilon))
    after = recognise_layer_norm(before)
    assert operators(after) == ["nn.layer_norm"]
    assert after.output["epsilon"] == pytest.approx(epsilon)
    same_numbers(before, after)


def test_a_mean_that_is_only_subtracted_is_no_layer_norm():
    mean = op("mean", HIDDEN, shape=(1, S, 1), axis=(2,))
    before = graph(op("subtract", HIDDEN, mean, shape=(1, S, H)))
    assert operators(recognise_layer_norm(before)) == ["mean", "subtract"]


def spelled_attention(mask: str) -> Value:
    def heads(axes: tuple[int, ...]) -> Value:
        split = op("reshape", projected(HIDDEN), shape=(1, S, A, H // A))
        return op("permute_dims", split, shape=tuple(split.shape[axis] for axis in axes), axes=axes)

    shape = (1, A, S, S)
    scores = op("matmul", heads((0, 2, 1, 3)), heads((0, 2, 3, 1)), shape=shape)
    scores = op("divide", scores, number(2.0), shape=shape)
    if mask == "added":
        scores = op("add", scores, mask_scores(), shape=shape)
    elif mask == "chosen":
        padded = op(
            "equal",
            op("reshape", MASK, shape=(1, 1, 1, S), dtype="int32"),
            constant(np.array(0)),
            shape=(1, 1, 1, S),
            dtype="bool",
        )
        scores = op("where", padded, number(-1e9), scores, shape=shape)
    weights_ = op("nn.softmax", scores, shape=shape, axis=-1)
    if mask == "chosen":
        weights_ = op("where", op("isnan", weights_, shape=shape, dtype="bool"), number(0), weights_, shape=shape)
    context = op("matmul", weights_, heads((0, 2, 1, 3)), shape=(1, A, S, H // A))
    return op("reshape", op("permute_dims", context, shape=(1, S, A, H // A), axes=(0, 2, 1, 3)), shape=(1, S, H))


@pytest.mark.parametrize("mask", ["none", "added", "chosen"])
def test_a_spelled_out_attention_becomes_two_blocks(mask):
    before = graph(spelled_attention(mask))
    after = recognise_attention(before)
    for run in (token_tables, cancel_reshapes, move_transposes, cancel_reshapes, distribute_qkv, attention_mask):
        after = run(after)
    assert operators(after) == ["linear", "attention"]
    same_numbers(before, after)


def test_a_softmax_over_queries_is_no_attention():
    product = op("matmul", op("reshape", HIDDEN, shape=(1, A, S, H // A)), weights(1, A, H // A, S), shape=(1, A, S, S))
    weights_ = op("nn.softmax", product, shape=(1, A, S, S), axis=2)
    before = graph(op("matmul", weights_, op("reshape", HIDDEN, shape=(1, A, S, H // A)), shape=(1, A, S, H // A)))
    assert "nn.softmax" in operators(recognise_attention(before))


def test_no_norm_is_folded_into_the_matmul_before_it():
    scaled = op("multiply", projected(HIDDEN), weights(H), shape=(1, S, H))
    before = graph(op("add", scaled, weights(H), shape=(1, S, H)))
    after = affine(before)
    assert operators(after) == ["linear"]
    assert not after.output.attributes
    same_numbers(before, after)


def test_no_norm_after_a_residual_scales_the_residual():
    total = op("add", projected(HIDDEN), HIDDEN, shape=(1, S, H))
    before = graph(op("add", op("multiply", total, weights(H), shape=(1, S, H)), weights(H), shape=(1, S, H)))
    after = affine(residual_epilogue(before))
    assert operators(after) == ["linear"]
    assert after.output["scaled"]
    same_numbers(before, after)


def test_a_scale_stays_behind_an_activation():
    activated = activation_epilogue(graph(op("nn.relu", projected(HIDDEN), shape=(1, S, H)))).output
    before = graph(op("multiply", activated, weights(H), shape=(1, S, H)))
    assert operators(affine(before)) == ["linear", "multiply"]


def test_narrowed_queries_and_keys_are_composed_with_their_projections():
    narrow = projected(HIDDEN)
    before = graph(attention((), sources=(narrow, narrow, HIDDEN)))
    after = distribute_qkv(compose_projections(before))
    assert operators(after) == ["linear", "attention"]
    same_numbers(before, after)


def test_grouped_convolutions_become_grouped_blocks_without_transposes():
    kernel, bias = weights(2 * H, H // 2, 1), weights(1, 2 * H, 1)
    channels_first = op("permute_dims", HIDDEN, shape=(1, H, S), axes=(0, 2, 1))
    convolved = op("nn.conv1d", channels_first, kernel, shape=(1, 2 * H, S), groups=2, strides=(1,), padding=(0, 0))
    biased = op("nn.relu", op("add", convolved, bias, shape=(1, 2 * H, S)), shape=(1, 2 * H, S))
    before = graph(op("permute_dims", biased, shape=(1, S, 2 * H), axes=(0, 2, 1)))
    after = activation_epilogue(affine(cancel_reshapes(move_transposes(pointwise_convolution(before)))))
    assert operators(after) == ["linear"]
    assert after.output["groups"] == 2
    same_numbers(before, after)


def test_transposes_around_a_reshape_that_joins_heads_become_one():
    apart = Value(INPUT, (), (1, 3, S, 4), name="apart")
    turned = op("permute_dims", apart, shape=(1, 3, 4, S), axes=(0, 1, 3, 2))
    joined = op("reshape", turned, shape=(1, 12, S))
    before = Graph((*TOKENS, apart), op("permute_dims", joined, shape=(1, S, 12), axes=(0, 2, 1)))
    after = move_transposes(before)
    assert operators(after) == ["permute_dims", "reshape"]
    numbers = {"apart": RANDOM.standard_normal((1, 3, S, 4)).astype(np.float32)}
    np.testing.assert_array_equal(evaluate(after, numbers), evaluate(before, numbers))


def test_squares_and_cubes_are_multiplications_where_nothing_is_fused():
    for exponent, times in ((2.0, 1), (3.0, 2), (2.5, 0)):
        before = Graph((*TOKENS, HIDDEN), op("power", HIDDEN, constant(np.float32(exponent)), shape=HIDDEN.shape))
        after = write_out(before)
        assert operators(after) == (["multiply"] * times or ["power"])
        positive = {**NUMBERS, "hidden": np.abs(NUMBERS["hidden"])}
        np.testing.assert_allclose(evaluate(after, positive), evaluate(before, positive), rtol=1e-5)


def test_a_transpose_moves_past_the_reshape_that_splits_heads():
    channels_first = op("permute_dims", HIDDEN, shape=(1, H, S), axes=(0, 2, 1))
    split = op("reshape", channels_first, shape=(1, A, H // A, S))
    before = graph(op("permute_dims", split, shape=(1, S, A, H // A), axes=(0, 3, 1, 2)))
    after = cancel_reshapes(move_transposes(before))
    assert operators(after) == ["reshape"]
    same_numbers(before, after)


def test_a_transpose_stays_before_a_reshape_that_mixes_its_axes():
    channels_first = op("permute_dims", HIDDEN, shape=(1, H, S), axes=(0, 2, 1))
    before = graph(op("reshape", channels_first, shape=(1, S, H)))
    assert operators(move_transposes(before)) == ["permute_dims", "reshape"]


def trigrams(table: Value) -> Value:
    rows = op("take", table, IDS, shape=(1, S, 4), axis=0)
    after = op("strided_slice", rows, shape=(1, S - 1, 4), arguments=((1,), (1,), (S,), (1,)))
    ahead = op("strided_slice", rows, shape=(1, S - 1, 4), arguments=((1,), (0,), (S - 1,), (1,)))
    nexts = op("nn.pad", after, shape=(1, S, 4), pad_width=(0, 0, 0, 1, 0, 0), pad_value=0.0)
    befores = op("nn.pad", ahead, shape=(1, S, 4), pad_width=(0, 0, 1, 0, 0, 0), pad_value=0.0)
    return op("concat", nexts, rows, befores, shape=(1, S, 12), axis=2)


def test_rows_of_a_token_and_its_neighbours_are_one_gather():
    before = graph(trigrams(weights(20, 4)))
    after = trigram_embedding(before)
    assert operators(after) == ["embedding"]
    assert after.output["neighbours"]
    same_numbers(before, after)


def test_rows_added_to_a_projection_become_its_residual():
    segments = op("take", weights(2, H), TYPES, shape=(1, S, H), axis=0)
    total = op("add", op("add", projected(HIDDEN), weights(1, S, H), shape=(1, S, H)), segments, shape=(1, S, H))
    before = graph(total)
    after = residual_epilogue(embedding_sum(before))
    assert sorted(operators(after)) == ["embedding", "linear"]
    assert after.output["residual"]
    same_numbers(before, after)


def test_a_one_hot_product_is_a_gather():
    encoding = op("one_hot", TYPES, shape=(1, S, 2), depth=2)
    before = graph(op("matmul", encoding, weights(2, H), shape=(1, S, H)))
    after = one_hot(before)
    assert operators(after) == ["take"]
    same_numbers(before, after)


def test_a_mask_spread_over_columns_stays_one_number_a_token():
    bits = op("reshape", MASK, shape=(1, S, 1), dtype="int32")
    spread = op("astype", op("broadcast_to", bits, shape=(1, S, H), dtype="int32"), shape=(1, S, H))
    total = op("sum", op("multiply", HIDDEN, spread, shape=(1, S, H)), shape=(1, H), axis=(1,))
    count = op("clip", op("sum", spread, shape=(1, H), axis=(1,)), shape=(1, H), arguments=(1e-9, float("inf")))
    before = graph(op("divide", total, count, shape=(1, H)))
    after = readout(token_sums(token_tables(late_broadcasts(before))))
    assert operators(after) == ["readout"]
    same_numbers(before, after)


def test_rows_without_a_batch_axis_get_it_back():
    rows = op("reshape", HIDDEN, shape=(S, H))
    product = op("add", op("matmul", rows, weights(H, H), shape=(S, H)), weights(H), shape=(S, H))
    total = op("add", product, rows, shape=(S, H))
    before = graph(op("reshape", total, shape=(1, S, H)))
    after = cancel_reshapes(batch_axis(before))
    assert operators(after) == ["matmul", "add", "add"]
    same_numbers(before, after)


def test_layers_that_share_a_weight_share_its_transpose():
    shared = weights(H, H)
    first = op("matmul", HIDDEN, op("permute_dims", shared, shape=(H, H), axes=(1, 0)), shape=(1, S, H))
    second = op("matmul", first, op("permute_dims", shared, shape=(H, H), axes=(1, 0)), shape=(1, S, H))
    after = fold_constants(graph(second))
    assert after.output.inputs[1] is after.output.inputs[0].inputs[1]
