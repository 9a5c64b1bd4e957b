"""Counts of layers, bytes and FLOPs, before and after, are exact."""

import subprocess
import sys

import pytest
from encoders import encoder, export

from compiler.build import report_fusion
from data.errors import CompileError, CompileTimeout, UsageError

S, H, A, F, LAYERS, OUTPUTS = 16, 64, 2, 128, 2, 2
FLOAT = 4


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    return export(encoder(H, A, (F,) * LAYERS, OUTPUTS), tmp_path_factory.mktemp("model"), S).program


@pytest.fixture(scope="module")
def reports(program):
    return {fusion: report_fusion(program, fusion) for fusion in ("lp", "none")}


def hidden_states(count: int) -> int:
    return count * S * H * FLOAT


def test_layers_of_computation_as_canao_counts_them(reports):
    """Nine compute-intensive a layer: six matmuls on weights, two on activations, softmax. Mean pooling is a matmul, and the head."""
    layers = reports["lp"]["layers_before"]
    operators = reports["lp"]["operators_before"]
    assert layers["compute_intensive"] == 9 * LAYERS + 2
    assert operators["matmul"] == 8 * LAYERS + 2
    assert operators["nn.softmax"] == operators["erf"] == LAYERS
    assert operators["sqrt"] == 2 * LAYERS + 1, "LayerNorms"
    assert layers["total"] == sum(operators.values()) == layers["compute_intensive"] + layers["memory_intensive"]
    assert reports["none"]["layers_before"] == layers


def test_five_kernels_a_layer_and_two(reports):
    report = reports["lp"]
    assert report["kernels_after"] == len(report["blocks"]) == 5 * LAYERS + 2
    assert not {"transpose", "permute_dims", "reshape"} & {block["name"].rstrip("0123456789") for block in report["blocks"]}


def test_bytes_of_a_layer(reports):
    """Before: 15 tensors of hidden states for Q, K, V with their transposes, 4 score matrices, and so on; after, ten."""
    blocks = {block["name"]: block for block in reports["lp"]["blocks"]}
    scores = S * S * A * FLOAT
    norm = 5 * S * H * FLOAT + 4 * S * FLOAT
    assert blocks["layer2.qkv"]["bytes_before"] == hidden_states(6)
    assert blocks["layer2.qkv"]["bytes_after"] == hidden_states(3)
    assert blocks["layer2.attention"]["bytes_before"] == hidden_states(7 + 3) + 4 * scores
    assert blocks["layer2.attention"]["bytes_after"] == hidden_states(1)
    assert blocks["layer2.attention_output"]["bytes_before"] == hidden_states(3) + norm
    assert blocks["layer2.ffn_up"]["bytes_before"] == 7 * S * F * FLOAT
    assert blocks["layer2.ffn_down"]["bytes_after"] == hidden_states(1)


@pytest.mark.parametrize("fusion", ["lp", "none"])
def test_blocks_add_up_to_the_program(reports, fusion):
    report = reports[fusion]
    blocks = report["blocks"]
    cancelled = report["layers_cancelled"]
    named = sum(len(block["members"]) for block in blocks)
    shared = named - (report["layers_before"]["total"] - cancelled)
    assert shared == {"lp": 5, "none": 1}[fusion], (
        "the mask's layers in the second attention; its cast in both of pooling's tables"
    )
    assert sum(block["bytes_after"] for block in blocks) / 1e6 == pytest.approx(report["ir_mb_after"])
    assert sum(block["bytes_before"] for block in blocks) / 1e6 <= report["ir_mb_before"]
    for when in ("before", "after"):
        assert sum(block[f"flops_{when}"] for block in blocks) == report[f"flops_{when}"]
    assert cancelled <= 2


def test_flops_are_those_of_the_matmuls(reports):
    layer = 2 * S * (4 * H * H + 2 * H * F) + 4 * S * S * H
    total = LAYERS * layer + 2 * S * H + 2 * H * OUTPUTS
    assert reports["lp"]["flops_before"] == reports["lp"]["flops_after"] == total


