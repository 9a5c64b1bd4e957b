"""A model timed and answering on a phone over a real adb, and phones that are unplugged at every stage of it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest

from app.cli import main
from benchmarks.phone_double import STAGES, PhoneDouble, coming_back
from compiler.build import build
from compiler.bundle import write_bundle
from compiler.check import Samples
from compiler.measure import measure
from compiler.phone import choose, files
from compiler.phone.adb import Phone
from compiler.phone.model import PhoneModel
from compiler.phone.running import alone
from data.errors import Cancelled, DeviceLost, MeasureError

DEVICE = "phone-double"
THERMAL = "Thermal Status: 0\nCurrent temperatures from HAL:\n\tTemperature{mValue=43.0, mType=0, mName=CPU0, mStatus=0}\n"
LONG = 100_000  # runs that last until somebody ends them
TIMES = """import sys
from pathlib import Path
from compiler.measure import measure
measure(Path(sys.argv[1]), "phone-double", threads=1, runs=int(sys.argv[2]))
"""


@pytest.fixture(scope="module")
def built(request_of, tmp_path_factory):
    """(samples, folder) of a tiny model for phones."""
    request = request_of(count=6)
    folder = build(replace(request, device="galaxy-s20"), tmp_path_factory.mktemp("phone") / "model").folder
    return Samples.read(request.samples), folder


@pytest.fixture
def model(built) -> Path:
    return built[1]


@pytest.fixture(autouse=True)
def _emulated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POCKETFORMER_EMULATED", "1")


def pushes(phone: PhoneDouble) -> int:
    return sum(line.startswith("push ") for line in phone.log)


def programs(phone: PhoneDouble) -> list[psutil.Process]:
    """Those that run on the phone now."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if words and words[0].startswith("qemu") and any(str(phone.cache) in word for word in words):
            found.append(process)
    return found


