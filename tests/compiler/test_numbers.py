"""Compiled models answer as torch does, whatever their sizes."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from compiler.build import build
from compiler.session import Session
from data.errors import CompileError

CASES = {
    "mean": {"hidden_size": 64, "heads": 2, "ffn_sizes": (128, 96)},
    "cls, heads of 26, odd sizes": {
        "hidden_size": 78,
        "heads": 3,
        "ffn_sizes": (50,),
        "pooling": "cls",
        "outputs": 1,
        "seq_len": 13,
    },
    "pair, projected embeddings": {"hidden_size": 64, "heads": 1, "ffn_sizes": (40,), "pooling": "pair", "embedding_size": 24},
    "work for several threads": {"hidden_size": 192, "heads": 3, "ffn_sizes": (512,), "seq_len": 40},
    "sentence vector": {"hidden_size": 32, "heads": 1, "ffn_sizes": (64,), "outputs": 0, "seq_len": 40},
}


@pytest.mark.parametrize("sizes", CASES.values(), ids=CASES)
def test_answers_equal_torch(sizes, request_of, tmp_path):
    request = request_of(**sizes)
    built = build(replace(request, tolerance=1e-4), tmp_path / "model")
    assert built.max_abs_error <= 1e-4
    if sizes["hidden_size"] > 100:
        assert any(call["shared"] for call in json.loads((built.folder / "plan.json").read_text())["calls"])
    assert built.kernels == len(built.blocks) <= 5 * len(sizes["ffn_sizes"]) + 2 + bool(sizes.get("embedding_size"))
    with np.load(request.samples) as samples:
        inputs = [samples[name] for name in ("input_ids", "token_type_ids", "attention_mask")]
        for threads in (1, 3):
            with Session(built.folder, threads) as session:
                for _ in range(3):
                    np.testing.assert_allclose(session.run(*inputs), samples["expected"], atol=1e-4)
    assert json.loads((built.folder / "plan.json").read_text())["outputs"] == samples_outputs(request.samples)


@pytest.mark.parametrize("sizes", list(CASES.values())[:3], ids=list(CASES)[:3])
def test_answers_equal_torch_without_fusion(sizes, request_of, tmp_path):
    """Every layer of computation a kernel of its own: heads of odd sizes, rows that no vector fills, every pooling."""
    request = request_of(**sizes)
    built = build(replace(request, tolerance=1e-4, fusion="none"), tmp_path / "model")
    assert built.max_abs_error <= 1e-4
    assert built.kernels == len(built.blocks) > 40 * len(sizes["ffn_sizes"])
    with np.load(request.samples) as samples, Session(built.folder, threads=3) as session:
        inputs = [samples[name] for name in ("input_ids", "token_type_ids", "attention_mask")]
        for _ in range(3):
            np.testing.assert_allclose(session.run(*inputs), samples["expected"], atol=1e-4)


def samples_outputs(path: Path) -> int:
    with np.load(path) as samples:
        return int(samples["expected"].shape[1])


def test_hugging_face_bert(tmp_path):
    import torch
    from encoders import VOCABULARY, export
    from transformers import BertConfig, BertModel

    class Pooled(torch.nn.Module):
        def __init__(self):
            super().__init__()
            sizes = {"num_hidden_layers": 1, "hidden_size": 64, "num_attention_heads": 2, "intermediate_size": 128}
            self.bert = BertModel(BertConfig(vocab_size=VOCABULARY, attn_implementation="sdpa", **sizes))

        def forward(self, input_ids, token_type_ids, attention_mask):
            return self.bert(input_ids, token_type_ids=token_type_ids, attention_mask=attention_mask).pooler_output

    request = replace(export(Pooled(), tmp_path, 16), tolerance=1e-4)
    assert build(request, tmp_path / "model").kernels == 7
    assert build(replace(request, fusion="none"), tmp_path / "unfused").kernels > 60


def test_an_operator_without_a_kernel_is_named(tmp_path):
    import torch
    from encoders import encoder, export

    class Odd(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = encoder()

        def forward(self, input_ids, token_type_ids, attention_mask):
            return torch.cumsum(self.encoder(input_ids, token_type_ids, attention_mask), dim=-1)

    request = export(Odd(), tmp_path, 16)
    with pytest.raises(CompileError, match="cumsum"):
        build(request, tmp_path / "model")
