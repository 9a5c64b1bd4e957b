"""Teachers load from wheels and folders; what is no teacher is refused in one line."""

import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tiny import SENTENCES, WORDS, write_model

from data.errors import ModelError
from engine.teacher import is_hub_id, load_teacher, teacher_architecture, teacher_names
from engine.tokens import collate, encode


def test_the_wheels_teacher_is_minilm() -> None:
    assert "minilm" in teacher_names()
    assert str(teacher_architecture("minilm")) == "L6-H384-A12-F1536"
    assert not is_hub_id("minilm")


def test_a_folder_is_read_with_its_prefix_and_its_vocabulary(tmp_path: Path) -> None:
    teacher = load_teacher(str(write_model(tmp_path / "model")))
    rows = encode(teacher.tokenizer, [(SENTENCES[0], SENTENCES[1])], 32)
    assert rows[0].ids[0] == WORDS.index("[CLS]")
    assert set(rows[0].type_ids) == {0, 1}
    assert torch.isfinite(teacher.encoder(*collate(rows))).all()


def test_older_names_and_half_precision_are_understood(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "model")
    weights = load_teacher(str(folder)).encoder.state_dict()

    def older(name: str) -> str:
        return "bert." + name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")

    save_file({older(name): value.half() for name, value in weights.items()}, str(folder / "model.safetensors"))
    again = load_teacher(str(folder)).encoder.state_dict()
    assert all(torch.allclose(again[name], value, atol=1e-2) for name, value in weights.items())


def test_distilbert_is_understood(tmp_path: Path) -> None:
    from transformers import DistilBertConfig, DistilBertModel

    sizes = {"dim": 16, "n_layers": 2, "n_heads": 4, "hidden_dim": 32, "vocab_size": len(WORDS), "max_position_embeddings": 32}
    model = DistilBertModel(DistilBertConfig(**sizes)).eval()
    model.save_pretrained(str(tmp_path))
    (tmp_path / "vocab.txt").write_text("\n".join(WORDS))
    teacher = load_teacher(str(tmp_path))
    batch = collate(encode(teacher.tokenizer, SENTENCES, 32))
    with torch.no_grad():
        expected = model(batch.input_ids, attention_mask=batch.attention_mask).last_hidden_state
        ours = teacher.encoder.features(*batch).hidden[-1]
    real = batch.attention_mask.bool()
    torch.testing.assert_close(ours[real], expected[real], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model_type": "t5"}, "type 't5'"),
        ({"hidden_act": "relu"}, "activation 'relu'"),
        ({"position_embedding_type": "relative_key"}, "relative_key positions"),
        ({"vocab_size": 30522}, f"tokenizer has {len(WORDS)} tokens but the model 30522"),
        ({"hidden_size": None}, "config.json"),
        ({"num_attention_heads": 3}, "not a multiple"),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused(tmp_path: Path, changes: dict[str, object], said: str) -> None:
    folder = write_model(tmp_path / "model", **changes)
    with pytest.raises(ModelError) as refused:
        teacher_architecture(str(folder))
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_weights_of_other_sizes_are_refused(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "model", intermediate_size=64)
    with pytest.raises(ModelError, match="has shape"):
        load_teacher(str(folder))


def test_missing_layers_are_refused(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "model", num_hidden_layers=5)
    with pytest.raises(ModelError, match=r"lacks encoder\.layer\.4"):
        load_teacher(str(folder))


def test_damaged_and_pickled_weights_are_refused(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "model")
    (folder / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(ModelError, match="cannot be read"):
        load_teacher(str(folder))
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match="pickled weights are never read"):
        load_teacher(str(folder))


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for spec in (str(tmp_path), str(tmp_path / "file"), str(tmp_path / "nothing"), "", "no such teacher"):
        with pytest.raises(ModelError):
            load_teacher(spec)


def test_an_unreachable_hub_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise OSError("no\nnetwork")

    monkeypatch.setattr("huggingface_hub.snapshot_download", unreachable)
    with pytest.raises(ModelError, match="neither a folder nor to be had from the Hugging Face hub") as refused:
        load_teacher("nobody/nothing")
    assert "\n" not in str(refused.value)


def test_naming_teachers_loads_no_torch() -> None:
    import subprocess

    code = (
        "import sys, engine.teacher as t; t.teacher_names(); t.teacher_architecture('minilm'); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
