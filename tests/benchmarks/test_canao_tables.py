"""Table 1 beside ours with every difference explained, Table 4's columns, and predictions beside Tables 3 and 4."""

import json

import pytest

from benchmarks import fusion, layers, predicted
from data.errors import UsageError


def command(module, monkeypatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", [module.__name__, *arguments])
    with pytest.raises(SystemExit) as ended:
        module.main()
    return int(ended.value.code or 0)


def test_table_1(monkeypatch, tmp_path, capsys):
    out = tmp_path / "layers.json"
    assert command(layers, monkeypatch, "--models", "tinybert-4", "--json", str(out)) == 0
    (row,) = json.loads(out.read_text())["rows"]
    assert (row["paper_compute_intensive"], row["paper_memory_intensive"], row["paper_total"]) == (37, 399, 436)
    assert row["compute_intensive"] == 37
    assert row["compute_intensive"] + row["memory_intensive"] == row["total"]
    assert row["kernels"] == 5 * 4 + 2
    assert row["ir_mb_after"] < row["ir_mb"] / 4
    assert [why.split()[0] for why in row["why"]] == ["compute-intensive", "memory-intensive", "intermediate"]
    assert "a block has 94 layers there, 51 here" in row["why"][1]
    assert "436" in capsys.readouterr().out


def test_the_papers_counts_are_accounted_for():
    """Blocks of 94 layers leave the 44 around BERT's blocks that the paper's Table 2 has for 12, 7 and 6 blocks alike."""
    assert [total - blocks * sum(layers.ONNX_BERT_BLOCK) for total, blocks in ((1172, 12), (702, 7), (608, 6))] == [44] * 3
    distilbert = int(layers.paper_row("DistilBERT")["total_layers"])
    assert distilbert - 6 * sum(layers.ONNX_BLOCKS["distilbert"]) == 41, "BERT's without a pooler's three"


def test_layers_of_a_block():
    blocks = [
        ("embedding", 3),
        ("layer1.qkv", 6),
        ("layer1.attention", 9),
        ("layer2.qkv", 6),
        ("layer2.attention", 9),
        ("readout", 2),
    ]
    report = {
        "blocks": [{"name": name, "members": ["add"] * members} for name, members in blocks],
        "layers_before": {"total": 34},
        "layers_cancelled": 1,
    }
    assert layers.layers_of_a_block(report) == 13, "two of attention's nine are the mask, which the second one does again"


def test_a_preset_that_is_absent_is_said_to_be(monkeypatch):
    monkeypatch.setitem(layers.PAPER_NAMES, "nosuch", "BERT-base")
    assert "nosuch: no such preset in this version" in layers.render([], ["nosuch"])


def test_a_model_that_the_paper_lacks(monkeypatch, capsys):
    assert command(layers, monkeypatch, "--models", "minilm-l6") == 2
    assert "not in CANAO's Table 1" in capsys.readouterr().err


def test_table_4(monkeypatch, tmp_path, capsys):
    for limit in ("UNSTABLE_SPREAD", "MOST_WAITED"):  # other work may run beside the tests
        monkeypatch.setattr(f"compiler.measure.{limit}", float("inf"))
    out = tmp_path / "fusion.json"
    sizes = ("--seq-len", "16", "--rounds", "2", "--runs", "100", "--threads", "1,2")
    assert command(fusion, monkeypatch, "--models", "L1-H64-A1-F64", *sizes, "--json", str(out)) == 0
    rows = json.loads(out.read_text())["rows"]
    assert [row["threads"] for row in rows] == [1, 2]
    for row in rows:
        assert row["lp_kernels"] == 7 < row["none_kernels"]
        assert row["gain"] == pytest.approx(row["none_ms"] / row["lp_ms"])
        assert len(row["none_rounds_ms"]) == len(row["lp_rounds_ms"]) == 2
        assert row["paper_gain"] is None
    assert "geometric mean of the gains" in capsys.readouterr().out


def test_the_papers_gain():
    assert fusion.paper_gain("bert-base") == pytest.approx(276 / 196)
    assert fusion.paper_gain("minilm-l6") is None


@pytest.mark.parametrize("option", [("--models", "nosuch"), ("--threads", "many"), ("--rounds", "0")])
def test_wrong_use(monkeypatch, capsys, option):
    assert command(fusion, monkeypatch, *option) == UsageError.exit_status
    assert capsys.readouterr().err.startswith("fusion: ")


def test_predictions_beside_tables_3_and_4(monkeypatch, tmp_path, capsys):
    out = tmp_path / "predicted.json"
    assert command(predicted, monkeypatch, "--json", str(out)) == 0
    report = json.loads(out.read_text())
    assert len(report["rows"]) == 20
    for row in report["rows"]:
        assert row["in_fit"] == ("Table 3" in row["source"] and row["fusion"] == "lp" and "with NAS" not in row["model"])
        assert (row["held_out"] is None) == (row["fusion"] == "none")
        assert row["low"] < row["published"] * 3
    for each in report["summary"]:
        assert each["leave_one_out_error"] < 0.35
        assert each["leave_one_out_rank"] > 0.8
        assert each["uncalibrated_rank"] > 0.9
        assert each["inside"] >= each["figures"] - 1
    assert "fitted" in (printed := capsys.readouterr().out)
    assert "held out" in printed


def test_predictions_held_out_from_measurements(monkeypatch, tmp_path, capsys):
    path, out = tmp_path / "measured.csv", tmp_path / "predicted.json"
    rows = [
        f"L{layers}-H{64 * heads}-A{heads}-F{ratio * heads * 64},{layers * heads**2 * (8 + ratio) * slowness:.1f},{cluster},1"
        for layers in (1, 4)
        for heads in (4, 5, 6, 7, 8, 10)
        for ratio in (2, 4)
        for cluster, slowness in (("big", 0.3), ("little", 0.9))
    ]
    path.write_text("\n".join(["architecture,ms,cluster,threads", *rows]))
    words = ("--measured", str(path), "--device", "hikey-970", "--fusion", "lp", "--json", str(out))
    assert command(predicted, monkeypatch, *words) == 0
    found = {each["what"]: each for each in json.loads(out.read_text())["measured"]}
    half = next(each for what, each in found.items() if what.startswith("big, by half"))
    assert half["median_error"] < 0.2 < found["big, not calibrated"]["median_error"]
    assert half["coverage"] > 0.8
    assert half["interval_factor"] < found["big, not calibrated"]["interval_factor"]
    assert "little, not calibrated" in capsys.readouterr().out
