"""An architecture taken apart adds up to the whole."""

import pytest

from app.layers import parts
from engine.architecture import PRESETS, Architecture

WRITTEN = ("L4-H320-A10-F1024,768,512,512", "L2-H256-A4-F1024-E384", "L1-H64-A1-F64")


@pytest.mark.parametrize("architecture", [*PRESETS.values(), *map(Architecture.parse, WRITTEN)], ids=str)
@pytest.mark.parametrize("seq_len", [32, 128])
def test_parts_add_up(architecture, seq_len):
    found = parts(architecture, seq_len)
    assert sum(part.parameters for part in found) == architecture.parameters()
    assert sum(part.flops for part in found) == architecture.flops(seq_len)
    assert [part.name for part in found] == ["Embeddings", *(f"Layer {index + 1}" for index in range(architecture.layers))]


def test_each_layer_names_its_own_ffn_size():
    assert [part.sizes for part in parts(Architecture.parse(WRITTEN[0]))][1:3] == [
        "10 heads of 32, FFN 1024",
        "10 heads of 32, FFN 768",
    ]


def test_a_projection_is_named():
    assert "projected to 256" in parts(Architecture.parse(WRITTEN[1]))[0].sizes
