"""Runs in every state that the page must show, written into a store through its own functions: what a search would leave."""

import hashlib
import math
import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from data.records import Command, Note, Trial
from data.store import Store
from engine.architecture import Architecture
from engine.settings import Settings

TARGET_MS = 5.0
SIZES = (
    "L3-H384-A12-F1536",
    "L4-H384-A12-F1536",
    "L6-H384-A12-F1536",
    "L4-H384-A12-F1536,1152,768,768",
    "L4-H320-A10-F1024,768,512,512",
    "L4-H256-A8-F1024,1024,512,512",
    "L4-H384-A12-F768",
    "L4-H384-A12-F1152,768,768,384",
)
LATENCIES_MS = (3.42, 4.71, 7.05, 4.18, 3.11, 2.24, 3.78, 3.66)
LOST = dict.fromkeys(("latency_ms", "latency_p10_ms", "latency_p90_ms", "latency_source", "accuracy", "reward"))
ACCURACIES = (0.731, 0.772, None, 0.768, 0.664, 0.581, 0.741, 0.752)


def trial(run_id: str, number: int, **values: object) -> Trial:
    """A finished trial: over the target when its latency is, else trained; `values` replace what is made up."""
    architecture = Architecture.parse(SIZES[(number - 1) % len(SIZES)])
    latency_ms = LATENCIES_MS[(number - 1) % len(SIZES)]
    accuracy = ACCURACIES[(number - 1) % len(SIZES)]
    over = latency_ms > TARGET_MS
    made = Trial(
        run_id,
        number,
        phase=1 if number <= 3 else 2,
        architecture=str(architecture),
        status="over_limit" if over else "trained",
        latency_ms=latency_ms,
        latency_p10_ms=round(latency_ms * 0.96, 3),
        latency_p90_ms=round(latency_ms * 1.09, 3),
        latency_source="measured",
        accuracy=None if over else accuracy,
        reward=(TARGET_MS - latency_ms) / TARGET_MS - 1 if over else (accuracy or 0) - 0.7 + latency_ms / TARGET_MS,
        reason=f"{latency_ms:.2f} ms is over the limit of {TARGET_MS:g} ms: not trained" if over else None,
        parameters=architecture.parameters(),
        flops=architecture.flops(),
        finished_at=datetime.now(UTC),
    )
    return replace(made, **values)  # type: ignore[arg-type]


def begin(store: Store, run_id: str, **settings: object) -> str:
    store.create_run(run_id, Settings.from_dict({"task": "stsb", "latency_ms": TARGET_MS} | settings).to_dict(), {})
    return run_id


def step(
    store: Store,
    run_id: str,
    status: str = "running",
    trials: Sequence[Trial] = (),
    said: Sequence[Note] = (),
    error: str | None = None,
    commands: Sequence[Command] = (),
) -> None:
    version = store.run(run_id).state_version
    assert store.commit_step(
        run_id, version, state={}, status=status, error=error, trials=trials, commands=commands, events=said
    )


def policy_of(number: int) -> dict[str, object]:
    """What the log has after a trial: phase 1 decides on the depth, phase 2 on the sizes of four layers; ever surer of the last option."""
    kinds = [("depth", (3, 4, 6))] if number <= 3 else [("hidden", (256, 320, 384)), *[("ffn", (384, 768, 1152, 1536))] * 4]
    decisions = []
    for kind, options in kinds:
        weights = [1.0] * (len(options) - 1) + [1.0 + number]
        probabilities = [weight / sum(weights) for weight in weights]
        decisions.append(
            {"kind": kind, "options": list(options), "probabilities": probabilities, "chosen": number % len(options)}
        )
    entropy = -sum(each * math.log(each) for decision in decisions for each in decision["probabilities"])
    return {
        "entropy": entropy,
        "largest_entropy": sum(math.log(len(options)) for _, options in kinds),
        "decisions": decisions,
    }


def log_of(trials: Sequence[Trial]) -> list[Note]:
    notes = [Note(f"Search for 'stsb' on host within {TARGET_MS:g} ms: 8 trials, teacher minilm, strategy reinforce, seed 0")]
    for each in trials:
        notes.append(Note(f"Trial {each.trial}: {each.architecture}", each.trial))
        notes.append(Note(f"Trial {each.trial}: compiled into 24 kernels in 6.3 s", each.trial))
        if each.reason:
            notes.append(Note(f"Trial {each.trial}: {each.reason}", each.trial, "error" if each.status == "failed" else "info"))
        elif each.accuracy is not None:
            notes.append(Note(f"Trial {each.trial}: early accuracy {each.accuracy:.3f}", each.trial))
        if each.reward is not None:
            data = {"policy": policy_of(each.trial)}
            notes.append(Note(f"Trial {each.trial}: reward {each.reward:+.3f}", each.trial, data=data))
    return notes


def done(store: Store, run_id: str = "20261121-090000-done", bundle: bytes = b"PK bundle") -> str:
    """Eight trials, one over the target, one failed, the best trained to the end and in a bundle.

    The bundle is put into the artifacts too.
    """
    begin(store, run_id)
    trials = [trial(run_id, number) for number in range(1, 9)]
    trials[1] = replace(trials[1], final_accuracy=0.781)
    reason = "compilation passed 300 s and was stopped"
    trials[4] = replace(trials[4], status="failed", reason=reason, **LOST)
    compiled = {
        "kernels": 24, "kernels_compiled": 3, "compile_s": 6.31, "max_abs_error": 4.1e-6,
        "blocks": [
            {"name": "qkv", "members": ["matmul", "matmul", "matmul", "add"], "rule": "", "law": "distributive", "bytes_before": 786432, "bytes_after": 589824},
            {"name": "ffn_up", "members": ["matmul", "add", "gelu"], "rule": "one-to-one", "law": "", "bytes_before": 2359296, "bytes_after": 786432},
        ],
    }  # fmt: skip
    command = Command(f"{run_id}.2.compile", run_id, 2, "compile")
    assert store.commit_step(run_id, 0, state={}, trials=trials, commands=[command], events=log_of(trials))
    store.claim(command.command_id, "tests")
    store.finish(command.command_id, "tests", compiled)
    add_bundle(store, run_id, 2, bundle)
    step(store, run_id, "done", said=[Note(f"Done: {trials[1].architecture}, 4.71 ms, accuracy 0.781", 2)])
    return run_id


