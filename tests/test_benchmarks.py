"""The benchmarks' own figures: what they average, what they measure again, and a run on something tiny."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from needs import need_folder, need_program

from app.cli import main
from benchmarks import compile_time, latency
from compiler.emulation import EMULATOR, LIBC, LIBC_PACKAGE, PACKAGE
from engine.architecture import PRESETS, Architecture

ROOT = Path(__file__).resolve().parent.parent
TINY = "L2-H128-A2-F512"


def row(model: str, threads: int, **peers: float) -> dict:
    """A row of the latency report: ours takes 2 ms, the peers so many."""
    figures = {name: {"median": ms, "peak_fraction": 0.5, "ratio": ms / 2} for name, ms in peers.items()}
    ours = {"median": 2.0, "peak_fraction": 0.8}
    return {"model": model, "architecture": model, "threads": threads, "latency_ms": ours, "peers": figures, "failures": {}}


def test_geometric_means_take_the_best_peer_of_each_model():
    rows = [row("a", 1, onnxruntime=4, openvino=3), row("b", 1, onnxruntime=8, openvino=12), row("a", 2, openvino=2)]
    means = latency.geometric_means(rows)
    assert means["1"] == {"best_peer": pytest.approx((1.5 * 4) ** 0.5), "onnxruntime": pytest.approx((2 * 4) ** 0.5)}
    assert means["2"] == {"best_peer": pytest.approx(1.0)}


def test_all_presets_and_table_2_once():
    models = latency.all_models()
    assert len(set(models.values())) == len(models)
    assert set(PRESETS.values()) <= set(models.values())
    written = {str(architecture) for architecture in models.values()}
    assert {"L12-H768-A12-F3072", "L7-H1024-A16-F4096", "L24-H256-A4-F1024"} <= written
    gflop = [
        Architecture.parse(f"L{layers}-H{hidden}-A{heads}-F{4 * hidden}").flops() / 1e9
        for layers, hidden, heads in latency.TABLE_2
    ]
    assert gflop == pytest.approx([22, 22, 10, 11, 8, 9, 5, 5], abs=1.3)  # at 128 tokens, near the paper's levels


def test_a_row_is_done_when_it_has_every_peer_or_says_why_not():
    rows = [row(TINY, 1, onnxruntime=4)]
    architecture = Architecture.parse(TINY)
    assert latency._done(rows, architecture, 1, ("onnxruntime",))
    assert not latency._done(rows, architecture, 2, ("onnxruntime",))
    assert not latency._done(rows, architecture, 1, ("onnxruntime", "openvino"))
    rows[0]["failures"] = {"openvino": "it broke"}
    assert latency._done(rows, architecture, 1, ("onnxruntime", "openvino"))


def test_candidates_of_a_search_differ():
    found = [str(architecture) for architecture in compile_time.candidates(20)]
    assert len(set(found)) == len(found) == 20
    assert len({name.split("-")[0] for name in found}) > 1


def benchmark(name: str, *arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", f"benchmarks.{name}", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=os.environ, timeout=280)


@pytest.mark.alone  # a latency, which is refused where other tests have the cores
def test_latency_of_a_tiny_model_is_kept_and_not_measured_again(tmp_path):
    report = tmp_path / "latency.json"
    words = ("--models", TINY, "--seq-len", "64", "--threads", "1", "--rounds", "1", "--against", "onnxruntime")
    done = benchmark("latency", *words, "--json", str(report))
    assert done.returncode == 0, done.stderr[-2000:]
    kept = json.loads(report.read_text())
    (found,) = kept["rows"]
    assert not found["failures"]
    assert found["latency_ms"]["median"] > 0
    assert 0 < found["latency_ms"]["peak_fraction"] < 1
    assert found["peers"]["onnxruntime"]["ratio"] == found["peers"]["onnxruntime"]["median"] / found["latency_ms"]["median"]
    assert kept["geometric_means"]["1"]["best_peer"] == pytest.approx(found["peers"]["onnxruntime"]["ratio"])
    assert kept["versions"]["onnxruntime"]
    again = benchmark("latency", *words, "--resume", str(report))
    assert again.returncode == 0
    assert json.loads(report.read_text()) == kept
    assert f"{found['latency_ms']['median']:.2f}" in again.stdout


def test_a_report_of_other_settings_is_not_gone_on_with(tmp_path):
    report = tmp_path / "latency.json"
    report.write_text(json.dumps({"rows": [], "processor": "abacus", "seq_len": 128, "precision": "fp32"}))
    done = benchmark("latency", "--models", TINY, "--against", "onnxruntime", "--resume", str(report))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.strip() == f"latency: {report} is of abacus, sequence length 128, fp32; start a file of its own"


def test_texts_go_through_a_phones_bundle(tmp_path):
    need_program(EMULATOR, PACKAGE)
    need_folder(str(LIBC), LIBC_PACKAGE)
    bundle, model = tmp_path / "model.zip", "L1-H32-A2-F64"
    assert main(["compile", model, "--device", "galaxy-s20", "--seq-len", "48", "-o", str(bundle)]) == 0
    words = (str(bundle), "--sentences", "3", "--by-bench", "1", "--cpus", "cortex-a76")
    done = benchmark("texts", *words, "--model", model)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("cortex-a76") == 2
    other = benchmark("texts", *words, "--model", "L1-H32-A2-F32")
    assert other.returncode != 0
    assert "answers differ by" in other.stderr
