"""`Architecture`: its written form, and its numbers against torch's and the papers'."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.errors import ModelError
from engine.architecture import PRESETS, Architecture, architecture_of

architectures = st.builds(
    lambda heads, head_size, ffn_sizes, embedding: Architecture(heads * head_size, heads, tuple(ffn_sizes), embedding),
    st.integers(1, 16),
    st.sampled_from([26, 32, 64]),
    st.lists(st.integers(1, 4096), min_size=1, max_size=30),
    st.sampled_from([0, 128, 384]),
)


@given(architectures)
def test_the_written_form_reads_back(architecture):
    assert str(Architecture.parse(str(architecture))) == str(architecture)


@given(architectures, st.integers(1, 512))
def test_more_of_anything_never_costs_less(architecture, seq_len):
    deeper = Architecture(
        architecture.hidden_size, architecture.heads, (*architecture.ffn_sizes, 64), architecture.embedding_size
    )
    assert deeper.flops(seq_len) > architecture.flops(seq_len)
    assert deeper.parameters() > architecture.parameters()


def test_flops_of_bert_base_are_canaos():
    """CANAO Table 4 counts 21.8 G for BERT-base at sequence length 128, Table 2 rounds to 22."""
    assert PRESETS["bert-base"].flops(128) / 1e9 == pytest.approx(22.3, abs=0.5)


@pytest.mark.parametrize(("name", "millions"), [("bert-base", 108.9), ("tinybert-4", 14.3), ("minilm-l6", 22.6)])
def test_parameters_of_published_models(name, millions):
    """Without poolers and heads; the models' cards say 110, 14.5 and 22.7 million with them."""
    assert PRESETS[name].parameters() / 1e6 == pytest.approx(millions, abs=0.1)


@pytest.mark.parametrize("name", PRESETS)
def test_parameters_are_torchs(name):
    from engine.export import random_encoder

    architecture = replace(PRESETS[name], ffn_sizes=PRESETS[name].ffn_sizes[:2], vocab_size=1000)
    assert architecture.parameters() == sum(parameter.numel() for parameter in random_encoder(architecture).parameters())


@pytest.mark.parametrize(("name", "millions"), [("mobilebert", 24.6), ("albert-base", 11.1), ("squeezebert", 50.5)])
def test_parameters_of_published_relatives(name, millions):
    """Their papers say 25.3 (with a pooler), 12 and 51.1 million."""
    assert PRESETS[name].parameters() / 1e6 == pytest.approx(millions, abs=0.1)


@pytest.mark.parametrize("name", PRESETS)
def test_every_presets_written_form_reads_back(name):
    read = Architecture.parse(str(PRESETS[name]))
    assert type(read) is type(PRESETS[name])
    assert str(read) == str(PRESETS[name])
    assert read.mult_adds() == PRESETS[name].mult_adds()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "L6",
        "GPT-L2-H64-A1-F64",
        "L2-H64-A1-F64-B32",
        "MobileBERT-L2-H64-A2-F64-B33",
        "L2-H256-A4-F1,2,3",
        "L0-H256-A4-F1",
        "L2-H250-A4-F64",
        "bert",
        "L2-H256-A0-F64",
    ],
)
def test_nonsense_is_refused_in_one_line(text):
    with pytest.raises(ModelError) as caught:
        architecture_of(text)
    assert "\n" not in str(caught.value)
