"""The fusion of a real model as the page groups, draws and totals it."""

import json
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import pytest

from app.cli import main
from app.fusion import drawing, groups, reports, totals
from data.errors import ModelError, UsageError
from engine.architecture import Architecture

MODEL = "L3-H64-A2-F128,128,256"
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def report():
    """What `pocketformer fuse` prints of three layers, the last one wider than the others."""
    with pytest.MonkeyPatch.context() as patch:
        printed = []
        patch.setattr("builtins.print", lambda *words, **more: printed.append(words[0]) if not more.get("file") else None)
        assert main(["fuse", MODEL, "--seq-len", "16", "--json"]) == 0
    return json.loads(printed[-1])


def test_layers_that_are_alike_are_one_group(report):
    found = groups.groups_of(report)
    assert [(each.key, each.title, each.repeats) for each in found] == [
        ("embeddings", "Embeddings", 1),
        ("layer1", "Layers 1 to 2, alike", 2),
        ("layer3", "Layer 3", 1),
        ("readout", "Pooling and head", 1),
    ]
    assert sum(each.kernels * each.repeats for each in found) == report["kernels_after"]
    assert sum(each.bytes_after * each.repeats for each in found) / 1e6 == pytest.approx(report["ir_mb_after"])


def drawn(report, opened):
    svg = ElementTree.fromstring(drawing.draw(report, groups.groups_of(report), opened))
    return svg, [text.text for text in svg.iter(f"{SVG}text")]


def test_a_closed_program_is_a_bar_a_group(report):
    svg, texts = drawn(report, set())
    assert len([text for text in texts if "of computation" in text]) == 4
    assert f"{report['kernels_after']} kernels after" in svg.get("aria-label")


def test_an_open_layer_shows_every_operator_and_kernel_and_none_over_another(report):
    svg, texts = drawn(report, {"layer3"})
    layer = next(each for each in groups.groups_of(report) if each.key == "layer3")
    members = [each for each in report["graph"] if each["blocks"][:1] and each["blocks"][0] in layer.blocks]
    nodes = [each for each in svg.iter(f"{SVG}rect") if each.get("rx") == "4"]
    assert len(nodes) == len(members)
    assert {"Q, K, V", "attention", "attention output", "FFN up", "FFN down", "softmax", "erf"} <= set(texts)
    boxes = [tuple(float(each.get(name)) for name in ("x", "y", "width", "height")) for each in nodes]
    for number, (x, y, width, height) in enumerate(boxes):
        assert x >= 0
        assert x + width <= float(svg.get("width"))
        for other_x, other_y, _, _ in boxes[number + 1 :]:
            assert abs(x - other_x) >= width - 0.1 or abs(y - other_y) >= height - 0.1


def test_markup_in_a_model_is_text(report):
    spoiled = {**report, "architecture": "<script>alert(1)</script>"}
    assert "<script>" not in drawing.draw(spoiled, groups.groups_of(spoiled), set())


def test_reasons_are_laws_first(report):
    qkv = next(each for each in report["blocks"] if each["name"] == "layer1.qkv")
    assert groups.reasons(qkv)[0] == "law: distributive"
    assert "pattern: one-to-one" in groups.reasons(qkv)


def test_totals_have_the_papers_columns(report):
    compute, memory, whole, *_ = totals.counts(report)
    assert compute["Before fusion"] + memory["Before fusion"] == whole["Before fusion"] == report["layers_before"]["total"]
    assert whole["After LP-Fusion"] == report["kernels_after"]
    measured = {"lp": {"median": 1.0}, "none": {"median": 3.0}, "threads": 2}
    rows = totals.latencies({**report, "measured": measured}, Architecture.parse(MODEL), ("galaxy-s20",))
    assert (rows[0]["Source"], rows[0]["Times as fast"]) == ("measured here, in turns", 3.0)
    predicted = [row for row in rows if row["Source"] == "predicted"]
    assert [row["Device"].split(",")[1].strip() for row in predicted] == ["fast cores", "GPU"]
    assert all(row["Saved (ms)"] > 0 for row in predicted)


def test_published_latencies_stand_beside_the_papers_models():
    """CANAO's Table 4 has each model with fusion and without, on the CPU and on the GPU."""
    rows = totals.latencies({"seq_len": 128}, Architecture.parse("L12-H768-A12-F2944"), ("galaxy-s20",))
    published = [row for row in rows if row["Source"] == "published: CANAO, Table 4"]
    assert [(row["Unfused (ms)"], row["Fused (ms)"]) for row in published] == [(276, 196), (412, 147)]


@pytest.mark.parametrize("model", ["nosuch", "/etc/passwd", "onnx:../../store.duckdb", "onnx:none.onnx", "onnx:"])
def test_only_presets_architectures_and_uploads_are_subjects(fresh_home, model):
    with pytest.raises(ModelError):
        reports.subject(model, 128)


def test_a_sequence_length_is_checked(fresh_home):
    with pytest.raises(UsageError, match="give 1 to 512"):
        reports.subject("bert-base", 0)


def test_a_report_is_kept_and_measured_times_stay(fresh_home, report):
    asked = reports.subject(MODEL, 16)
    assert reports.report_of(asked) is None
    measured = {**report, "measured": {"threads": 1}}
    reports._keep(asked, measured)
    reports._keep(asked, report)
    assert reports.report_of(asked)["measured"] == {"threads": 1}
    assert reports.report_of(replace(asked, seq_len=24)) is None


def test_an_uploaded_file_is_named_by_its_content(fresh_home):
    name = reports.keep_upload("my model.onnx", b"not onnx")
    assert reports.subject(name, 64).title == "my model.onnx"
    with pytest.raises(ModelError, match=r"is no .onnx file"):
        reports.keep_upload("model.pkl", b"")
