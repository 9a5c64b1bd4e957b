"""A build makes a whole folder or none, and every way it can fail is one clear error."""

import os
import signal
import threading
import time
from contextlib import suppress
from dataclasses import replace

import numpy as np
import psutil
import pytest

from compiler.build import build
from data.errors import Cancelled, CompileError, CompileTimeout, UsageError


@pytest.fixture(scope="module")
def request_(request_of):
    return request_of()


def compiling(owner: int | None = None) -> list[psutil.Process]:
    """Processes below this one, or `owner`, that carry out a job; not the server that forks them."""
    found = []
    for process in psutil.Process(owner).children(recursive=True):
        with suppress(psutil.Error):
            words = " ".join(process.cmdline())
            forked = "compiler.warm_server" in words and "compiler.warm_server" in " ".join(process.parent().cmdline())
            if forked or "compiler.worker" in words:
                found.append(process)
    return found


class WhenCompiling:
    """Does something to a compiling process as soon as there is one; the list that it enters as holds that process."""

    def __init__(self, act):
        self.act, self.seen = act, []
        self.thread = threading.Thread(target=self.watch)

    def watch(self):
        deadline = time.monotonic() + 60
        while not self.seen and time.monotonic() < deadline:
            self.seen += compiling()[:1]
            time.sleep(0.01)
        for process in self.seen:
            self.act(process)

    def __enter__(self):
        self.thread.start()
        return self.seen

    def __exit__(self, *_):
        self.thread.join()


def is_clean(folder) -> bool:
    return not folder.exists() and not list(folder.parent.iterdir())


def test_a_built_folder_is_complete_and_kernels_come_from_the_cache(request_, compiled, tmp_path):
    steps = []
    built = build(request_, tmp_path / "model", log=steps.append)
    assert {path.name for path in built.folder.iterdir()} == {"model.so", "bench", "weights.bin", "plan.json", "pocketformer.h"}
    assert built.kernels_compiled == 0
    assert built.kernels == 7
    assert built.seq_lens == [16]
    assert [block["name"] for block in built.blocks] == [
        "embedding", "layer1.qkv", "layer1.attention", "layer1.attention_output", "layer1.ffn_up", "layer1.ffn_down", "readout",
    ]  # fmt: skip
    assert all(block["bytes_after"] <= block["bytes_before"] for block in built.blocks)
    assert all(block["flops_after"] == block["flops_before"] for block in built.blocks)
    assert steps[0] == "importing the program"
    assert os.listdir(tmp_path) == ["model"]


def test_a_corrupted_program(request_, tmp_path):
    broken = tmp_path / "broken.pt2"
    broken.write_bytes(request_.program.read_bytes()[:1000])
    with pytest.raises(CompileError, match=r"broken\.pt2 is not a torch\.export program"):
        build(replace(request_, program=broken), tmp_path / "out" / "model")
    assert is_clean(tmp_path / "out" / "model")


def test_a_time_limit(request_, tmp_path):
    with pytest.raises(CompileTimeout, match=r"longer than 0\.05 s"):
        build(request_, tmp_path / "out" / "model", timeout_s=0.05)
    assert is_clean(tmp_path / "out" / "model")


def test_a_memory_limit(request_, tmp_path):
    with pytest.raises(CompileError, match=r"more than the 50 MB allowed"):
        build(request_, tmp_path / "out" / "model", memory_mb=50)
    assert is_clean(tmp_path / "out" / "model")


def test_a_crash_of_the_compiler_does_not_hurt_the_next_build(request_, tmp_path):
    with (
        WhenCompiling(lambda job: job.send_signal(signal.SIGSEGV)),
        pytest.raises(CompileError, match=r"crashed \(SIGSEGV\)") as caught,
    ):
        build(request_, tmp_path / "out" / "model")
    assert "\n" not in str(caught.value)
    assert is_clean(tmp_path / "out" / "model")
    assert build(request_, tmp_path / "out" / "model").kernels == 7


def test_a_cancelled_build_leaves_no_process_and_no_folder(request_, tmp_path):
    cancelled = threading.Event()
    with WhenCompiling(lambda _: cancelled.set()) as seen, pytest.raises(Cancelled):
        build(request_, tmp_path / "out" / "model", should_stop=cancelled.is_set)
    assert seen
    assert not any(process.is_running() for process in seen)
    assert not compiling()
    assert is_clean(tmp_path / "out" / "model")


def test_answers_that_differ_from_torch(request_, tmp_path):
    with np.load(request_.samples) as samples:
        arrays = dict(samples)
    wrong = tmp_path / "wrong.npz"
    np.savez(wrong, **{**arrays, "expected": arrays["expected"] + 1})
    with pytest.raises(CompileError, match="differs from torch by 1"):
        build(replace(request_, samples=wrong), tmp_path / "out" / "model")


@pytest.mark.parametrize("change", [{"device": "toaster"}, {"precision": "fp7"}, {"fusion": "some"}])
def test_wrong_use(request_, tmp_path, change):
    with pytest.raises(UsageError, match="take"):
        build(replace(request_, **change), tmp_path / "out" / "model")