def add_bundle(store: Store, run_id: str, number: int, content: bytes) -> str:
    """A bundle artifact of a trial; its name."""
    import tempfile
    from pathlib import Path

    from data.artifacts import Artifacts
    from data.records import ArtifactRef

    name = f"pocketformer-stsb-{SIZES[number - 1]}-host@4.71ms.zip"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        sha256 = Artifacts().put(path, name, "bundle")
    assert sha256 == hashlib.sha256(content).hexdigest()
    store.add_artifact(ArtifactRef(sha256, name, "bundle", len(content), run_id, number))
    return name


def live(store: Store, run_id: str = "20261121-091000-live") -> str:
    """Four trials over, the fifth compiled and in training, the sixth not yet."""
    begin(store, run_id)
    trials = [trial(run_id, number) for number in range(1, 5)]
    trials.append(trial(run_id, 5, status="running", accuracy=None, reward=None, finished_at=None))
    step(store, run_id, trials=trials, said=log_of(trials), commands=[Command(f"{run_id}.5.train", run_id, 5, "train")])
    store.claim(f"{run_id}.5.train", "tests")
    for fraction in (0.12, 0.43):
        store.log(run_id, f"Trial 5: fine-tuning, step {fraction:.0%}", trial=5, data={"kind": "train", "fraction": fraction})
    return run_id


def fresh(store: Store, run_id: str = "20261121-092000-newb") -> str:
    """Started, nothing proposed yet, the teacher being read."""
    begin(store, run_id, task="paraphrase", latency_ms=4.0)
    command = Command(f"{run_id}.prepare", run_id, None, "prepare")
    step(store, run_id, said=[Note("Search for 'paraphrase' on host within 4 ms")], commands=[command])
    store.claim(command.command_id, "tests")
    store.log(run_id, "Reading teacher minilm", data={"kind": "prepare"})
    return run_id


def single(store: Store, run_id: str = "20261121-093000-once") -> str:
    """One trial, trained."""
    begin(store, run_id, trials=1)
    trials = [trial(run_id, 1)]
    step(store, run_id, "cancelled", trials=trials, said=log_of(trials))
    return run_id


def too_slow(store: Store, run_id: str = "20261121-094000-slow") -> str:
    """Every candidate is over the target: the run failed, and its message says what to do."""
    begin(store, run_id, latency_ms=1.0, task="cola")
    reasons = {"status": "over_limit", "accuracy": None, "reward": -2.1, "reason": "over the limit of 1 ms: not trained"}
    trials = [trial(run_id, number, **reasons) for number in range(1, 9)]
    error = "no candidate meets 1 ms on host: the fastest seen is L4-H256-A8-F1024 at 2.24 ms; give a latency target above that"
    step(store, run_id, "failed", trials=trials, said=[*log_of(trials), Note(error, level="error")], error=error)
    return run_id


def failed(store: Store, run_id: str = "20261121-095000-fail") -> str:
    """Every trial failed without a latency."""
    begin(store, run_id, task="mrpc")
    reason = "the compiled model differs from torch by 0.2, more than 0.001; report this architecture"
    trials = [trial(run_id, number, status="failed", reason=reason, **LOST) for number in range(1, 4)]
    error = f"every trial failed; the first: {reason}"
    step(store, run_id, "failed", trials=trials, said=[*log_of(trials), Note(error, level="error")], error=error)
    return run_id


def cancelled(store: Store, run_id: str = "20261121-096000-stop") -> str:
    """Cancelled in its fourth trial."""
    begin(store, run_id, strategy="random", task="rte")
    trials = [trial(run_id, number) for number in range(1, 4)]
    lost = {"accuracy": None, "reward": None, "reason": "the run was cancelled"}
    trials.append(trial(run_id, 4, status="cancelled", **lost))
    step(store, run_id, "cancelled", trials=trials, said=[*log_of(trials), Note("Cancelled", level="warning")])
    return run_id


ALL = (done, live, fresh, single, too_slow, failed, cancelled)


def many(store: Store, run_id: str = "20261121-097000-many", number: int = 300) -> str:
    """A long search."""
    draw = random.Random(0)
    begin(store, run_id, trials=number)
    trials = []
    for index in range(1, number + 1):
        latency_ms = round(draw.uniform(1.5, 9), 3)
        over = latency_ms > TARGET_MS
        values = {
            "status": "over_limit" if over else "trained",
            "latency_ms": latency_ms,
            "latency_p10_ms": latency_ms * 0.97,
            "latency_p90_ms": latency_ms * 1.05,
            "accuracy": None if over else round(0.45 + 0.07 * latency_ms - abs(draw.gauss(0, 0.05)), 4),
            "reason": f"{latency_ms:.2f} ms is over the limit of {TARGET_MS:g} ms: not trained" if over else None,
        }
        trials.append(trial(run_id, index, **values))
    step(store, run_id, "done", trials=trials, said=log_of(trials[:5]))
    return run_id