def wait_until(condition, timeout_s=30.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_measurement_says_where_it_is_from_and_under_what_conditions(phone, model):
    phone.set_service("thermalservice", THERMAL)
    latency = measure(model, DEVICE, threads=1)
    assert latency.source == "emulated"
    assert latency.threads == 1
    assert latency.p10_ms <= latency.median_ms <= latency.p90_ms
    assert latency.load_ms > 0
    assert latency.peak_memory_mb > 1
    conditions = latency.conditions
    assert conditions.phone == "Pocketformer Double, Android 12"
    assert conditions.cores == (min(os.sched_getaffinity(0)),)
    assert (conditions.temperature_c, conditions.allowed_mhz) == ((43.0, 43.0), (2000, 2000))
    assert any(f"--threads 1 --cores {conditions.cores[0]} --warmup 3" in line for line in phone.log)


def test_files_that_are_on_the_phone_are_not_pushed_again(phone, model, tmp_path):
    measure(model, DEVICE, threads=1)
    assert pushes(phone) == 2
    measure(shutil.copytree(model, tmp_path / "same"), DEVICE, threads=1, tokens=8)
    assert pushes(phone) == 2
    for path in phone.cache.iterdir():  # what an interrupted push of another tool may have left
        path.write_bytes(b"half")
    measure(model, DEVICE, threads=1)
    assert pushes(phone) == 4


def test_a_phone_that_is_no_emulator_is_measured_as_the_protocol_says(phone, model, monkeypatch):
    """As it would be, if the double did not say what it is."""
    real = choose.read_facts
    monkeypatch.setattr(choose, "read_facts", lambda adb: replace(real(adb), is_emulated=False))
    monkeypatch.setattr("compiler.measure.UNSTABLE_SPREAD", float("inf"))
    monkeypatch.setattr("compiler.measure.MOST_WAITED", float("inf"))
    latency = measure(model, DEVICE, threads=1, tokens=8)
    assert latency.runs >= 100
    assert any("--warmup 3" in line and "--runs" not in line for line in phone.log)


def test_a_phone_that_slows_down_while_it_is_timed_is_timed_again(phone, model, monkeypatch):
    monkeypatch.setattr("compiler.phone.heat.COOL_POLL_S", 0.05)
    core = min(os.sched_getaffinity(0))
    real = Phone.shell

    def shell(self, script, *rest, **named):
        output = real(self, script, *rest, **named)
        runs = sum(line.startswith("run ") for line in phone.log)
        phone.set_clock(core, 2000, 1000 if "--weights" in script and runs == 1 else 2000)
        return output

    monkeypatch.setattr(Phone, "shell", shell)
    assert measure(model, DEVICE, threads=1).conditions.allowed_mhz == (2000, 2000)
    assert sum(line.startswith("run ") for line in phone.log) == 2


def test_the_phones_answers_are_torchs(phone, built):
    samples, folder = built
    answers = PhoneModel(folder, DEVICE, threads=1).run(*samples.inputs)
    np.testing.assert_allclose(answers, samples.expected, atol=1e-4)
    assert len(list(phone.cache.iterdir())) == 2  # sentences and answers are gone


def test_what_was_used_last_stays_when_there_is_too_much(phone, tmp_path, monkeypatch):
    monkeypatch.setattr(files, "KEPT_BYTES", 2500)
    paths = [tmp_path / str(number) for number in range(3)]
    for number, path in enumerate(paths):
        path.write_bytes(bytes([number]) * 1000)
    adb = Phone(phone.serial)
    first, second = (Path(files.put(adb, [path])[0]).name for path in paths[:2])
    for name, age_s in ((first, 100), (second, 200)):
        os.utime(phone.cache / name, (time.time() - age_s,) * 2)
    (third,) = (Path(name).name for name in files.put(adb, paths[2:]))
    assert {path.name for path in phone.cache.iterdir()} == {first, third}


def test_what_arrives_damaged_is_not_used(phone, model, monkeypatch):
    (phone.folder / "bin" / "sha256sum").write_text("#!/bin/sh\necho 0000 $1\n")
    (phone.folder / "bin" / "sha256sum").chmod(0o755)
    with pytest.raises(DeviceLost, match="got bench damaged; take another cable, 3 times in a row"):
        measure(model, DEVICE, threads=1)
    assert [path.suffix for path in phone.cache.iterdir()] == [".part"]


def test_a_full_phone(phone, model):
    (phone.folder / "full").touch()
    with pytest.raises(MeasureError, match=r"has no space for \d+ MB more; free some on the phone") as raised:
        measure(model, DEVICE, threads=1)
    assert "\n" not in str(raised.value)


def test_a_model_that_fails_on_the_phone(phone, model, tmp_path):
    odd = shutil.copytree(model, tmp_path / "odd")
    (odd / "weights.bin").write_bytes(b"short")
    with pytest.raises(MeasureError, match=r"the program failed on .*: weights file .* has 5 bytes"):
        measure(odd, DEVICE, threads=1)


def test_more_threads_than_the_phone_has_cores(phone, model):
    with pytest.raises(MeasureError, match=r"1000 threads are more than the \d+ cores"):
        measure(model, DEVICE, threads=1000)


def test_one_measurement_at_a_time(phone, model):
    deadline = time.monotonic() + 0.5
    with alone(Phone("another")), alone(Phone(phone.serial)), pytest.raises(Cancelled):
        measure(model, DEVICE, threads=1, should_stop=lambda: time.monotonic() > deadline)
    assert not phone.log


@pytest.mark.parametrize("stage", STAGES)
def test_a_phone_that_comes_back_is_measured_after_all(phone, model, stage):
    phone.unplug()
    phone.plug_in(dies_at=stage)
    with coming_back(phone, ""):
        assert measure(model, DEVICE, threads=1).source == "emulated"
    assert not programs(phone)


@pytest.mark.parametrize("stage", STAGES)
def test_a_phone_that_stays_away_is_a_clear_failure(phone, model, stage, monkeypatch):
    monkeypatch.setattr("compiler.phone.running.RETURN_S", 0.3)
    phone.unplug()
    phone.plug_in(dies_at=stage)
    with pytest.raises(DeviceLost, match=f"{phone.serial} went away.* did not come back within 0 s; connect it") as raised:
        measure(model, DEVICE, threads=1)
    assert "\n" not in str(raised.value)
    wait_until(lambda: not programs(phone))


def test_a_phone_that_goes_away_each_time_is_given_up(phone, model):
    phone.unplug()
    phone.plug_in(dies_at="run")
    with coming_back(phone, "run", "run"), pytest.raises(DeviceLost, match="3 times in a row; look at the cable"):
        measure(model, DEVICE, threads=1, runs=LONG)


def test_what_is_no_longer_wanted_ends_on_the_phone(phone, model):
    with pytest.raises(Cancelled):
        measure(model, DEVICE, threads=1, runs=LONG, should_stop=lambda: bool(programs(phone)))
    wait_until(lambda: not programs(phone))


def test_the_program_ends_with_the_process_that_started_it(phone, model):
    process = subprocess.Popen([sys.executable, "-c", TIMES, str(model), str(LONG)])
    wait_until(lambda: programs(phone))
    process.send_signal(signal.SIGKILL)
    process.wait()
    wait_until(lambda: not programs(phone), timeout_s=10)


def test_bench_on_a_phone(phone, model, tmp_path, capsys):
    facts = {"architecture": "L1-H64-A2-F128", "system": "android", "precision": "fp32", "seq_len": 16, "outputs": 2}
    bundle = write_bundle(model, tmp_path / "b.zip", {**facts, "device": DEVICE}, "{}")
    words = ["bench", str(bundle), "--device", DEVICE, "--threads", "1"]
    assert main([*words, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["device"], result["latency_source"], result["peak_gflops"]) == (DEVICE, "emulated", None)
    assert result["conditions"]["cores"] == [min(os.sched_getaffinity(0))]
    assert main(words) == 0
    assert "emulated, which says nothing of a phone's latency" in capsys.readouterr().out
    assert main([*words, "--against", "onnxruntime"]) == 2
    assert "--against times other runtimes on this machine alone" in capsys.readouterr().err
    assert main(["bench", str(bundle)]) == 2
    assert f"is compiled for {DEVICE}; take --device {DEVICE}" in capsys.readouterr().err


def test_devices_lists_and_checks_connected_phones(phone, capsys):
    assert main(["devices", "--json"]) == 0
    listed = {each["name"]: each for each in json.loads(capsys.readouterr().out)}
    assert listed["galaxy-s20"]["soc"] == "Snapdragon 865 (SM8250)"
    assert listed[f"{DEVICE}@{phone.serial}"]["hint"] == f"--device {DEVICE}"
    assert main(["devices"]) == 0
    assert "emulator  Pocketformer Double, Android 12" in capsys.readouterr().out
    assert main(["devices", "check", DEVICE]) == 0
    assert "yes: Pocketformer Double, Android 12" in capsys.readouterr().out
    assert main(["devices", "check"]) == 2


def test_latency_of_an_emulator_cannot_be_taken_for_a_phones(phone, model, monkeypatch):
    monkeypatch.delenv("POCKETFORMER_EMULATED")
    with pytest.raises(MeasureError, match="is an emulator, and its time is no latency"):
        measure(model, DEVICE, threads=1)
    assert not phone.log
