"""`--precision int8`: integers as numpy makes them, graphs that mean the same, and models that answer as torch does with rounded layers."""

from dataclasses import replace

import numpy as np
import pytest
from encoders import encoder, export
from hypothesis import given
from hypothesis import strategies as st
from programs import op, operators, same_numbers, tensor, tokens, weights

from compiler.arm import levels
from compiler.build import build
from compiler.evaluate import evaluate
from compiler.graph import Graph
from compiler.isa import host
from compiler.passes.quantize import quantize
from compiler.precisions import INT8
from compiler.quantization import quantized, rounded
from compiler.schedules.linear import row_tiles
from compiler.schedules.linear_int8 import LinearInt8
from compiler.schedules.quantize import Quantize
from compiler.session import Session
from compiler.x86 import x86_64
from data.errors import CompileError

SIZES = {
    "mean": {"hidden_size": 64, "heads": 2, "ffn_sizes": (128, 96)},
    "rows that no vector fills": {"hidden_size": 84, "heads": 3, "ffn_sizes": (52,), "seq_len": 13, "outputs": 1},
    "work for several threads": {"hidden_size": 192, "heads": 3, "ffn_sizes": (512,), "seq_len": 40},
}


@given(st.integers(0, 2**32 - 1), st.floats(1e-6, 1e6), st.integers(1, 40))
def test_integers_are_within_range_and_near_what_they_stand_for(seed, size, width):
    x = (np.random.default_rng(seed).standard_normal((3, width)) * size).astype(np.float32)
    integers, scales = quantized(x, axis=-1)
    assert np.abs(integers).max() <= 127
    assert np.all(np.abs(integers).max(axis=-1) == 127)
    assert np.all(np.abs(integers * scales - x) <= scales * 0.501)
    again, same_scales = quantized(rounded(x, axis=-1), axis=-1)
    np.testing.assert_array_equal(again, integers)
    np.testing.assert_allclose(same_scales, scales, rtol=1e-6)


def test_nothing_but_zeros_stays_zero():
    assert np.all(rounded(np.zeros((2, 4), np.float32), axis=-1) == 0)


def test_layers_on_one_tensor_share_its_quantization():
    x = tensor(1, 4, 8)
    queries, keys = (op("linear", x, weights(8, 6, seed=seed), weights(6), shape=(1, 4, 6)) for seed in (1, 2))
    before = Graph((*tokens(4), x), op("add", queries, keys, shape=(1, 4, 6)))
    after = quantize(before)
    assert sorted(operators(after)) == ["add", "linear", "linear", "quantize"]
    numbers = {"x": np.random.default_rng(0).standard_normal((1, 4, 8)).astype(np.float32)}
    exact, near = evaluate(before, numbers), evaluate(after, numbers)
    assert 0 < np.abs(near - exact).max() < 0.05 * np.abs(exact).max()


def test_what_is_not_on_tokens_or_fills_no_words_stays_as_it_is():
    x, vector = tensor(1, 4, 6), tensor(1, 8, name="vector")
    odd = op("linear", x, weights(6, 6), weights(6), shape=(1, 4, 6))
    head = op("linear", vector, weights(8, 6), weights(6), shape=(1, 6))
    graph = Graph((*tokens(4), x, vector), op("add", odd, head, shape=(1, 4, 6)))
    same_numbers(graph, quantize(graph))
    assert "quantize" not in operators(quantize(graph))


def with_rounded_layers(module):
    """The same module, its layers on tokens computing with rounded weights and inputs."""
    import torch
    from torch import nn

    class Rounded(nn.Module):
        def __init__(self, dense):
            super().__init__()
            self.weight = nn.Parameter(
                torch.from_numpy(rounded(dense.weight.detach().numpy(), axis=1, largest=host().largest_weight))
            )
            self.bias = dense.bias

        def forward(self, x):
            top = x.abs().amax(-1, keepdim=True).clamp(min=1e-30)
            near = torch.round(x * (127 / top)) * (top / 127)
            return nn.functional.linear(near, self.weight, self.bias)

    for name, child in module.named_children():
        if isinstance(child, nn.Linear) and name != "classifier":
            setattr(module, name, Rounded(child))
        else:
            with_rounded_layers(child)
    return module


@pytest.mark.parametrize("threads", [1, 2, 4, 8])
@pytest.mark.parametrize("epsilon", [None, 1e-12], ids=["columns shared out", "whole rows"])
def test_two_rows_at_once_leave_none_over(threads, epsilon):
    """A register tile of five rows would lose its last: tasks of ten rows are none for tiles of eight."""
    matrices = levels(INT8)[0]
    assert matrices.matrix_dot
    for rows in range(8, 513, 8):
        for panel in (8, None):
            layer = LinearInt8(rows, 1536, 384, residual=epsilon is not None, epsilon=epsilon, panel=panel)
            tiles = layer.tiles(matrices, threads)
            assert tiles
            heights = {height for tile in tiles for _, height, _ in row_tiles(tile.row_block, tile.tile_rows)}
            assert not any(height % 2 for height in heights), (rows, panel)


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_answers_equal_those_of_torch_with_rounded_layers(sizes, tmp_path):
    """A number at the edge of two integers may fall to either side, so answers differ by a part of what rounding costs."""
    shape = {"seq_len": 16, **sizes}
    seq_len = shape.pop("seq_len")
    exact = export(encoder(**shape), tmp_path / "exact", seq_len)
    near = export(with_rounded_layers(encoder(**shape)), tmp_path / "near", seq_len)
    built = build(replace(exact, precision="int8"), tmp_path / "model")
    with np.load(exact.samples) as arrays, np.load(near.samples) as rounded_arrays:
        inputs = [arrays[name] for name in ("input_ids", "token_type_ids", "attention_mask")]
        expected, cost = rounded_arrays["expected"], np.abs(rounded_arrays["expected"] - arrays["expected"]).max()
    answers = []
    for threads in (1, 3):
        with Session(built.folder, threads) as session:
            answers.append(session.run(*inputs))
            np.testing.assert_array_equal(session.run(*inputs), answers[-1])
    np.testing.assert_array_equal(*answers)
    assert np.abs(answers[0] - expected).max() < 0.2 * cost
    assert built.max_abs_error == pytest.approx(cost, rel=0.3)
    assert sum(block["name"].startswith("quantize") for block in built.blocks) >= 4


