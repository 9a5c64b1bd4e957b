"""What each kind of command does: one engine or compiler function, its files, and a result that is JSON.

Every function may be carried out again after a crash, on the same or on another machine: it finds finished parts (a built
folder, a training checkpoint, a cached trunk) or makes them anew.
"""

import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from data.errors import Cancelled, DeviceLost, MeasureError
from data.home import subfolder
from data.store import ArtifactRef, Command, Measurement, Store
from data.tasks import short_name
from engine.architecture import Architecture
from engine.search import architecture_of_fields, fields_of_architecture
from engine.settings import PREDICTED, Settings

if TYPE_CHECKING:
    from compiler.build import Built
    from compiler.measure import Latency
    from data.tasks import Task

# What else runs on a machine comes and goes; a candidate that may be trained already is worth a second look.
MEASURE_TRIES = 3
MEASURE_PAUSE_S = 20.0
DEVICE_AWAY_S = 600.0  # that a phone may be unplugged for, as while the best candidate was trained for hours


@dataclass(frozen=True)
class Job:
    """One command with what its work needs. `progress(message, fraction, data)` goes to the user's log."""

    store: Store
    settings: Settings
    command: Command
    progress: Callable[..., None]
    should_stop: Callable[[], bool]

    @property
    def architecture(self) -> Architecture:
        return architecture_of_fields(self.command.payload["architecture"])

    @property
    def folder(self) -> Path:
        """Where this trial's files lie; what is made for one device, in a folder of its own there."""
        device = self.command.payload.get("device")
        return subfolder("runs", self.command.run_id, str(self.command.trial or 0), *([] if device is None else [device]))

    @property
    def title(self) -> str:
        return f"Trial {self.command.trial}"


Work = Callable[[Job], dict[str, Any]]


def prepare(job: Job) -> dict[str, Any]:
    """Reads task and teacher, so that what is wrong with them is known before the first trial; the teacher's architecture."""
    from data.tasks import load_task
    from engine.logits_teacher import LogitsTeacher
    from engine.teacher import load_teacher

    job.progress(f"Reading task {job.settings.task}")
    task = load_task(job.settings.task)
    job.progress(f"Reading teacher {job.settings.teacher}")
    teacher = load_teacher(job.settings.teacher)
    if job.settings.logits_teacher:
        job.progress(f"Reading logits teacher {job.settings.logits_teacher}")
        LogitsTeacher.of(job.settings.logits_teacher, task)
    for device in filter(job.settings.is_predicted, job.settings.limits):
        basis = _prediction(replace(job, settings=job.settings.on(device)), teacher.architecture, job.settings.seq_len)["basis"]
        job.progress(f"Latency{f' on {device}' if job.settings.also else ''}: {basis}")
    return {"task": task.name, "teacher": fields_of_architecture(teacher.architecture)}


def compile_candidate(job: Job) -> dict[str, Any]:
    """Builds the candidate with weights of no meaning: its latency is the same."""
    built = _build(job, None, job.folder / "built")
    return {"folder": str(built.folder), **_facts(built)}


def measure_candidate(job: Job) -> dict[str, Any]:
    """Times the candidate on the device, or predicts it; builds it first where another machine has compiled it."""
    if job.settings.latency == PREDICTED:
        return _predict(job)
    folder = Path(job.command.payload["folder"])
    if not folder.exists():
        folder = _build(job, None, job.folder / "built").folder
    result = _measure(job, folder)
    shutil.rmtree(folder, ignore_errors=True)  # as large as the model's weights, and a search has many candidates
    return result


def train_candidate(job: Job) -> dict[str, Any]:
    """The candidate's early-stage accuracy. Its weights are not kept: the best candidate is distilled further, then trained anew."""
    result = _train(job, "early")
    Path(result["weights"]).unlink()
    return result


def train_to_the_end(job: Job) -> dict[str, Any]:
    """The best candidate's final accuracy, and its weights as an artifact, for whichever machine compiles them."""
    from data.artifacts import Artifacts
    from engine.candidates import spread

    result = _train(job, "final")
    by_seed = result.pop("metrics_by_seed")
    result["seeds"] = {name: spread([each[name] for each in by_seed]) for name in result["metrics"]}
    job.progress(f"{job.title}: keeping the trained weights")
    sha256 = Artifacts().put(Path(result.pop("weights")), "weights.safetensors", "weights")
    return {**result, "weights_sha256": sha256}


