"""Kernels derived from an architecture's sizes are those that the compiler makes: kind, FLOPs, functions and bytes of each."""

from collections import Counter

import pytest

from compiler.kernels import spec_of
from compiler.load import load_graph
from compiler.passes import fuse_layers
from compiler.passes.half import halve
from compiler.passes.quantize import quantize
from compiler.work import Work, work_of
from compiler.worker import blocks_of
from data.errors import UsageError
from engine.architecture import Architecture
from engine.export import export_reference, reference_model
from engine.prediction.kernels import kernels_of


def compiled(model: str, seq_len: int, fusion: str, precision: str, folder) -> list[Work]:
    program, _ = export_reference(reference_model(model, seq_len=seq_len), seq_len, folder)
    graph = fuse_layers(load_graph(program, seq_len), fusion)
    if precision == "int8":
        graph = quantize(graph)
    elif precision == "fp16":
        graph = halve(graph)
    blocks = [(block, spec_of(block, seq_len)) for block in blocks_of(graph)]
    assert all(work_of(block, spec.kind).flops == spec.flops for block, spec in blocks if spec.kind != "readout")
    return [work_of(block, spec.kind) for block, spec in blocks]


@pytest.mark.parametrize(
    ("model", "seq_len", "fusion", "precision"),
    [
        ("minilm-l6", 128, "lp", "fp32"),
        ("L2-H128-A2-F512,256", 64, "lp", "int8"),
        ("L2-H128-A2-F512,256", 64, "lp", "fp16"),
        ("L2-H128-A2-F512,256", 64, "none", "fp32"),
        ("L1-H256-A4-F512-E128", 64, "lp", "fp32"),
        ("L1-H256-A4-F512-E128", 64, "none", "fp32"),
        ("ALBERT-L2-H128-A2-F512-E64", 64, "lp", "fp32"),
        ("SqueezeBERT-L1-H128-A2-F512", 64, "lp", "int8"),
        ("MobileBERT-L2-H512-A4-F512-E128-B128", 64, "lp", "fp32"),
        ("MobileBERT-L2-H512-A4-F512-E128-B128", 64, "lp", "fp16"),
        ("MobileBERT-L2-H512-A4-F512-E128-B128", 64, "lp", "int8"),
    ],
)
def test_kernels_are_the_compilers(model, seq_len, fusion, precision, tmp_path):
    from engine.architecture import architecture_of

    derived = Counter(kernels_of(architecture_of(model), seq_len, fusion, precision))
    made = Counter(compiled(model, seq_len, fusion, precision, tmp_path))
    assert (derived - made, made - derived) == (Counter(), Counter())


def test_a_layer_is_five_kernels():
    two, three = (kernels_of(Architecture(128, 2, (512,) * layers), 128) for layers in (2, 3))
    assert len(three) - len(two) == 5
    assert sum(work.flops for work in three) - sum(work.flops for work in two) == 2 * Architecture(
        128, 2, (512,)
    ).layer_mult_adds(0, 128)


def test_a_batch_multiplies_all_but_weights():
    model = Architecture(128, 2, (512,))
    one, four = (kernels_of(model, 64, "lp", "fp32", batch) for batch in (1, 4))
    assert [work.flops for work in four] == [4 * work.flops for work in one]
    assert four[1].weight_bytes == one[1].weight_bytes
    assert four[1].activation_bytes == 4 * one[1].activation_bytes


def test_what_is_not_derivable_is_left_to_the_compiler():
    with pytest.raises(UsageError, match="take fusion lp"):
        kernels_of(Architecture.parse("SqueezeBERT-L1-H128-A2-F512"), 64, "none")
    with pytest.raises(UsageError, match="in int8 are not known from its sizes"):
        kernels_of(Architecture(128, 2, (512,)), 64, "none", "int8")
