"""Two layers of every preset, compiled, answer as torch does on tokenised sentences with padding."""

from dataclasses import replace

import numpy as np
import pytest

from compiler.build import BuildRequest, build
from compiler.session import Session
from engine.architecture import PRESETS

SEQ_LEN = 32
VOCABULARY = 2000
KERNELS = {"mobilebert": 2 * 13 + 4, "albert-base": 2 * 5 + 3, "electra-small": 2 * 5 + 3}  # others: five a layer and two


def variant(name: str):
    """A preset with two layers and few words; norms and biases, which start as ones and zeros, are made to matter."""
    import torch

    from engine.export import Reference, random_encoder, reference_model

    preset = PRESETS[name]
    architecture = replace(preset, ffn_sizes=preset.ffn_sizes[:2], vocab_size=VOCABULARY)
    encoder = random_encoder(architecture)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in encoder.parameters():
            if parameter.ndim == 1:
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.2)
    return Reference(name, architecture, encoder, reference_model("L1-H64-A1-F64").tokenizer)


@pytest.mark.parametrize("name", PRESETS)
def test_answers_equal_torch(name, tmp_path):
    from engine.export import export_reference

    program, samples = export_reference(variant(name), SEQ_LEN, tmp_path / "export")
    built = build(BuildRequest(program, samples, tolerance=1e-4), tmp_path / "model")
    assert built.kernels == KERNELS.get(name, 2 * 5 + 2)
    with np.load(samples) as arrays:
        inputs = [arrays[field] for field in ("input_ids", "token_type_ids", "attention_mask")]
        expected = arrays["expected"]
    assert np.abs(expected).max() > 0.1
    assert len({int(row.sum()) for row in inputs[2]}) > 3  # sentences of several lengths
    for threads in (1, 2):
        with Session(built.folder, threads) as session:
            np.testing.assert_allclose(session.run(*inputs), expected, rtol=0, atol=1e-4)


def test_shared_weights_are_stored_once(tmp_path):
    """ALBERT's second layer adds nothing to the weights file."""
    from engine.export import Reference, export_reference, random_encoder, reference_model

    sizes = []
    for layers in (1, 2):
        architecture = replace(PRESETS["albert-base"], ffn_sizes=(3072,) * layers, vocab_size=VOCABULARY)
        tokenizer = reference_model("L1-H64-A1-F64").tokenizer
        reference = Reference("albert", architecture, random_encoder(architecture), tokenizer)
        exported = export_reference(reference, SEQ_LEN, tmp_path / f"export{layers}")
        built = build(BuildRequest(*exported), tmp_path / f"model{layers}")
        sizes.append((built.folder / "weights.bin").stat().st_size)
    assert sizes[0] == sizes[1]
