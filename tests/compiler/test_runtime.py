"""The C runtime refuses what would go wrong, and `bench` keeps to its protocol."""

import ctypes
import json
import os
import shutil
import subprocess
import sys
import threading
from itertools import zip_longest

import numpy as np
import pytest

from compiler.measure import MOST_WAITED, Latency, measure, steadiest
from compiler.session import Session
from data.errors import CompileError, MeasureError, UsageError


def tokens(value: int = 1, seq_len: int = 16) -> np.ndarray:
    return np.full((1, seq_len), value)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ((tokens(100), tokens(0), tokens()), "token id 100 at position 0 is outside 0 to 99"),
        ((tokens(-1), tokens(0), tokens()), "token id -1"),
        ((tokens(), tokens(2), tokens()), "token type 2"),
        ((tokens(), tokens(0), tokens(7)), "attention mask 7"),
        ((tokens(seq_len=15), tokens(0), tokens()), r"takes \(n, S\) each, S from 1 to 16 tokens"),
        ((tokens(seq_len=17), tokens(0, 17), tokens(1, 17)), r"\(1, 17\).* S from 1 to 16 tokens"),
        ((tokens()[0], tokens(0)[0], tokens()[0]), r"\(16,\).* takes \(n, S\)"),
    ],
)
def test_inputs_that_the_model_has_no_rows_for(compiled, inputs, message):
    with Session(compiled) as session, pytest.raises(CompileError, match=message):
        session.run(*inputs)


def test_weights_of_another_model_are_refused(compiled, tmp_path):
    copy = shutil.copytree(compiled, tmp_path / "copy")
    weights = bytearray((copy / "weights.bin").read_bytes())
    (copy / "weights.bin").write_bytes(weights[:-64])
    with pytest.raises(CompileError, match="bytes, this model's has"):
        Session(copy)
    weights[10] ^= 1
    (copy / "weights.bin").write_bytes(weights)
    with pytest.raises(CompileError, match="belongs to another model"):
        Session(copy)
    (copy / "weights.bin").unlink()
    with pytest.raises(CompileError, match="cannot open weights file"):
        Session(copy)


def test_a_folder_that_is_no_model(tmp_path):
    with pytest.raises(CompileError, match="holds no compiled model"):
        Session(tmp_path)


def test_a_sentence_does_not_depend_on_the_one_before(compiled):
    random = np.random.default_rng(1)
    ids = random.integers(0, 100, (8, 16))
    mask = (np.arange(16) < random.integers(1, 17, (8, 1))).astype(int)
    with Session(compiled, 2) as session:
        forwards = session.run(ids, ids * 0, mask)
        backwards = session.run(ids[::-1], ids * 0, mask[::-1])[::-1]
    np.testing.assert_array_equal(forwards, backwards)


def test_bench_prints_one_json_object(compiled):
    command = [compiled / "bench", "--weights", compiled / "weights.bin", "--threads", "2", "--runs", "20", "--warmup", "1"]
    facts = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert facts["runs"] == 20
    assert facts["threads"] == 2
    assert facts["seq_len"] == facts["tokens"] == 16
    assert 0 < facts["min_ms"] <= facts["p10_ms"] <= facts["median_ms"] <= facts["p90_ms"]


