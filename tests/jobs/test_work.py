"""The work itself, against the engine and the compiler: a measurement that fails is tried again, a bundle is packed once."""

import dataclasses
import json
import zipfile
from pathlib import Path

import pytest
from runs import SETTINGS, begin
from tokenizers import Tokenizer

from compiler.build import BuildRequest, Built
from compiler.measure import Latency
from data.artifacts import Artifacts
from data.errors import Cancelled, DeviceLost, MeasureError
from data.store import Command, Store
from engine.architecture import Architecture
from engine.search import fields_of_architecture
from engine.settings import Settings
from engine.teacher import model_folder, read_tokenizer
from jobs import work
from jobs.work import Job, compile_candidate, make_bundle, measure_candidate, prepare

ARCHITECTURE = Architecture.parse("L2-H384-A12-F768")
LATENCY = Latency(median_ms=3.0, p10_ms=2.9, p90_ms=3.2, runs=100, source="measured", threads=2, cv=0.01)


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def job(store: Store, state_folder: Path, said: list[str]):
    """Makes a job of one kind on trial 1."""
    run_id = begin(store)

    def make(kind: str, should_stop=lambda: False, **payload) -> Job:
        command = Command(
            f"{run_id}.1.{kind}", run_id, 1, kind, {"architecture": fields_of_architecture(ARCHITECTURE), **payload}
        )
        return Job(store, SETTINGS, command, lambda message, *_: said.append(message), should_stop)

    return make


@pytest.fixture
def built(tmp_path: Path) -> Path:
    folder = tmp_path / "built"
    folder.mkdir()
    for name in ("model.so", "bench", "weights.bin", "plan.json", "pocketformer.h"):
        (folder / name).write_bytes(name.encode())
    return folder


def measuring(monkeypatch: pytest.MonkeyPatch, *answers: Latency | MeasureError) -> list:
    """The device answers one after the other; the calls so far."""
    calls: list = []

    def measure(folder, device, threads, should_stop, tokens=None):
        calls.append(folder)
        answer = answers[len(calls) - 1]
        if isinstance(answer, MeasureError):
            raise answer
        return answer

    monkeypatch.setattr("compiler.measure.measure", measure)
    monkeypatch.setattr(work, "MEASURE_PAUSE_S", 0.01)
    return calls


def test_prepare_reads_the_task_and_the_teacher(job):
    result = prepare(job("prepare"))
    assert result["task"] == "paraphrase"
    assert (result["teacher"]["hidden_size"], len(result["teacher"]["ffn_sizes"])) == (384, 6)
    json.dumps(result)


def test_a_measurement_is_kept(job, store: Store, built: Path, monkeypatch: pytest.MonkeyPatch):
    measuring(monkeypatch, LATENCY)
    result = measure_candidate(job("measure", folder=str(built)))
    assert (result["latency_ms"], result["p10_ms"], result["source"]) == (3.0, 2.9, "measured")
    (kept,) = store.measurements(architecture=str(ARCHITECTURE))
    assert (kept.median_ms, kept.device, kept.seq_len, kept.trial) == (3.0, "host", 128, 1)


def test_an_unstable_measurement_is_tried_again(job, built: Path, said: list[str], monkeypatch: pytest.MonkeyPatch):
    measuring(monkeypatch, MeasureError("latency is unstable"), LATENCY)
    assert measure_candidate(job("measure", folder=str(built)))["latency_ms"] == 3.0
    assert any("trying again" in line and "latency is unstable" in line for line in said)


def test_a_measurement_that_stays_unstable_fails(job, built: Path, monkeypatch: pytest.MonkeyPatch):
    calls = measuring(monkeypatch, *[MeasureError("latency is unstable")] * 3)
    with pytest.raises(MeasureError, match="unstable"):
        measure_candidate(job("measure", folder=str(built)))
    assert len(calls) == 3


def test_a_phone_that_is_away_is_waited_for_longer(job, built: Path, said: list[str], monkeypatch: pytest.MonkeyPatch):
    measuring(monkeypatch, *[DeviceLost("no phone is connected")] * 5, LATENCY)
    assert measure_candidate(job("measure", folder=str(built)))["latency_ms"] == 3.0
    assert sum("no phone is connected" in line for line in said) == 5