def make_bundle(job: Job) -> dict[str, Any]:
    """Compiles the trained model, checks it against torch, times it, scores it, and packs it into the file that a user ships. What is made
    for another machine is scored as the same model compiled for this one.

    A model that turns out to be over the limit is not packed: its latency alone is the result.
    """
    from compiler.devices import HOST
    from data.artifacts import Artifacts
    from engine.candidates import score_compiled

    final = job.command.payload["final"]
    kept = job.folder / "bundle.json"
    if kept.exists():  # the worker before this one died after packing: the same bundle again, not a second one
        result = json.loads(kept.read_text(encoding="utf-8"))
    else:
        weights = job.folder / "weights.safetensors"
        Artifacts().get(final["weights_sha256"], weights)
        built = _build(job, weights, job.folder / "bundled")
        latency = _predict(job) if job.settings.latency == PREDICTED else _measure(job, built.folder)
        result = {"latency": latency, **_facts(built)}
        if latency["latency_ms"] > job.settings.latency_ms:
            return result
        job.progress(f"{job.title}: scoring the compiled model on the dev split")
        settings, scored, device = job.settings, built.folder, job.settings.device
        if settings.latency == PREDICTED and device != HOST:
            settings, device = replace(settings, threads=None), HOST
            scored = _build(job, weights, job.folder / "scored", HOST).folder
        metrics = score_compiled(scored, settings, job.should_stop, device)
        result |= {"accuracy": next(iter(metrics.values())), "metrics": metrics}
        path = _pack(job, built, latency, _shorter(job, built), metrics)
        shutil.rmtree(built.folder)
        result |= {"name": path.name, "sha256": Artifacts().put(path, path.name, "bundle"), "size": path.stat().st_size}
        part = kept.with_suffix(".part")
        part.write_text(json.dumps(result), encoding="utf-8")
        part.replace(kept)
    job.store.add_artifact(
        ArtifactRef(result["sha256"], result["name"], "bundle", result["size"], job.command.run_id, job.command.trial)
    )
    return result


def _shorter(job: Job, built: "Built") -> list[dict[str, Any]]:
    """Latencies at all sequence lengths but the longest, as bundles list them."""
    from compiler.measure import measure_lengths

    shorter, settings = built.seq_lens[:-1], job.settings
    if settings.latency == PREDICTED:
        return [{"seq_len": tokens, **_described(_prediction(job, job.architecture, tokens))} for tokens in shorter]
    log = partial(_told, job)
    return measure_lengths(built.folder, shorter, settings.device, settings.threads, job.should_stop, log)


def _pack(
    job: Job, built: "Built", latency: Mapping[str, Any], shorter: Sequence[Mapping[str, Any]], metrics: Mapping[str, float]
) -> Path:
    """The bundle with its description."""
    from compiler.bundle import file_name, write_bundle
    from compiler.devices import HOST, find_device, split_serial
    from data.tasks import load_task
    from engine.candidates import training_facts
    from engine.teacher import model_folder, read_tokenizer

    settings, payload = job.settings, job.command.payload
    task = load_task(settings.task)
    name = short_name(settings.task)
    device = split_serial(settings.device)[0]
    scored_on = HOST if settings.latency == PREDICTED else device
    description = {
        "architecture": str(job.architecture),
        "task": _about_task(task),
        "teacher": settings.teacher,
        "training": training_facts(settings, task),
        "device": device,
        "system": None if device == HOST else find_device(device).system,
        "precision": settings.precision,
        "seq_len": settings.seq_len,
        "seq_lens": built.seq_lens,
        "outputs": task.outputs,
        "latency": _described(latency),
        "latency_by_length": [*shorter, {"seq_len": settings.seq_len, **_described(latency)}],
        "accuracy": {
            "split": "dev",
            "compiled_for": scored_on,
            "precision": _precision_on(scored_on, settings.precision),
            "metrics": metrics,
            "before_compilation": payload["final"]["metrics"],
            "seeds": payload["final"].get("seeds", {}),
            "early": payload["early_accuracy"],
        },
        "fusion": {"kernels": built.kernels, "blocks": built.blocks},
        "max_abs_error": built.max_abs_error,
        "run_id": job.command.run_id,
        "trial": job.command.trial,
    }
    name = file_name(name, str(job.architecture), device, latency["latency_ms"], latency["source"])
    job.progress(f"{job.title}: writing {name}")
    tokenizer = read_tokenizer(model_folder(settings.teacher), settings.teacher)
    return write_bundle(built.folder, job.folder / name, description, tokenizer.to_str())


def _about_task(task: "Task") -> dict[str, Any]:
    """As a bundle describes it. Of a joint task also its parts, each with the outputs that answer it: the first, and the one after the last."""
    about: dict[str, Any] = {
        "name": short_name(task.name),
        "kind": task.kind,
        "pairs": task.text_columns == 2,
        "label_names": list(task.label_names),
        "metric": task.metric,
    }
    if len(task.parts) > 1:
        about["parts"] = [
            {**_about_task(part), "outputs": [columns.start, columns.stop]}
            for part, columns in zip(task.parts, task.columns, strict=True)
        ]
    return about


WORK: Mapping[str, Work] = {
    "prepare": prepare,
    "compile": compile_candidate,
    "measure": measure_candidate,
    "train": train_candidate,
    "final_train": train_to_the_end,
    "bundle": make_bundle,
}


def _train(job: Job, stage: Literal["early", "final"]) -> dict[str, Any]:
    from engine.candidates import evaluate_candidate

    def progress(message: str, fraction: float | None = None, data: Mapping[str, Any] | None = None) -> None:
        job.progress(f"{job.title}: {message}", fraction, data)

    result = evaluate_candidate(
        job.architecture,
        job.settings,
        stage=stage,
        workdir=job.folder / stage,
        progress=progress,
        should_stop=job.should_stop,
    )
    return {**asdict(result), "weights": str(result.weights)}


