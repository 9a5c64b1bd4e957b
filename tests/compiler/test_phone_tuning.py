"""Kernels' tiles tried on a phone over a real adb."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from app.cli import main
from benchmarks.phone_double import coming_back
from compiler import cache
from compiler.build import build
from data.errors import CompileError

DEVICE = "phone-double"


@pytest.fixture(autouse=True)
def _no_kernels_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    kept = Path(os.environ["POCKETFORMER_HOME"]) / "cache" / "zig"
    (tmp_path / "home" / "cache").mkdir(parents=True)
    (tmp_path / "home" / "cache" / "zig").symlink_to(kept)
    monkeypatch.setenv("POCKETFORMER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("POCKETFORMER_EMULATED", "1")


@pytest.fixture
def request_(request_of, phone):
    """A tiny model for the phone, to be tuned on it."""
    return replace(request_of(count=6), device=DEVICE, tune=True)


def programs_run(phone) -> int:
    return sum(line.startswith("run ") for line in phone.log)


def tried() -> list[dict]:
    facts = [json.loads(path.read_text()) for path in cache._folder().glob(f"*/{cache.FACTS}")]
    assert facts
    return facts


def test_tiles_are_the_fastest_that_the_phone_ran_and_are_kept(phone, request_, tmp_path):
    first = build(request_, tmp_path / "first")
    calls = json.loads((first.folder / "plan.json").read_text())["calls"]
    assert all(call["time_us"] > 0 for call in calls)
    for facts in tried():
        times_us = [each["time_us"] for each in facts["tried"]]
        assert facts["time_us"] == min(times_us)
    assert max(len(facts["tried"]) for facts in tried()) == 2  # POCKETFORMER_TILES of these tests
    ran = programs_run(phone)
    assert ran >= 1
    again = build(request_, tmp_path / "again")
    assert again.kernels_compiled == 0
    assert programs_run(phone) == ran
    assert (again.folder / "bench").read_bytes() == (first.folder / "bench").read_bytes()


def test_without_it_cost_models_choose_and_the_phone_is_not_asked(phone, request_, tmp_path):
    folder = build(replace(request_, tune=False), tmp_path / "model").folder
    assert all(call["time_us"] is None for call in json.loads((folder / "plan.json").read_text())["calls"])
    assert not phone.log


def test_int8_is_tuned_in_the_instructions_that_the_phone_has(phone, request_, tmp_path):
    """The double says that it has dot products, but no matrix products."""
    build(replace(request_, precision="int8"), tmp_path / "model")
    kinds = {(facts["kind"], facts["time_us"] is not None) for facts in tried()}
    assert {("linear_int8", True), ("linear_int8", False)} <= kinds


def test_a_phone_that_comes_back_goes_on(phone, request_, tmp_path):
    phone.unplug()
    phone.plug_in(dies_at="run")
    with coming_back(phone, ""):
        assert build(request_, tmp_path / "model").kernels_compiled > 0


def test_a_phone_that_is_not_there(phone, request_, tmp_path):
    phone.unplug()
    with pytest.raises(CompileError, match="no phone is connected; plug it in"):
        build(request_, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_the_command(phone, request_, tmp_path, capsys):
    assert main(["compile", "L1-H64-A1-F64", "--tune", "-o", str(tmp_path / "b.zip")]) == 2
    assert "--tune is for a connected phone: on host, kernels' tiles are always tried" in capsys.readouterr().err
    phone.unplug()
    assert main(["compile", "L1-H64-A1-F64", "--device", DEVICE, "--tune", "-o", str(tmp_path / "b.zip")]) == 1
    assert "no phone is connected" in capsys.readouterr().err