def test_without_fusion_every_layer_is_a_kernel(reports):
    """But for reshapes, which move nothing, and the mask, which is tabulated in both."""
    report = reports["none"]
    names = [block["name"].rstrip("0123456789") for block in report["blocks"]]
    assert names.count("matmul") == 8 * LAYERS + 1, "the head's among them; the pooling's is a token_sum"
    assert names.count("softmax") == names.count("erf") == LAYERS
    assert names.count("transpose") == 4 * LAYERS
    assert names.count("sqrt") == 2 * LAYERS + 1
    assert "reshape" not in names
    assert all(set(block["members"]) <= {"reshape", "permute_dims"} for block in report["blocks"] if block["name"].startswith("transpose"))  # fmt: skip


def test_every_block_says_why(reports):
    for block in reports["lp"]["blocks"]:
        assert block["rule"] or block["law"], block["name"]
    laws = " ".join(block["law"] for block in reports["lp"]["blocks"])
    assert {"associative", "distributive", "commutative"} <= {word.strip(":;") for word in laws.split()}


def test_projected_embeddings_fold_their_affine(tmp_path):
    """The one LayerNorm of a BERT-like encoder that no residual reads."""
    request = export(encoder(H, A, (F,), OUTPUTS, embedding_size=24), tmp_path, S)
    blocks = report_fusion(request.program)["blocks"]
    assert [block["name"] for block in blocks[:2]] == ["embedding", "projection"]
    assert "associative: LayerNorm's affine" in blocks[1]["law"]


@pytest.mark.parametrize(
    ("fusion", "limits", "error"),
    [
        ("some", {}, UsageError),
        ("lp", {"timeout_s": 0.001}, CompileTimeout),
        ("lp", {"memory_mb": 20}, CompileError),
    ],
)
def test_limits_and_wrong_use(program, fusion, limits, error, monkeypatch):
    monkeypatch.setattr("compiler.build.POLL_S", 0.001)  # a report takes a tenth of a second where everything is imported
    with pytest.raises(error):
        report_fusion(program, fusion, **limits)


def test_a_missing_program(tmp_path):
    with pytest.raises(CompileError, match="does not exist"):
        report_fusion(tmp_path / "none.pt2")


def test_the_choices_are_the_pipelines():
    """`compiler.build` spells them out, as it imports no pass."""
    code = "from compiler.build import FUSIONS; from compiler.passes import PIPELINES; assert set(FUSIONS) == set(PIPELINES)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("fusion", ["lp", "none"])
def test_the_graph_before_fusion_has_every_layer_once_after_what_it_reads(reports, fusion):
    report = reports[fusion]
    graph = report["graph"]
    assert all(source < place for place, each in enumerate(graph) for source in each["inputs"])
    assert sum(not each["blocks"] for each in graph) <= report["layers_cancelled"]
    assert len(graph) == report["layers_before"]["total"] - (
        report["layers_cancelled"] - sum(not each["blocks"] for each in graph)
    )
    for number, block in enumerate(report["blocks"]):
        assert sorted(block["members"]) == sorted(each["operator"] for each in graph if number in each["blocks"])


def test_a_layer_is_wired_as_bert_is(reports):
    """Softmax reads the masked scores; the residual's sum reads a bias and what the layer was given."""
    report = reports["lp"]
    graph, names = report["graph"], [block["name"] for block in report["blocks"]]
    inside = [each for each in graph if each["blocks"] == [names.index("layer1.attention")]]
    softmax = next(each for each in inside if each["operator"] == "nn.softmax")
    assert [graph[source]["operator"] for source in softmax["inputs"]] == ["add"]
    output = [each for each in graph if each["blocks"] == [names.index("layer1.attention_output")]]
    residual = next(each for each in output if each["operator"] == "add" and len(each["inputs"]) == 2)
    given = {names[number] for source in residual["inputs"] for number in graph[source]["blocks"]}
    assert given == {"layer1.attention_output", "embedding"}
    blocks = {block["name"]: [names[number] for number in block["inputs"]] for block in report["blocks"]}
    assert blocks["layer1.qkv"] == ["embedding"]
    assert blocks["layer1.attention_output"] == ["layer1.attention", "embedding"]
    assert blocks["readout"] == ["layer2.ffn_down"]
