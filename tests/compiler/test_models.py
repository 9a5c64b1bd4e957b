"""ONNX files and folders of BERT's relatives as MODEL of the command: figures, bundles, and one line for what cannot be."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from onnx_files import broken, tensorflow_like

from app.cli import main
from data.errors import ModelError
from engine.architecture import PRESETS
from engine.export import random_encoder, reference_model
from engine.relatives import RELATIVES, relative_architecture
from engine.teacher import model_folder

SMALL = {"hidden_size": 64, "heads": 2, "ffn_sizes": (96, 96), "vocab_size": 30522, "max_positions": 40}
RELATED = {"mobilebert": "mobilebert", "albert": "albert-base", "squeezebert": "squeezebert"}


def answered(capsys, *arguments: str) -> dict:
    assert main([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def refused(capsys, *arguments: str) -> str:
    """The one line that a command ends with."""
    status = main([*arguments])
    captured = capsys.readouterr()
    assert status in (1, 2)
    assert captured.out == ""
    lines = [line for line in captured.err.strip().splitlines() if line.startswith("pocketformer: ")]
    assert len(lines) == 1
    assert captured.err.strip().splitlines()[-1] == lines[0]
    return lines[0]


def folder_of(model_type: str, path):
    """A Hugging Face folder with a small model of that type; its encoder."""
    from safetensors.torch import save_file

    architecture = replace(
        PRESETS[RELATED[model_type]], **SMALL, **({"bottleneck_size": 32} if model_type == "mobilebert" else {})
    )
    encoder = random_encoder(architecture)
    path.mkdir()
    config = encoder.body.config.to_dict() | {"model_type": model_type}
    (path / "config.json").write_text(json.dumps(config))
    shutil.copy(model_folder("minilm") / "tokenizer.json", path)
    prefix = RELATIVES[model_type].prefix
    weights = {prefix + name: tensor.contiguous().clone() for name, tensor in encoder.body.state_dict().items()}
    save_file(weights, str(path / "model.safetensors"))
    return encoder


@pytest.mark.parametrize("model_type", RELATED)
def test_a_folder_of_a_relative_is_read_whole(tmp_path, capsys, model_type):
    encoder = folder_of(model_type, tmp_path / "model")
    read = reference_model(str(tmp_path / "model"))
    assert read.architecture == encoder.architecture == relative_architecture(tmp_path / "model")
    for name, tensor in encoder.state_dict().items():
        np.testing.assert_array_equal(read.encoder.state_dict()[name].numpy(), tensor.numpy())
    shown = answered(capsys, "show", str(tmp_path / "model"))
    assert shown["parameters"] == sum(parameter.numel() for parameter in encoder.parameters())


def test_folders_that_cannot_be_read(tmp_path, capsys, monkeypatch):
    folder_of("albert", tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    weights = tmp_path / "model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    assert "model.safetensors cannot be read" in refused(capsys, "compile", "model", "-o", "x.zip")
    weights.rename(tmp_path / "model" / "pytorch_model.bin")
    assert "pickled weights are never read" in refused(capsys, "compile", "model", "-o", "x.zip")
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    (tmp_path / "model" / "config.json").write_text(json.dumps(config | {"num_hidden_groups": 3}))
    with pytest.raises(ModelError, match="num_hidden_groups 3; only 1"):
        reference_model("model")
    assert list(tmp_path.glob("*.zip")) == []


@pytest.mark.parametrize("model_type", ["bert"])
def test_a_truncated_safetensors_of_bert(tmp_path, capsys, monkeypatch, model_type):
    folder = shutil.copytree(model_folder("minilm"), tmp_path / "model")
    with (folder / "model.safetensors").open("r+b") as file:
        file.truncate(100_000)
    monkeypatch.chdir(tmp_path)
    assert "model.safetensors cannot be read" in refused(capsys, "bench", "model")
    assert "model.safetensors cannot be read" in refused(capsys, "compile", "model", "-o", "x.zip")
    assert list(tmp_path.glob("*.zip")) == []


def test_show_of_an_onnx_file(tmp_path, capsys):
    path = tensorflow_like(tmp_path / "model.onnx")
    shown = answered(capsys, "show", str(path), "--seq-len", "16")
    assert shown["layers"] == 1
    assert shown["flops"] == 2 * shown["mult_adds"]
    assert shown["bytes"] == 4 * shown["parameters"]
    hidden, ffn, tokens = 32, 64, 16
    assert shown["mult_adds"] == tokens * (4 * hidden**2 + 2 * hidden * ffn + 2 * hidden) + 2 * tokens**2 * hidden + 3 * hidden


@pytest.mark.parametrize(
    "kind", ["missing", "corrupted", "huge", "unknown operator", "three axes", "other length", "batch of 4"]
)
@pytest.mark.parametrize("command", [("show",), ("compile", "-o", "x.zip"), ("bench",)], ids=lambda words: words[0])
def test_bad_onnx_files(tmp_path, capsys, monkeypatch, kind, command):
    monkeypatch.chdir(tmp_path)
    path = broken(tmp_path / "model.onnx", kind)
    assert "model.onnx" in refused(capsys, command[0], str(path), *command[1:])
    assert list(tmp_path.glob("*.zip")) == []


def test_another_batch(tmp_path, capsys):
    assert "one sentence at a time" in refused(capsys, "show", "bert-base", "--batch", "4")


def test_a_bundle_of_an_onnx_file(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("compiler.measure.UNSTABLE_SPREAD", float("inf"))
    path = tensorflow_like(tmp_path / "model.onnx", words=30522)
    bundle = str(tmp_path / "x.zip")
    made = answered(capsys, "compile", str(path), "--seq-len", "16", "-o", bundle)
    assert made["kernels"] == 7
    assert made["max_abs_error"] < 1e-4
    answer = answered(capsys, "run", bundle, "--text", "A man plays the flute.")
    assert len(answer["embedding"]) == 3


def test_an_onnx_file_of_another_vocabulary(tmp_path, capsys):
    path = tensorflow_like(tmp_path / "model.onnx", words=60)
    message = refused(capsys, "compile", str(path), "--seq-len", "16", "-o", str(tmp_path / "x.zip"))
    assert "put the model's own tokenizer.json or vocab.txt beside it" in message
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "man", "no", "##s"]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    assert reference_model(str(path), seq_len=16).tokenizer.get_vocab_size() == len(words)