def test_a_phone_that_stays_away_is_a_failure(job, built: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(work, "DEVICE_AWAY_S", -1.0)
    measuring(monkeypatch, DeviceLost("no phone is connected"))
    with pytest.raises(MeasureError, match="no phone is connected"):
        measure_candidate(job("measure", folder=str(built)))


def test_waiting_to_measure_ends_when_it_is_no_longer_wanted(job, built: Path, monkeypatch: pytest.MonkeyPatch):
    measuring(monkeypatch, MeasureError("latency is unstable"))
    with pytest.raises(Cancelled):
        measure_candidate(job("measure", should_stop=lambda: True, folder=str(built)))


PHONE = dataclasses.replace(SETTINGS, device="galaxy-s20", latency="predicted", latency_ms=60.0)


def test_prepare_says_what_predictions_rest_on(job, said: list[str]):
    prepare(for_phone(job("prepare")))
    assert any("Latency: not calibrated" in line for line in said)


def test_prepare_says_for_which_device_latency_is_predicted(job, said: list[str]):
    several = dataclasses.replace(SETTINGS, latency="measured", also={"galaxy-s20": 60.0}, predicted=("galaxy-s20",))
    prepare(for_phone(job("prepare"), several))
    assert next(line for line in said if line.startswith("Latency")).startswith("Latency on galaxy-s20: not calibrated")


def test_each_device_has_a_folder_of_its_own(job):
    folders = {job("compile", device=device).folder for device in ("host", "galaxy-s20")}
    assert {folder.name for folder in folders} == {"host", "galaxy-s20"}
    assert {folder.parent for folder in folders} == {job("train").folder}


def for_phone(job: Job, settings: Settings = PHONE) -> Job:
    return dataclasses.replace(job, settings=settings)


def test_a_predicted_latency_needs_no_program_and_is_kept_as_what_it_is(job, store: Store):
    result = measure_candidate(for_phone(job("measure", folder=None)))
    assert result["source"] == "predicted"
    assert result["low_ms"] < result["latency_ms"] < result["high_ms"]
    json.dumps(result)
    (kept,) = store.measurements(architecture=str(ARCHITECTURE), device="galaxy-s20")
    assert (kept.source, kept.runs, kept.median_ms) == ("predicted", 0, result["latency_ms"])
    assert (kept.p10_ms, kept.p90_ms) == (result["low_ms"], result["high_ms"])


def test_a_candidate_is_compiled_in_the_background(job, built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Of its training, which runs beside it; what ships is not, as everything waits for that."""
    asked: list[BuildRequest] = []
    facts = {"seq_lens": [128], "kernels": 12, "compile_s": 1.0, "max_abs_error": 1e-6, "kernels_compiled": 3}

    def build(request: BuildRequest, folder: Path, should_stop) -> Built:
        asked.append(request)
        return Built(folder=built, **facts, blocks=[])

    def export(architecture, settings, weights, out: Path) -> BuildRequest:
        out.mkdir()
        return BuildRequest(out / "program.pt2", out / "samples.npz")

    monkeypatch.setattr("compiler.build.build", build)
    monkeypatch.setattr("engine.candidates.export_candidate", export)
    assert compile_candidate(job("compile"))["kernels"] == 12
    folder = job("bundle").folder
    folder.mkdir(parents=True, exist_ok=True)
    work._build(job("bundle"), tmp_path / "weights.safetensors", folder / "built")
    assert [request.background for request in asked] == [True, False]
    assert not list(folder.iterdir())


@pytest.fixture
def bundle_job(job, built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    """A bundle of weights that exist, with a compiler that is done at once."""
    weights = tmp_path / "final.safetensors"
    weights.write_bytes(b"weights")
    final = {"accuracy": 0.8, "metrics": {"f1": 0.8}, "weights_sha256": Artifacts().put(weights, "w", "weights")}
    facts = {"seq_lens": [32, 64, 128], "kernels": 12, "compile_s": 1.0, "max_abs_error": 1e-6, "kernels_compiled": 3}
    answer = Built(folder=built, **facts, blocks=[])
    monkeypatch.setattr(work, "_build", lambda job, given, folder: answer)
    return job("bundle", final=final, early_accuracy=0.7)


def test_a_bundle_says_what_it_is_and_is_packed_once(
    bundle_job: Job, built: Path, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    scored: list[Path] = []
    monkeypatch.setattr("engine.candidates.score_compiled", lambda folder, *_: scored.append(folder) or {"f1": 0.79})
    unstable = MeasureError("latency is unstable")
    calls = measuring(monkeypatch, LATENCY, unstable, Latency(**{**vars(LATENCY), "median_ms": 1.6}))
    result = make_bundle(bundle_job)
    assert make_bundle(bundle_job) == result
    assert len(calls) == 3
    assert scored == [built]
    assert result["accuracy"] == 0.79
    (kept,) = store.artifacts(bundle_job.command.run_id)
    assert (kept.sha256, kept.name, kept.kind) == (result["sha256"], result["name"], "bundle")
    assert kept.name == "pocketformer-paraphrase-L2-H384-A12-F768-host@3.00ms.zip"
    with zipfile.ZipFile(Artifacts().get(kept.sha256, tmp_path / "b.zip")) as bundle:
        model = json.loads(bundle.read("model.json"))
        packed = Tokenizer.from_str(bundle.read("tokenizer/tokenizer.json").decode())
    original = read_tokenizer(model_folder("minilm"), "minilm")
    assert packed.encode("A phone fits.", "It does.").ids == original.encode("A phone fits.", "It does.").ids
    assert model["task"]["label_names"] == ["different", "paraphrase"]
    assert model["task"]["pairs"] is True
    assert (model["seq_len"], model["seq_lens"]) == (128, [32, 64, 128])
    assert model["latency"]["median_ms"] == 3.0
    assert [(each["seq_len"], each["median_ms"]) for each in model["latency_by_length"]] == [(64, 1.6), (128, 3.0)]
    assert model["accuracy"] == {
        "split": "dev",
        "compiled_for": "host",
        "precision": "fp32",
        "metrics": {"f1": 0.79},
        "before_compilation": {"f1": 0.8},
        "seeds": {},
        "early": 0.7,
    }


def test_a_bundle_for_a_phone_that_is_not_here(bundle_job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """It is scored as compiled for this machine; its latency says everywhere that it is predicted."""
    asked = []
    built = work._build(bundle_job, None, tmp_path)
    monkeypatch.setattr(work, "_build", lambda job, weights, folder, device=None: asked.append(device) or built)
    monkeypatch.setattr(
        "engine.candidates.score_compiled", lambda folder, settings, stop, device: asked.append(device) or {"f1": 0.79}
    )
    result = make_bundle(for_phone(bundle_job))
    assert asked == [None, "host", "host"]  # compiled for the phone and for this machine, which answers
    assert result["name"].startswith("pocketformer-paraphrase-L2-H384-A12-F768-galaxy-s20@")
    assert result["name"].endswith("ms-predicted.zip")
    with zipfile.ZipFile(Artifacts().get(result["sha256"], tmp_path / "b.zip")) as bundle:
        model = json.loads(bundle.read("model.json"))
        readme = bundle.read("README.md").decode()
    assert model["latency"]["source"] == "predicted"
    assert model["latency"]["low_ms"] < model["latency"]["median_ms"] < model["latency"]["high_ms"]
    by_length = model["latency_by_length"]
    assert [each["seq_len"] for each in by_length] == [32, 64, 128]
    assert {each["source"] for each in by_length} == {"predicted"}
    assert by_length[0]["median_ms"] < by_length[2]["median_ms"]
    assert (model["accuracy"]["compiled_for"], model["accuracy"]["precision"]) == ("host", "fp32")
    assert "ms (predicted, batch 1" in readme
    assert "90 % interval" in readme
    assert "adb push bench" in readme


def test_a_bundle_over_the_limit_is_not_packed(bundle_job: Job, store: Store, monkeypatch: pytest.MonkeyPatch):
    measuring(monkeypatch, Latency(**{**vars(LATENCY), "median_ms": 4.6}))
    result = make_bundle(bundle_job)
    assert result["latency"]["latency_ms"] == 4.6
    assert "name" not in result
    assert store.artifacts(bundle_job.command.run_id) == []