def test_a_norm_that_is_folded_into_weights_costs_no_more(tmp_path):
    """The embeddings' LayerNorm goes into the projection, which then is rounded with it: other integers, as near."""
    shape = {"hidden_size": 64, "heads": 1, "ffn_sizes": (40,), "embedding_size": 24}
    exact = export(encoder(**shape), tmp_path / "exact", 16)
    near = export(with_rounded_layers(encoder(**shape)), tmp_path / "near", 16)
    built = build(replace(exact, precision="int8"), tmp_path / "model")
    with np.load(exact.samples) as arrays, np.load(near.samples) as rounded_arrays:
        cost = np.abs(rounded_arrays["expected"] - arrays["expected"]).max()
    assert 0 < built.max_abs_error < 2 * cost


def test_weights_take_a_quarter(request_of, tmp_path):
    request = request_of(hidden_size=256, heads=4, ffn_sizes=(1024,))
    bytes_of = {
        precision: (build(replace(request, precision=precision), tmp_path / precision).folder / "weights.bin").stat().st_size
        for precision in ("fp32", "int8")
    }
    dense = 4 * (4 * 256 * 256 + 2 * 256 * 1024)
    assert bytes_of["fp32"] - bytes_of["int8"] > 0.7 * dense


SSE42 = {"ssse3", "sse4_2", "popcnt"}
AVX2 = SSE42 | {"avx2", "fma"}
AVX512 = AVX2 | {"avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512cd"}


@pytest.mark.parametrize(
    ("flags", "instructions", "register"),
    [
        (SSE42, {"pmaddubsw", "pmaddwd"}, "%xmm"),
        (AVX2, {"vpmaddubsw", "vpmaddwd"}, "%ymm"),
        (AVX2 | {"avx_vnni"}, {"{vex} vpdpbusd"}, "%ymm"),
        (AVX512, {"vpmaddubsw", "vpmaddwd"}, "%zmm"),
        (AVX512 | {"avx512_vnni"}, {"vpdpbusd"}, "%zmm"),
    ],
)
def test_the_instructions_that_multiply_bytes(flags, instructions, register):
    """Of processors that this machine need not be: the code is read, not run."""
    import tvm

    isa = x86_64(flags)
    spec = LinearInt8(16, 64, 128, largest_weight=isa.largest_weight, zero_point=isa.zero_point)
    function = spec.build(spec.tiles(isa, 1)[0], isa, "kernel")
    assembly = tvm.compile(function.tir, target=tvm.target.Target(isa.target())).mod.inspect_source("asm")
    lines = [line.replace("\t", " ").strip() for line in assembly.splitlines()]
    found = [line for line in lines if any(name in line for name in ("pmadd", "vpdp"))]
    assert len(found) > 8
    assert all(any(line.startswith(name) for name in instructions) and register in line for line in found)
    assert all(any(line.startswith(name) for line in found) for name in instructions)


def compiled(spec):
    import tvm

    isa = host()
    tile = spec.tiles(isa, 1)[0]
    return tile, tvm.compile(spec.build(tile, isa, "kernel").tir, target=tvm.target.Target(isa.target()))["kernel"]


def test_the_largest_numbers_are_summed_exactly():
    """What would saturate did `Isa.largest_weight` not forbid it: rows and columns of one sign each, and of changing signs."""
    import tvm

    signs = np.stack([np.ones(64), -np.ones(64), (-1.0) ** np.arange(64), (-1.0) ** (np.arange(64) // 2)]).astype(np.float32)
    x, weight = np.tile(signs, (4, 1)), np.ascontiguousarray(np.tile(signs, (6, 1)).T)
    (rows, depth), width = x.shape, weight.shape[1]
    quantizing, multiplying = (
        Quantize(rows, depth),
        LinearInt8(rows, depth, width, largest_weight=host().largest_weight, zero_point=host().zero_point),
    )
    tile, quantize_rows = compiled(quantizing)
    integers = tvm.runtime.tensor(np.zeros(quantizing.parameters(tile)[-1][1], np.int32))
    quantize_rows(tvm.runtime.tensor(x), integers)
    tile, multiply = compiled(multiplying)
    packed, *rest = multiplying.pack(weight, tile.panel)
    answers = tvm.runtime.tensor(np.full((rows, width), np.nan, np.float32))
    bias = np.zeros(multiplying.panels(tile) * tile.panel, np.float32)
    multiply(integers, *(tvm.runtime.tensor(array) for array in (packed, bias, *rest)), answers)
    np.testing.assert_allclose(answers.numpy(), x @ weight, atol=1e-4)


def test_a_processor_that_no_kernel_is_written_for():
    with pytest.raises(CompileError, match=r"lacks SSE4\.2"):
        x86_64({"sse2"})
