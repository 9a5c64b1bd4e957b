"""A program cut to a shorter sequence length answers as the whole one does on padded sentences."""

import numpy as np
import pytest

from compiler.evaluate import evaluate
from compiler.graph import INPUT, Graph, Value, constant
from compiler.lengths import at_length, shorter_programs
from compiler.passes import fuse_layers
from compiler.plan import Weights
from data.errors import CompileError

S = H = 8  # equal on purpose: which axis counts tokens must not be guessed from its size
A = 2
RANDOM = np.random.default_rng(0)
IDS, TYPES, MASK = TOKENS = tuple(
    Value(INPUT, (), (1, S), "int32", name=name) for name in ("input_ids", "token_type_ids", "attention_mask")
)
SAMPLE_TOKENS = np.array([2, S])


def weights(*shape: int) -> Value:
    return constant(RANDOM.standard_normal(shape).astype(np.float32))


def op(operator: str, *inputs: Value, shape: tuple[int, ...], dtype: str = "float32", **attributes) -> Value:
    return Value(operator, inputs, shape, dtype, attributes)


def embedded() -> Value:
    words = op("take", weights(20, H), op("reshape", IDS, shape=(S,), dtype="int32"), shape=(S, H), axis=0)
    types = op("take", weights(2, H), op("reshape", TYPES, shape=(S,), dtype="int32"), shape=(S, H), axis=0)
    total = op("add", op("add", op("reshape", words, shape=(1, S, H)), weights(1, S, H), shape=(1, S, H)),
               op("reshape", types, shape=(1, S, H)), shape=(1, S, H))  # fmt: skip
    return op("nn.layer_norm", total, weights(H), weights(H), shape=(1, S, H), axes=(-1,), epsilon=1e-12)


def mask_scores() -> Value:
    bits = op("astype", op("reshape", MASK, shape=(1, 1, 1, S), dtype="int32"), shape=(1, 1, 1, S))
    padding = op("subtract", constant(np.float32(1)), bits, shape=(1, 1, 1, S))
    return op("multiply", padding, constant(np.float32(-1e4)), shape=(1, 1, 1, S))


def dense(source: Value, width: int = H) -> Value:
    rows = source.shape[:-1]
    return op("add", op("matmul", source, weights(H, width), shape=(*rows, width)), weights(width), shape=(*rows, width))


def attended(hidden: Value) -> Value:
    heads = [op("reshape", dense(hidden), shape=(1, S, A, H // A)) for _ in range(3)]
    context = op("nn.attention_bias", *heads, mask_scores(), shape=(1, S, A, H // A))
    total = op("add", dense(op("reshape", context, shape=(1, S, H))), hidden, shape=(1, S, H))
    return op("nn.layer_norm", total, weights(H), weights(H), shape=(1, S, H), axes=(-1,), epsilon=1e-12)


def mean(hidden: Value) -> Value:
    bits = op("astype", MASK, shape=(1, S))
    weighted = op("matmul", op("reshape", bits, shape=(1, 1, S)), hidden, shape=(1, 1, H))
    count = op("clip", op("sum", bits, shape=(1, 1), axis=(1,)), shape=(1, 1), arguments=(1.0, float("inf")))
    return op("divide", op("reshape", weighted, shape=(1, H)), count, shape=(1, H))


def first(hidden: Value) -> Value:
    return op("tanh", dense(op("take", hidden, constant(np.int64(0)), shape=(1, H), axis=1)), shape=(1, H))


def encoder(pool) -> Graph:
    return Graph(TOKENS, dense(pool(attended(embedded())), 3))


def sentence(tokens: int, length: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(tokens)
    real = (np.arange(length) < tokens).astype(int)[None]
    types = (np.arange(length) >= tokens // 2).astype(int)[None] * real
    ids = np.resize(random.integers(1, 20, (1, tokens)), (1, length)) * real
    return {"input_ids": ids, "token_type_ids": types, "attention_mask": real}


@pytest.mark.parametrize("pool", [mean, first])
@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("length", [2, 5, 7])
def test_the_shorter_program_answers_as_the_whole_one(pool, fused, length):
    whole = fuse_layers(encoder(pool)) if fused else encoder(pool)
    cut = at_length(whole, length)
    assert [value.operator for value in cut.values()] == [value.operator for value in whole.values()]
    assert [value.shape for value in cut.inputs] == [(1, length)] * 3
    for tokens in range(1, length + 1):
        expected = evaluate(whole, sentence(tokens, S))
        np.testing.assert_allclose(evaluate(cut, sentence(tokens, length)), expected, rtol=1e-5, atol=1e-6)


def test_shorter_lengths_share_the_whole_ones_constants():
    whole = fuse_layers(encoder(mean))
    stored = {id(value.data) for value in whole.values() if value.is_constant}
    assert {id(value.data) for value in at_length(whole, 4).values() if value.is_constant} <= stored


def test_what_cannot_be_cut_is_named():
    shuffled = Graph(TOKENS, op("reshape", embedded(), shape=(1, S * H)))
    with pytest.raises(CompileError, match="operator 'reshape' keeps the program from other sequence lengths than 8"):
        at_length(shuffled, 4)
    last = Graph(TOKENS, op("token", embedded(), shape=(1, H), index=S - 1))
    with pytest.raises(CompileError, match="reads token 7, which a sequence length of 4 does not have"):
        at_length(last, 4)


def test_a_program_that_ignores_its_mask_has_one_length():
    unmasked = Graph(TOKENS, first(embedded()))
    with pytest.raises(CompileError, match="does not read its attention mask"):
        shorter_programs(unmasked, (4,), SAMPLE_TOKENS, print)
    masked = fuse_layers(encoder(mean))
    assert [graph.inputs[0].shape for graph in shorter_programs(masked, (2, 4, S), SAMPLE_TOKENS, print)] == [(1, 4), (1, 2)]


def test_the_usual_lengths_are_taken_where_they_can_be(monkeypatch):
    said: list[str] = []
    monkeypatch.setattr("compiler.lengths.USUAL_SEQ_LENS", (4, S))
    assert len(shorter_programs(fuse_layers(encoder(mean)), None, SAMPLE_TOKENS, said.append)) == 1
    assert shorter_programs(Graph(TOKENS, first(embedded())), None, SAMPLE_TOKENS, said.append) == []
    assert shorter_programs(fuse_layers(encoder(mean)), None, np.array([S]), said.append) == []
    assert [line.split(":")[0] for line in said] == ["compiling for 8 tokens only"] * 2


@pytest.mark.parametrize("asked", [(1,), (4, 9)])
def test_lengths_out_of_range(asked):
    with pytest.raises(CompileError, match="take 2 to 8 tokens"):
        shorter_programs(fuse_layers(encoder(mean)), asked, SAMPLE_TOKENS, print)


def test_an_array_that_another_begins_with_is_stored_with_it():
    table = RANDOM.standard_normal((128, 24)).astype(np.float32)
    weights = Weights()
    whole = weights.add(table)
    assert weights.add(table[:32]) == whole
    assert weights.add(table[1:33]) != whole
    assert weights.add(table[:32, :16]) != whole
    different = table[:32].copy()
    different[-1, -1] += 1
    assert weights.add(different) != whole
    assert len(weights.arrays) == 4
