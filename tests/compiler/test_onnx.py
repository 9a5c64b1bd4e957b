"""ONNX files of several exporters and opsets become the same blocks, and bad files are one clear error each."""

import os
import warnings

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from compiler.build import BuildRequest, build
from compiler.evaluate import evaluate
from compiler.graph import CONSTANT, INPUT
from compiler.onnx.file import LARGEST_BYTES
from compiler.onnx.program import import_onnx
from compiler.passes import fuse_layers
from data.errors import CompileError, ModelError

SEQ_LEN, WORDS, HIDDEN = 16, 50, 32
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


NAMES = ("input_ids", "attention_mask", "token_type_ids")
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


def tensorflow_like(path, opset=13, operator=None, inputs=NAMES, axes=("batch", "sequence"), words=WORDS):
    """An encoder layer as TensorFlow's converter writes it: rows without a batch axis, LayerNorm by moments and a reciprocal root,
    segments by a one-hot product, GELU by tanh and powers, the mask by subtraction, the first token by a slice."""
    random = np.random.default_rng(0)
    weights, nodes, count = [], [], iter(range(10_000))

    def w(*shape, scale=0.1):
        return k((random.standard_normal(shape) * scale).astype(np.float32))

    def k(array):
        name = f"w{next(count)}"
        weights.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def n(op, *operands, **attributes):
        name = f"t{next(count)}"
        nodes.append(helper.make_node(op, list(operands), [name], **attributes))
        return name

    def norm(x):
        mean = n("ReduceMean", x, axes=[-1], keepdims=1)
        away = n("Sub", x, mean)
        variance = n("ReduceMean", n("Mul", away, away), axes=[-1], keepdims=1)
        inverse = n("Reciprocal", n("Sqrt", n("Add", variance, k(np.float32(1e-12)))))
        factor = n("Mul", inverse, w(HIDDEN))
        return n("Add", n("Mul", x, factor), n("Sub", w(HIDDEN), n("Mul", mean, factor)))

    def dense(x, depth, width):
        return n("Add", n("MatMul", x, w(depth, width)), w(width))

    def gelu(x):
        cubed = n("Mul", k(np.float32(0.044715)), n("Pow", x, k(np.float32(3))))
        inner = n("Tanh", n("Mul", k(np.float32(0.7978845608)), n("Add", x, cubed)))
        return n("Mul", x, n("Mul", k(np.float32(0.5)), n("Add", k(np.float32(1)), inner)))

    flat = k(np.array([-1, HIDDEN]))
    heads = k(np.array([1, -1, 2, HIDDEN // 2]))
    rows = n("Reshape", n("Gather", w(words, HIDDEN), inputs[0]), flat)
    ids = n("Reshape", inputs[2], k(np.array([-1])))
    one_hot = n("OneHot", ids, k(np.array(2)), k(np.array([0, 1], np.float32)), axis=-1)
    length = n("Gather", n("Shape", inputs[0]), k(np.array([1])))
    positions = n("Slice", w(40, HIDDEN), k(np.array([0])), length, k(np.array([0])))
    x = norm(n("Add", n("Add", rows, n("MatMul", one_hot, w(2, HIDDEN))), positions))
    masked = n("Cast", n("Unsqueeze", inputs[1], k(np.array([1, 2]))), to=TensorProto.FLOAT)
    masked = n("Mul", n("Sub", k(np.float32(1)), masked), k(np.float32(-10000)))
    query, key, value = (
        n("Transpose", n("Reshape", dense(x, HIDDEN, HIDDEN), heads), perm=perm)
        for perm in ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3])
    )
    scores = n("Add", n("Mul", n("MatMul", query, key), k(np.float32(0.25))), masked)
    context = n("Transpose", n("MatMul", n("Softmax", scores, axis=-1), value), perm=[0, 2, 1, 3])
    x = norm(n("Add", dense(n("Reshape", context, flat), HIDDEN, HIDDEN), x))
    if operator:
        x = n(operator, x)
    x = norm(n("Add", dense(gelu(dense(x, HIDDEN, 64)), 64, HIDDEN), x))
    whole = n("Reshape", x, k(np.array([1, -1, HIDDEN])))
    first = n("Slice", whole, k(np.array([0])), k(np.array([1])), k(np.array([1])))
    answer = n("Tanh", dense(n("Squeeze", first, k(np.array([1]))), HIDDEN, 3))
    nodes[-1].output[0] = "scores"
    assert answer
    graph = helper.make_graph(
        nodes,
        "tensorflow",
        [helper.make_tensor_value_info(name, TensorProto.INT64, list(axes)) for name in inputs],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, None)],
        weights,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8), str(path))
    return path


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


def broken(path, kind):
    """A file that cannot be compiled, in one of the ways that files are."""
    if kind == "corrupted":
        content = tensorflow_like(path).read_bytes()
        path.write_bytes(content[: len(content) // 2])
    elif kind == "no model":
        path.write_bytes(b"")
    elif kind == "huge":
        with path.open("wb") as file:
            file.truncate(3_000_000_000)
    elif kind == "unknown operator":
        tensorflow_like(path, operator="Softsign")
    elif kind == "old opset":
        tensorflow_like(path, opset=12)
    elif kind == "unknown input":
        tensorflow_like(path, inputs=("input_ids", "attention_mask", "pixels"))
    elif kind == "three axes":
        tensorflow_like(path, axes=("batch", "sequence", "more"))
    elif kind == "other length":
        tensorflow_like(path, axes=(1, 64))
    elif kind == "batch of 4":
        tensorflow_like(path, axes=(4, "sequence"))
    return path


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
