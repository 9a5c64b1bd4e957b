"""ONNX files of several exporters and opsets become the same blocks, and bad files are one clear error each."""

import json
import os
import warnings

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx_files import HIDDEN, NAMES, SEQ_LEN, WORDS, broken, tensorflow_like

from app.cli import main
from compiler.build import BuildRequest, build
from compiler.evaluate import evaluate
from compiler.graph import CONSTANT, INPUT
from compiler.onnx.file import LARGEST_BYTES
from compiler.onnx.program import import_onnx
from compiler.passes import fuse_layers
from data.errors import CompileError, ModelError

LAYER = ["linear", "attention", "linear", "linear", "linear"]


def tokens(names) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    mask = (np.arange(SEQ_LEN) < 11).astype(np.int64)[None]
    every = {"input_ids": random.integers(1, WORDS, (1, SEQ_LEN)) * mask, "attention_mask": mask, "token_type_ids": mask * 0}
    every["token_type_ids"][:, 5:11] = 1
    return {name: every[name] for name in names}


def onnxruntime_answer(path, output) -> np.ndarray:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run([output], tokens([item.name for item in session.get_inputs()]))[0]


def blocks(path) -> list[str]:
    """What a file is fused into, after a check that it still answers as ONNX Runtime does."""
    program = import_onnx(path, SEQ_LEN)
    fused = fuse_layers(program.graph)
    given = tokens(value.name for value in fused.inputs)
    np.testing.assert_allclose(evaluate(fused, given), onnxruntime_answer(path, program.output), atol=1e-5)
    return [value.operator for value in fused.values() if value.operator not in (INPUT, CONSTANT)]


def bert(attention: str, segments: bool = True):
    """A BERT layer with its pooled output, as a module whose inputs the exporters name."""
    import torch
    from transformers import BertConfig, BertModel

    sizes = {"num_hidden_layers": 1, "hidden_size": HIDDEN, "num_attention_heads": 2, "intermediate_size": 64}
    body = BertModel(BertConfig(vocab_size=WORDS, attn_implementation=attention, **sizes)).eval()

    with torch.no_grad():
        for number, parameter in enumerate(body.parameters()):  # equal weights are stored once by an exporter
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(number)) * 0.05)

    class Pooled(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.bert = body

        def forward(self, input_ids, attention_mask, token_type_ids=None):
            named = {"token_type_ids": token_type_ids} if segments else {}
            answer = self.bert(input_ids, attention_mask=attention_mask, **named)
            return answer.last_hidden_state, answer.pooler_output

    return Pooled()


def export(module, path, names, **options):
    import torch

    example = tuple(torch.ones(2, 12, dtype=torch.int64) for _ in names)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        outputs = ["last_hidden_state", "pooler_output"]
        torch.onnx.export(module, example, str(path), input_names=list(names), output_names=outputs, **options)
    return path


DYNAMIC = {name: {0: "batch", 1: "sequence"} for name in NAMES}


@pytest.mark.parametrize(("attention", "opset"), [("eager", 13), ("sdpa", 14), ("sdpa", 17)])
def test_torchscript_exporter(tmp_path, attention, opset):
    options = {"dynamo": False, "opset_version": opset, "dynamic_axes": DYNAMIC}
    path = export(bert(attention), tmp_path / "model.onnx", NAMES, **options)
    assert blocks(path) == ["embedding", *LAYER, "readout"]


def test_a_model_without_segments(tmp_path):
    options = {"dynamo": False, "opset_version": 17, "dynamic_axes": {name: DYNAMIC[name] for name in NAMES[:2]}}
    path = export(bert("sdpa", segments=False), tmp_path / "model.onnx", NAMES[:2], **options)
    assert blocks(path) == ["embedding", *LAYER, "readout"]


def test_dynamo_exporter_with_external_data(tmp_path):
    import torch

    batch, sequence = torch.export.Dim("batch"), torch.export.Dim("sequence")
    shapes = tuple({0: batch, 1: sequence} for _ in NAMES)
    options = {"dynamo": True, "opset_version": 20, "dynamic_shapes": shapes, "external_data": True, "verbose": False}
    path = export(bert("sdpa"), tmp_path / "model.onnx", NAMES, **options)
    assert (tmp_path / "model.onnx.data").is_file()
    assert blocks(path) == ["embedding", *LAYER, "readout"]
    program = import_onnx(path, SEQ_LEN)
    assert program.layers == 1
    assert program.parameters == sum(parameter.numel() for parameter in bert("sdpa").parameters())
    (tmp_path / "model.onnx.data").write_bytes((tmp_path / "model.onnx.data").read_bytes()[:1000])
    with pytest.raises(ModelError, match="is damaged"):
        import_onnx(path, SEQ_LEN)


def test_tensorflow_like_graph(tmp_path):
    assert blocks(tensorflow_like(tmp_path / "model.onnx")) == ["embedding", *LAYER, "readout"]


def test_a_compiled_onnx_file_answers_as_onnxruntime(tmp_path):
    from dataclasses import asdict

    from engine.export import Reference, export_reference
    from engine.onnx_model import OnnxModel
    from engine.teacher import model_folder, read_tokenizer

    path = tensorflow_like(tmp_path / "model.onnx", words=30522)
    reference = Reference("tf", OnnxModel(path), None, read_tokenizer(model_folder("minilm"), "minilm"))
    exported = export_reference(reference, SEQ_LEN, tmp_path / "export")
    built = build(BuildRequest(*exported, tolerance=1e-4, seq_len=SEQ_LEN), tmp_path / "model")
    assert asdict(built)["kernels"] == 7


def test_hidden_states_are_an_answer_too(tmp_path):
    """An encoder's file without a pooled output answers with all hidden states, (1, S, H), one after the other."""
    path = tensorflow_like(tmp_path / "model.onnx")
    model = onnx.load(str(path))
    whole = next(node.output[0] for node in reversed(model.graph.node) if node.op_type == "Reshape")
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info(whole, TensorProto.FLOAT, None))
    onnx.save(model, str(path))
    assert blocks(path) == ["embedding", *LAYER]


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing", "there is no file"),
        ("corrupted", "is not a whole ONNX file"),
        ("no model", "it has no outputs"),
        ("huge", r"holds 3\.0 GB"),
        ("unknown operator", "operators that are not supported: Softsign"),
        ("old opset", "has opset 12; export it with one from 13 to 21"),
        ("unknown input", "asks for an input 'pixels'"),
        ("three axes", "has 3 axes, so batch and sequence cannot be fixed"),
        ("other length", "give --seq-len 64"),
        ("batch of 4", "batch axis fixed to 4"),
    ],
)
def test_bad_files(tmp_path, kind, message):
    with pytest.raises((ModelError, CompileError), match=message) as caught:
        import_onnx(broken(tmp_path / "model.onnx", kind), SEQ_LEN)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_status in (1, 2)


