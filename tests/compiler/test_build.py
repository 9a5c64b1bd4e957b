"""A build makes a whole folder or none, and every way it can fail is one clear error."""

import os
import signal
import threading
import time
from dataclasses import replace

import numpy as np
import psutil
import pytest

from compiler.build import build
from data.errors import Cancelled, CompileError, CompileTimeout, UsageError


@pytest.fixture(scope="module")
def request_(request_of):
    return request_of()


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
    with pytest.raises(CompileTimeout, match=r"longer than 0\.5 s"):
        build(request_, tmp_path / "out" / "model", timeout_s=0.5)
    assert is_clean(tmp_path / "out" / "model")


def test_a_memory_limit(request_, tmp_path):
    with pytest.raises(CompileError, match=r"more than the 50 MB allowed"):
        build(request_, tmp_path / "out" / "model", memory_mb=50)
    assert is_clean(tmp_path / "out" / "model")


def test_a_crash_of_the_compiler(request_, tmp_path):
    def crash() -> None:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            for child in psutil.Process().children():
                if "compiler.worker" in " ".join(child.cmdline()):
                    child.send_signal(signal.SIGSEGV)
                    return
            time.sleep(0.05)

    killer = threading.Thread(target=crash)
    killer.start()
    with pytest.raises(CompileError, match=r"crashed \(SIGSEGV\)") as caught:
        build(request_, tmp_path / "out" / "model")
    killer.join()
    assert "\n" not in str(caught.value)
    assert is_clean(tmp_path / "out" / "model")


def test_a_cancelled_build_leaves_no_process_and_no_folder(request_, tmp_path):
    started = time.monotonic()
    with pytest.raises(Cancelled):
        build(request_, tmp_path / "out" / "model", should_stop=lambda: time.monotonic() > started + 0.5)
    assert not [child for child in psutil.Process().children() if "compiler.worker" in " ".join(child.cmdline())]
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
