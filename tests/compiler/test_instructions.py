"""Counts of executed instructions (`benchmarks.instructions`) on a small model."""

import json
from dataclasses import replace

import pytest
from needs import need_folder, need_program

from benchmarks.instructions.__main__ import CPU, DEVICE, LIBC, Tools
from compiler.build import build
from compiler.emulation import EMULATOR, PACKAGE
from data.errors import MeasureError

SIZES = {"hidden_size": 64, "heads": 2, "ffn_sizes": (128, 128), "seq_len": 32}


@pytest.fixture(scope="module")
def tools(tmp_path_factory):
    need_program(EMULATOR, PACKAGE)
    need_folder(str(LIBC), "libc6-arm64-cross")
    return Tools(tmp_path_factory.mktemp("instructions") / "tools", CPU)


@pytest.mark.parametrize(
    ("precision", "kind", "lanes"), [("fp32", "fp32_fma", 4), ("fp16", "fp16_fma", 8), ("int8", "dot", 16)]
)
def test_products_are_counted_by_kind_and_the_same_again(tools, request_of, tmp_path, precision, kind, lanes):
    folder = build(replace(request_of(**SIZES), device=DEVICE, precision=precision), tmp_path / "model").folder
    counts = tools.count_ours(folder, SIZES["seq_len"])
    products = json.loads((folder / "plan.json").read_text())["flops"] / 2 / lanes
    # Attention stays in fp32 in int8: a tenth of the products here.
    assert 0.8 * products < counts[kind] < 1.4 * products
    assert counts["instructions"] > counts[kind] + counts["loads"] + counts["stores"]
    assert counts["loads"] > counts["l1_misses"] > 0
    assert tools.count_ours(folder, SIZES["seq_len"])[kind] == counts[kind]


def test_an_emulated_failure_is_one_line(tools, tmp_path):
    with pytest.raises(MeasureError, match=r"answer failed on cortex-a76: .*cannot open shared object file"):
        tools.count_ours(tmp_path, 32)
