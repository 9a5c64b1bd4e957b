"""Other runtimes are held to the protocol: the same model, the same answers, the threads they were given."""

import argparse
import time
from pathlib import Path

import numpy as np
import pytest
from needs import absent

from compiler.measure import Latency
from compiler.peers import PEERS, Exported, Peer, check_peers, installed_peers, measure_peer, prepare_peer
from compiler.peers.worker import check, measured
from compiler.rounds import in_turns, middle
from data.errors import MeasureError, UsageError

SEQ_LEN = 16


@pytest.fixture(scope="module")
def exported(request_of, tmp_path_factory) -> Exported:
    """A tiny encoder in every form."""
    import torch
    from encoders import encoder, sentences

    request = request_of(SEQ_LEN)
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    inputs = sentences(1, SEQ_LEN)
    arguments = tuple(torch.from_numpy(item) for item in inputs.values())
    torch.onnx.export(encoder().eval(), arguments, str(path), input_names=list(inputs), dynamo=True, verbose=False)
    return Exported(request.samples, request.program, path)


@pytest.mark.parametrize("name", PEERS)
def test_a_peer_answers_as_torch_does_and_is_timed(name, exported, tmp_path, monkeypatch):
    if name not in installed_peers(PEERS[name].precision):
        absent(f"{name} is not installed: make peers")
    for limit in ("UNSTABLE_SPREAD", "MOST_WAITED"):
        monkeypatch.setattr(f"compiler.measure.{limit}", float("inf"))
    file = prepare_peer(name, exported, tmp_path)
    latency = measure_peer(name, file, exported.samples, threads=1, runs=20, flops=10**6)
    assert 0 < latency.p10_ms <= latency.median_ms <= latency.p90_ms
    assert (latency.runs, latency.threads, latency.source) == (20, 1, "measured")
    assert latency.gflops == pytest.approx(1 / latency.median_ms)


def test_a_peer_that_computes_in_a_lower_precision_is_noticed(exported, tmp_path):
    with np.load(exported.samples) as arrays:
        changed = dict(arrays)
    exponent_and_seven_bits = np.uint32(0xFFFF0000)
    changed["expected"] = (changed["expected"].view(np.uint32) & exponent_and_seven_bits).view(np.float32)
    np.savez(tmp_path / "bf16.npz", **changed)
    with pytest.raises(MeasureError, match=r"onnxruntime failed: its answer differs .* does not compute in fp32"):
        measure_peer("onnxruntime", exported.onnx, tmp_path / "bf16.npz", threads=1, runs=3)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_an_answer_of_nothing_but_zeros_is_refused(precision, exported):
    with np.load(exported.samples) as arrays:
        zeros = np.zeros_like(arrays["expected"][:1])
    with pytest.raises(SystemExit, match=f"does not compute in {precision}"):
        check(lambda tokens: zeros, exported.samples, precision)


def test_a_peer_that_takes_more_cores_than_threads_is_noticed(exported, monkeypatch):
    with np.load(exported.samples) as arrays:
        row = arrays["attention_mask"].sum(axis=1).argmin()
        expected = arrays["expected"][row : row + 1]

    def busy(tokens):
        until = time.process_time() + 0.01
        while time.process_time() < until:
            pass
        return expected

    options = argparse.Namespace(samples=exported.samples, runs=50, warmup=0, threads=1)
    facts = measured(busy, options, "fp32")
    assert facts["processor_s"] == pytest.approx(0.5, abs=0.15)
    monkeypatch.setattr("compiler.peers.worker.CORES_SLACK", -1.0)  # the one core it takes is one too many
    with pytest.raises(SystemExit, match="cores, though it was given 1 threads"):
        measured(busy, options, "fp32")


def test_an_unknown_peer(exported):
    with pytest.raises(UsageError, match="unknown runtime 'abacus'; take onnxruntime, openvino"):
        measure_peer("abacus", exported.onnx, exported.samples)


def test_a_peer_that_is_not_installed(monkeypatch):
    monkeypatch.setitem(PEERS, "abacus", Peer("abacus", "onnx", (("numpy", "numpy"), ("no_such_module", "no-such-package"))))
    monkeypatch.setitem(PEERS, "slide-rule", Peer("slide_rule", "onnx", (("numpy", "numpy"),), program="no-such-compiler"))
    with pytest.raises(UsageError, match="runtime 'abacus' needs the package no-such-package, which is not installed"):
        check_peers(("onnxruntime", "abacus"))
    with pytest.raises(UsageError, match="runtime 'slide-rule' needs the program no-such-compiler"):
        check_peers(("slide-rule",))
    assert not {"abacus", "slide-rule"} & set(installed_peers())


def test_runtimes_are_compared_with_those_of_their_precision():
    assert "onnxruntime-int8" in installed_peers("int8")
    assert not set(installed_peers("int8")) & set(installed_peers("fp32"))


def test_a_model_in_a_form_that_a_peer_does_not_read(exported, tmp_path):
    with pytest.raises(UsageError, match="runtime 'torch-eager' reads a torch program"):
        prepare_peer("torch-eager", Exported(exported.samples, onnx=exported.onnx), tmp_path)
    with pytest.raises(UsageError, match="runtime 'onnxruntime' reads an ONNX file"):
        prepare_peer("onnxruntime", Exported(exported.samples, program=exported.program), tmp_path)


def test_a_peer_that_cannot_read_the_file(exported, tmp_path):
    (tmp_path / "x.onnx").write_bytes(b"no model")
    with pytest.raises(MeasureError, match=r"onnxruntime failed: \w+: .*x\.onnx") as caught:
        measure_peer("onnxruntime", tmp_path / "x.onnx", exported.samples, threads=1)
    assert "\n" not in str(caught.value)


def latencies(*medians_ms):
    """A timer that answers with these medians, in turn; None fails."""
    answers = iter(medians_ms)

    def timer():
        median_ms = next(answers)
        if median_ms is None:
            raise MeasureError("it broke")
        return Latency(median_ms, median_ms * 0.9, median_ms * 1.1, 100, "measured", 2, 0.1)

    return timer


def test_rounds_alternate_and_their_middle_is_reported():
    heard = []
    taken = in_turns(
        {"ours": latencies(3.0, 1.0, 2.0), "peer": latencies(4.0, 9.0, 5.0)}, 3, lambda *words: heard.append(words)
    )
    assert heard == [(number, name) for number in (1, 2, 3) for name in ("ours", "peer")]
    assert middle(taken["ours"]) == {"median": 2.0, "p10": 1.8, "p90": 2.2}
    assert middle(taken["peer"])["median"] == 5.0


def test_a_failing_peer_leaves_the_rounds_or_ends_them():
    failures: dict[str, str] = {}
    taken = in_turns({"ours": latencies(1.0, 2.0), "peer": latencies(1.0, None)}, 2, lambda *_: None, failures)
    assert len(taken["ours"]) == 2
    assert set(taken) == {"ours"}
    assert failures == {"peer": "it broke"}
    with pytest.raises(MeasureError, match="it broke"):
        in_turns({"peer": latencies(None)}, 1, lambda *_: None)


def test_every_pinned_runtime_is_one_that_can_be_asked_for():
    pinned = (Path(__file__).parents[2] / "benchmarks" / "requirements.txt").read_text()
    for name in ("openvino", "litert", "executorch"):
        assert all(f"\n{package}==" in pinned for _, package in PEERS[name].packages)
