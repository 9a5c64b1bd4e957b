"""The encoder is BERT with an FFN size of its own in each layer, and can be exported."""

import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from engine.architecture import Architecture
from engine.encoder import Encoder, Pooling
from engine.export import export_encoder
from engine.teacher import Teacher
from engine.tokens import Row, collate, encode

SMALL = Architecture(hidden_size=32, heads=4, ffn_sizes=(64, 48), embedding_size=16, vocab_size=50, max_positions=24)


def test_answers_as_transformers_bert_does(minilm: Teacher) -> None:
    from transformers import AutoModel

    bert = AutoModel.from_pretrained(str(minilm.folder)).eval()
    batch = collate(encode(minilm.tokenizer, ["A man plays.", ("A plane is taking off.", "An air plane takes off.")], 64))
    with torch.no_grad():
        expected = bert(**batch._asdict(), output_hidden_states=True).hidden_states
        ours = minilm.encoder.features(*batch).hidden
    real = batch.attention_mask.bool()
    assert len(ours) == len(expected)
    for mine, theirs in zip(ours, expected, strict=True):
        torch.testing.assert_close(mine[real], theirs[real], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("architecture", [SMALL, replace(SMALL, embedding_size=0)])
def test_has_the_parameters_that_the_architecture_counts(architecture: Architecture) -> None:
    assert sum(value.numel() for value in Encoder(architecture).parameters()) == architecture.parameters()


@pytest.mark.parametrize("pooling", ["mean", "cls", "pair"])
def test_padding_changes_no_answer(pooling: Pooling) -> None:
    encoder = Encoder(SMALL, 3, pooling).eval()
    ids = torch.randint(1, 50, (2, 10))
    types = (torch.arange(10) >= 5).long().expand(2, 10)
    mask = torch.ones(2, 10, dtype=torch.int64)
    wider = [torch.nn.functional.pad(tensor, (0, 6)) for tensor in (ids, types, mask)]
    with torch.no_grad():
        torch.testing.assert_close(encoder(ids, types, mask), encoder(*wider))


@pytest.mark.parametrize("pooling", ["mean", "cls", "pair"])
def test_an_exported_program_answers_the_same(pooling: Pooling) -> None:
    encoder = Encoder(SMALL, 1, pooling).eval().requires_grad_(False)
    inputs = (torch.randint(1, 50, (1, 12)), torch.zeros(1, 12, dtype=torch.int64), torch.ones(1, 12, dtype=torch.int64))
    exported = torch.export.export(encoder, inputs)
    torch.testing.assert_close(exported.module()(*inputs), encoder(*inputs))


def test_exporting_leaves_other_threads_their_kernels(tmp_path: Path) -> None:
    """What trains beside it would be slower, and come to other numbers."""
    seen, over = set(), threading.Event()

    def look() -> None:
        while not over.is_set():
            seen.add(torch.backends.mkldnn.enabled)
            time.sleep(0.001)

    before = torch.backends.mkldnn.enabled
    beside = threading.Thread(target=look)
    beside.start()
    try:
        export_encoder(Encoder(SMALL, 1), [Row(list(range(1, 9)), [0] * 8)], 0, 12, tmp_path)
    finally:
        over.set()
        beside.join()
    assert seen == {before}


def test_without_outputs_it_answers_with_the_pooled_sentence() -> None:
    encoder = Encoder(SMALL).eval()
    inputs = (torch.randint(1, 50, (2, 12)), torch.zeros(2, 12, dtype=torch.int64), torch.ones(2, 12, dtype=torch.int64))
    assert encoder(*inputs).shape == (2, 32)


def test_the_same_seed_gives_the_same_weights() -> None:
    first, same, other = (Encoder(SMALL, 1, seed=seed).state_dict() for seed in (3, 3, 4))
    name = "encoder.layer.0.intermediate.dense.weight"
    assert torch.equal(first[name], same[name])
    assert not torch.equal(first[name], other[name])