def test_bench_keeps_to_the_cores_it_is_given(compiled):
    mine = sorted(os.sched_getaffinity(0))
    command = [compiled / "bench", "--weights", compiled / "weights.bin", "--runs", "5", "--cores"]
    for cores in (mine[:1], mine[:1] * 3):  # several threads may share a core
        done = subprocess.run([*command, ",".join(map(str, cores))], capture_output=True, text=True, check=True)
        assert json.loads(done.stdout)["threads"] == len(cores)
    done = subprocess.run([*command, "100000"], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == "one of the 1 cores given is not among those that this process may use\n"


def test_a_pinned_thread_stays_on_its_core(compiled):
    core = max(os.sched_getaffinity(0))
    library = ctypes.CDLL(str(compiled / "model.so"))
    library.pf_load_on.argtypes = [ctypes.c_char_p, ctypes.c_int, ctypes.POINTER(ctypes.c_int)]
    library.pf_load_on.restype = ctypes.c_void_p
    library.pf_free.argtypes = [ctypes.c_void_p]
    allowed: list[set[int]] = []

    def load() -> None:
        before = set(os.listdir("/proc/self/task"))
        model = library.pf_load_on(str(compiled / "weights.bin").encode(), 2, (ctypes.c_int * 2)(core, core))
        workers = set(os.listdir("/proc/self/task")) - before
        allowed.extend(os.sched_getaffinity(thread) for thread in (0, *map(int, workers)))
        library.pf_free(model)

    caller = threading.Thread(target=load)
    caller.start()
    caller.join()
    assert allowed == [{core}] * 2


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--weights"],
        ["--weights", "x", "--threads", "0"],
        ["--weights", "x", "--runs", "1x"],
        ["--odd", "1"],
        ["--weights", "x", "--tokens", "0"],
        ["--weights", "x", "--cores", "0,"],
        ["--weights", "x", "--cores", "0", "--threads", "2"],
    ],
)
def test_bench_wrong_use(compiled, words):
    done = subprocess.run([compiled / "bench", *words], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("usage:")


def test_more_threads_than_work(compiled):
    with Session(compiled) as one, Session(compiled, 16) as many:
        np.testing.assert_array_equal(one.run(tokens(), tokens(0), tokens()), many.run(tokens(), tokens(0), tokens()))


def test_each_kernel_is_timed_where_that_is_asked_for(compiled, monkeypatch):
    monkeypatch.setattr("compiler.measure.UNSTABLE_SPREAD", float("inf"))
    calls = json.loads((compiled / "plan.json").read_text())["calls"]
    latency = measure(compiled, threads=1, runs=30, profile=True)
    assert latency.calls_us is not None
    assert len(latency.calls_us) == len(calls)
    assert 0.3 < sum(latency.calls_us) / 1e3 / latency.median_ms < 1.7  # medians of parts and of the whole
    assert measure(compiled, threads=1, runs=3).calls_us is None


def test_a_measurement(compiled, monkeypatch):
    monkeypatch.setattr("compiler.measure.UNSTABLE_SPREAD", float("inf"))
    latency = measure(compiled, threads=2, runs=30)
    assert latency.p10_ms <= latency.median_ms <= latency.p90_ms
    assert latency.source == "measured"
    assert latency.threads == 2
    assert latency.gflops is not None
    assert latency.load_ms > 0
    assert 0.1 < latency.peak_memory_mb < 100  # not this process's


def attempts(*medians_and_spreads, waited=()):
    """A benchmark that answers with these medians (ms) and spreads, in turn, and with these shares of waiting for the cores."""
    answers = iter(zip_longest(medians_and_spreads, waited, fillvalue=0.0))

    def attempt():
        (median, spread), share = next(answers)
        return Latency(median, median * (1 - spread / 2), median * (1 + spread / 2), 100, "measured", 2, 0.1, waited=share)

    return attempt


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr("compiler.measure.PAUSES_S", (0.0,) * 6)


def test_the_first_steady_attempt_counts(impatient):
    assert steadiest(attempts((9.0, 2.0), (5.0, 0.1), (4.0, 0.1))).median_ms == 5.0


def test_two_lowest_medians_that_agree_count_however_wide_the_spread(impatient):
    assert steadiest(attempts((5.1, 2.0), (9.0, 3.0), (5.0, 1.5))).median_ms == 5.0


def test_medians_that_never_agree_are_an_error(impatient):
    with pytest.raises(MeasureError, match=r"unstable: medians of 1\.00, 2\.00"):
        steadiest(attempts(*((float(2**power), 2.0) for power in range(6))))


def test_an_attempt_while_others_had_the_cores_does_not_count(impatient):
    assert steadiest(attempts((9.0, 0.1), (5.0, 0.1), waited=(0.6,))).median_ms == 5.0


def test_cores_that_others_never_leave_are_an_error(impatient):
    with pytest.raises(MeasureError, match="other programs had the cores 60% of the time"):
        steadiest(attempts(*[(9.0, 0.1)] * 6, waited=(0.5, 0.6, 0.5, 0.5, 0.5, 0.5)))


def test_bench_tells_how_long_it_waited_for_the_cores(compiled):
    """Beside a program that never gives its core away, each has it for half of the time."""
    on_one_core = ["taskset", "--cpu-list", str(min(os.sched_getaffinity(0)))]
    bench = [compiled / "bench", "--weights", compiled / "weights.bin"]
    with subprocess.Popen([*on_one_core, sys.executable, "-c", "while True: pass"]) as rival:
        try:
            done = subprocess.run([*on_one_core, *bench], capture_output=True, check=True)
        finally:
            rival.kill()
    assert json.loads(done.stdout)["waited"] > MOST_WAITED


def test_a_program_that_fails_is_a_measure_error(compiled, tmp_path):
    copy = shutil.copytree(compiled, tmp_path / "copy")
    (copy / "weights.bin").write_bytes(b"short")
    with pytest.raises(MeasureError, match="bench failed: weights file"):
        measure(copy)


def test_an_unknown_device(compiled):
    with pytest.raises(UsageError, match="host"):
        measure(compiled, device="toaster")
