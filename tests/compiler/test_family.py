"""Two layers of every preset, and odd sizes, compiled, answer as torch does on tokenised sentences with padding."""

from dataclasses import replace

import numpy as np
import pytest

from compiler.build import BuildRequest, build
from compiler.session import Session
from engine.architecture import PRESETS, MobileBert, SqueezeBert

SEQ_LEN = 32
VOCABULARY = 2000
KERNELS = {"mobilebert": 2 * 13 + 4, "albert-base": 2 * 5 + 3, "electra-small": 2 * 5 + 3}  # others: five a layer and two


ODD = {
    "groups of 10 columns": SqueezeBert(40, 2, (56,)),
    "narrow layers of 24": MobileBert(72, 3, (40,), embedding_size=20, bottleneck_size=24),
}


def reference(architecture):
    """Random weights and BERT's tokenizer; norms and biases, which start as ones and zeros, are made to matter."""
    import torch

    from engine.export import Reference, random_encoder, reference_model

    encoder = random_encoder(architecture)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in encoder.parameters():
            if parameter.ndim == 1:
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.2)
    return Reference(str(architecture), architecture, encoder, reference_model("L1-H64-A1-F64").tokenizer)


UNFUSED = {
    "mobilebert": MobileBert(72, 3, (40,), embedding_size=20, bottleneck_size=24),
    "squeezebert": SqueezeBert(48, 2, (64,)),
    "albert": replace(PRESETS["albert-base"], hidden_size=48, heads=2, ffn_sizes=(64,), embedding_size=24),
    "electra": replace(PRESETS["electra-small"], hidden_size=48, heads=2, ffn_sizes=(64,), embedding_size=24),
}


def check(architecture, seq_len, folder, fusion="lp") -> int:
    """How many kernels it takes, once its answers are found to be torch's."""
    from engine.export import export_reference

    program, samples = export_reference(reference(architecture), seq_len, folder / "export")
    built = build(BuildRequest(program, samples, tolerance=1e-4, fusion=fusion), folder / "model")
    with np.load(samples) as arrays:
        inputs = [arrays[field] for field in ("input_ids", "token_type_ids", "attention_mask")]
        expected = arrays["expected"]
    assert np.abs(expected).max() > 0.1
    assert len({int(row.sum()) for row in inputs[2]}) > 3  # sentences of several lengths
    for threads in (1, 2):
        with Session(built.folder, threads) as session:
            np.testing.assert_allclose(session.run(*inputs), expected, rtol=0, atol=1e-4)
    return built.kernels


@pytest.mark.parametrize("name", PRESETS)
def test_answers_equal_torch(name, tmp_path):
    small = replace(PRESETS[name], ffn_sizes=PRESETS[name].ffn_sizes[:2], vocab_size=VOCABULARY)
    assert check(small, SEQ_LEN, tmp_path) == KERNELS.get(name, 2 * 5 + 2)


@pytest.mark.parametrize("architecture", ODD.values(), ids=ODD)
def test_odd_sizes(architecture, tmp_path):
    check(replace(architecture, vocab_size=VOCABULARY), 19, tmp_path)


@pytest.mark.parametrize("architecture", UNFUSED.values(), ids=UNFUSED)
def test_without_fusion(architecture, tmp_path):
    assert check(replace(architecture, vocab_size=VOCABULARY), 16, tmp_path, "none") > 40


def test_shared_weights_are_stored_once(tmp_path):
    """ALBERT's second layer adds nothing to the weights file."""
    from engine.export import export_reference

    sizes = []
    for layers in (1, 2):
        architecture = replace(PRESETS["albert-base"], ffn_sizes=(3072,) * layers, vocab_size=VOCABULARY)
        exported = export_reference(reference(architecture), SEQ_LEN, tmp_path / f"export{layers}")
        built = build(BuildRequest(*exported), tmp_path / f"model{layers}")
        sizes.append((built.folder / "weights.bin").stat().st_size)
    assert sizes[0] == sizes[1]