def test_more_tokens_than_positions(tmp_path):
    with pytest.raises(CompileError, match="does not work out at sequence length 64"):
        import_onnx(tensorflow_like(tmp_path / "model.onnx"), 64)


def external(path, location, length=None):
    """A model whose first weight is said to lie elsewhere."""
    model = onnx.load(str(tensorflow_like(path)))
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, "length": length}.items():
        if value is not None:
            tensor.external_data.add(key=key, value=str(value))
    onnx.save(model, str(path))
    return path


@pytest.mark.parametrize("location", ["../secrets", "/etc/passwd", ""])
def test_external_data_outside_the_folder(tmp_path, location):
    (tmp_path / "secrets").write_bytes(b"x" * 100_000)
    (tmp_path / "folder").mkdir()
    with pytest.raises(ModelError, match="outside the model's folder"):
        import_onnx(external(tmp_path / "folder" / "model.onnx", location), SEQ_LEN)


def test_external_data_that_are_missing_or_huge(tmp_path):
    path = external(tmp_path / "model.onnx", "weights.bin")
    with pytest.raises(ModelError, match=r"weights\.bin, which is not beside it"):
        import_onnx(path, SEQ_LEN)
    (tmp_path / "weights.bin").touch()
    os.truncate(tmp_path / "weights.bin", LARGEST_BYTES + 1_000_000)
    with pytest.raises(ModelError, match=r"holds 2\.1 GB"):
        import_onnx(path, SEQ_LEN)


def test_its_latency_is_predicted_from_the_compilers_kernels(tmp_path, capsys, fresh_home):
    path = tmp_path / "model.onnx"
    tensorflow_like(path)
    assert main(["predict", str(path), "--device", "pixel-8", "--seq-len", str(SEQ_LEN), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["kernels"] == len(blocks(path))
    assert 0 < found["low"] < found["latency_ms"] < found["high"]