def _precision_on(device: str, wanted: str) -> str:
    """That, or float32 where the device has not the arithmetic."""
    from compiler.precisions import FP32
    from compiler.targets import precisions_of

    return wanted if wanted in precisions_of(device) else FP32


def _build(job: Job, weights: Path | None, folder: Path, device: str | None = None) -> "Built":
    """Compiles into `folder`, anew: what a worker that died may have left there is of no use. For the run's device; or another, in float32
    where that has not the precision."""
    from compiler.build import build
    from compiler.workers import warm_up
    from engine.candidates import UNTRAINED, export_candidate, untrained_candidate

    warm_up(UNTRAINED.partition(":")[0])
    exported = folder.with_name(f"{folder.name}-export")
    if weights is None:
        request = untrained_candidate(job.architecture, job.settings)
    else:
        job.progress(f"{job.title}: exporting {job.architecture} from torch")
        request = export_candidate(job.architecture, job.settings, weights, exported)
    shutil.rmtree(folder, ignore_errors=True)
    place = device or request.device
    request = replace(request, device=place, precision=_precision_on(place, request.precision), background=weights is None)
    job.progress(f"{job.title}: compiling {job.architecture} for {request.device}")
    built = build(request, folder, should_stop=job.should_stop)
    shutil.rmtree(exported, ignore_errors=True)
    return built


def _measure(job: Job, folder: Path) -> dict[str, Any]:
    from compiler.devices import HOST, split_serial
    from compiler.measure import EMULATED, measure
    from compiler.phone.choose import where

    settings = job.settings
    tries_left, patient_until = MEASURE_TRIES, time.monotonic() + DEVICE_AWAY_S
    while True:
        try:
            place = "" if settings.device == HOST else where(settings.device)
            job.progress(f"{job.title}: {f'timing it on {place}' if place else 'waiting for quiet cores, then timing it'}")
            latency: Latency = measure(folder, settings.device, settings.threads, should_stop=job.should_stop)
            break
        except MeasureError as error:
            is_away = isinstance(error, DeviceLost)
            tries_left -= not is_away
            if not tries_left or (is_away and time.monotonic() > patient_until):
                raise
            job.progress(f"{job.title}: trying again in {MEASURE_PAUSE_S:.0f} s, as {error}")
            _wait(MEASURE_PAUSE_S, job.should_stop)
    if latency.source != EMULATED:  # which is no latency: the store takes none
        job.store.add_measurement(
            Measurement(
                architecture=str(job.architecture),
                device=split_serial(settings.device)[0],
                precision=settings.precision,
                threads=latency.threads,
                seq_len=settings.seq_len,
                median_ms=latency.median_ms,
                p10_ms=latency.p10_ms,
                p90_ms=latency.p90_ms,
                runs=latency.runs,
                source=latency.source,
                run_id=job.command.run_id,
                trial=job.command.trial,
            )
        )
    facts = asdict(latency)
    return _with_energy(job, {"latency_ms": facts.pop("median_ms"), **facts})


def _predict(job: Job) -> dict[str, Any]:
    settings = job.settings
    found = _prediction(job, job.architecture, settings.seq_len)
    job.store.add_measurement(
        Measurement(
            architecture=str(job.architecture),
            device=settings.device,
            precision=settings.precision,
            threads=found["threads"],
            seq_len=settings.seq_len,
            median_ms=found["latency_ms"],
            p10_ms=found["low_ms"],
            p90_ms=found["high_ms"],
            runs=0,
            source=found["source"],
            run_id=job.command.run_id,
            trial=job.command.trial,
        )
    )
    return _with_energy(job, found)


def _with_energy(job: Job, latency: dict[str, Any]) -> dict[str, Any]:
    from engine.constraints import energy_of

    return latency | energy_of(latency, job.settings.device, job.settings.threads, job.settings.precision)


def _prediction(job: Job, architecture: Architecture, seq_len: int) -> dict[str, Any]:
    """The fields of `engine.prediction.predict.Prediction`."""
    from engine.prediction.predict import predict

    settings = job.settings
    return asdict(predict(architecture, settings.device, settings.threads, precision=settings.precision, seq_len=seq_len))


def _described(latency: Mapping[str, Any]) -> dict[str, Any]:
    """As bundles name it."""
    return {"median_ms": latency["latency_ms"], **{name: value for name, value in latency.items() if name != "latency_ms"}}


def _told(job: Job, step: str) -> None:
    job.progress(f"{job.title}: {step}")


def _wait(seconds: float, should_stop: Callable[[], bool]) -> None:
    """Raises Cancelled when the work is no longer wanted."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if should_stop():
            raise Cancelled("stopped while waiting to measure")
        time.sleep(0.2)


def _facts(built: "Built") -> dict[str, Any]:
    return {name: value for name, value in asdict(built).items() if name != "folder"}
