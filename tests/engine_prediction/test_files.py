"""CSV files of measurements and architectures, the table of published figures, and what is measured within a budget."""

import csv
import json

import pytest

from app.cli import main
from compiler.build import Built
from compiler.devices import device_names
from data.errors import MeasureError, UsageError
from engine.architecture import PRESETS, architecture_of
from engine.prediction.measured import read_architectures, read_measured
from engine.prediction.measuring import probes
from engine.prediction.published import published, published_for

HEADER = "cluster,threads,hidden,batch,seq_len,intermediate,heads,layers,total_ms,max_dev_pct"


def test_sizes_or_architectures(tmp_path):
    sizes, written = tmp_path / "sizes.csv", tmp_path / "written.csv"
    sizes.write_text(f"{HEADER}\nlittle,2,384,1,64,1536,12,6,33.5,0.1\n")
    written.write_text("\ufeffarchitecture,ms,cluster,threads,seq_len\nminilm-l6,33.5,little,2,64\n")
    assert read_measured(sizes, "hikey-970") == read_measured(written, "hikey-970")
    (found,) = read_measured(sizes, "hikey-970", "none")
    assert (found.latency_ms, found.machine.target, found.machine.threads, found.fusion) == (33.5, "little", 2, "none")
    assert len(found.works) > 200


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            f"{HEADER}\nbig,1,384,1,64,1536,12,6,33.5,0\nbig,1,384,1,64,1536,12,6,none,0\n",
            "line 3: total_ms is 'none'; give milli",
        ),
        (f"{HEADER}\nbig,1,384,1,64,1536,12,6,-1,0\n", "line 2: total_ms is '-1'"),
        (f"{HEADER}\nbig,1,384,1,64,1536,7,6,3,0\n", "line 2: .*hidden size 384 is not a multiple of 7 heads"),
        (f"{HEADER}\nbig,1,,1,64,1536,12,6,3,0\n", "line 2: hidden is ''; give a whole number above 0"),
        (f"{HEADER}\nbig,9,384,1,64,1536,12,6,3,0\n", "line 2: hikey-970 has 4 cores for 'big'"),
        (f"{HEADER}\nmiddle,1,384,1,64,1536,12,6,3,0\n", "line 2: unknown cluster 'middle'"),
        (f"{HEADER}\n", "has no rows"),
        ("architecture,total_ms\nnope,3\n", "line 2: unknown model 'nope'"),
        ("architecture,total_ms,fusion\nminilm-l6,3,some\n", "line 2: fusion 'some' is none of lp, none"),
        ("architecture\nminilm-l6\n", "has no column total_ms or latency_ms or ms"),
        ("total_ms\n3\n", "neither a column architecture nor layers, hidden, heads, intermediate"),
    ],
)
def test_a_bad_file_is_one_line_with_its_place(tmp_path, content, message):
    path = tmp_path / "measured.csv"
    path.write_text(content)
    with pytest.raises(UsageError, match=message) as raised:
        read_measured(path, "hikey-970")
    assert "\n" not in str(raised.value)


def test_a_file_that_is_missing_or_not_text(tmp_path):
    with pytest.raises(UsageError, match="cannot be read as CSV"):
        read_measured(tmp_path / "nothing.csv", "hikey-970")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00\x80" * 9)
    with pytest.raises(UsageError, match="cannot be read as CSV"):
        read_architectures(tmp_path / "binary.csv")


def test_architectures_with_lengths(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("architecture,seq_len\nminilm-l6,\nL2-H128-A2-F512,64\n")
    names = [(name, model, seq_len) for name, model, seq_len in read_architectures(path)]
    assert names == [
        ("minilm-l6", PRESETS["minilm-l6"], 128),
        ("L2-H128-A2-F512", architecture_of("L2-H128-A2-F512"), 64),
    ]


def test_published_figures_are_of_devices_that_there_are():
    assert {each.device for each in published()} <= set(device_names())
    assert all(each.source and each.latency_ms > 0 for each in published())


def test_published_figures_agree_with_the_papers_other_table():
    from benchmarks.fusion import TABLE_4

    with TABLE_4.open(newline="") as file:
        for row in csv.DictReader(file):
            figures = {(each.engine, each.target, each.fusion): each for each in published() if each.model == row["model"]}
            assert figures["CANAO", "all", "lp"].latency_ms == float(row["cpu_ms_fusion"])
            assert figures["CANAO", "gpu", "lp"].latency_ms == float(row["gpu_ms_fusion"])
            assert figures["CANAO", "all", "none"].latency_ms == float(row["cpu_ms_no_fusion"])
            assert figures["CANAO", "gpu", "none"].latency_ms == float(row["gpu_ms_no_fusion"])
            assert figures["TFLite", "all", "none"].latency_ms == float(row["tflite_cpu_ms"])
            assert figures["CANAO", "all", "lp"].architecture.flops() / 1e9 == pytest.approx(float(row["gflops"]), rel=0.03)


def test_published_figures_of_a_model():
    found = published_for("galaxy-s20", PRESETS["bert-base"], 128)
    assert [(each.target, each.latency_ms) for each in found] == [("all", 257.0), ("gpu", 186.0)]
    assert published_for("galaxy-s20", PRESETS["bert-base"], 64) == []
    assert published_for("pixel-8", PRESETS["bert-base"], 128) == []


def test_a_budget_measures_different_architectures():
    every = probes(40)
    assert len(set(every)) == 40
    assert probes(3) == every[:3]
    with pytest.raises(UsageError, match="give at most that many"):
        probes(1000)


def test_a_budget_is_compiled_measured_and_fitted(fresh_home, monkeypatch, capsys):
    """With latencies from a formula; one architecture cannot be measured and is left out."""
    from compiler.measure import Latency
    from engine.prediction import measuring

    def measure(folder, device, threads):
        timed.append(folder)
        if len(timed) == 3:
            raise MeasureError("latency is unstable")
        ms = 3.0 * len(timed)
        return Latency(ms, ms, ms, 100, "measured", threads or 1, 0.1)

    timed: list = []
    monkeypatch.setattr(measuring, "export_reference", lambda reference, seq_len, out: (out, out))
    monkeypatch.setattr(measuring, "reference_model", lambda model, seq_len: None)
    monkeypatch.setattr(measuring, "build", lambda request, folder: Built(folder, [], 7, 0.0, 0.0, 0, []))
    monkeypatch.setattr(measuring, "measure", measure)
    assert main(["calibrate", "--device", "host", "--budget", "4", "--threads", "1", "--json"]) == 0
    captured = capsys.readouterr()
    fitted = json.loads(captured.out)["clusters"]["big"]
    assert (fitted["rows"], fitted["families"]) == (3, 3)
    assert "L4-H256-A4-F1024 is left out: latency is unstable" in captured.err
    assert main(["predict", "minilm-l6", "--device", "host", "--threads", "1", "--json"]) == 0
    assert (
        "calibrated on 3 measurements of 3 families (measured by pocketformer)" in json.loads(capsys.readouterr().out)["basis"]
    )
