"""Work that takes a moment, for tests of what carries work out: results come from formulas, `slow` makes a command wait.

Workers under test load it by its path (`--work quick_work:WORK`); `QUICK_WORK_S` is how long a training lasts.
"""

import os
import time
from pathlib import Path

from data.errors import Cancelled
from data.home import home
from engine.architecture import PRESETS
from engine.search import fields_of_architecture
from jobs.work import Job

STEP_S = 0.02


def trace(job: Job, what: str) -> None:
    """One line for each beginning and end, appended atomically."""
    line = f"{job.command.command_id.split('.', 1)[1]} {what} {os.getpid()}\n"
    descriptor = os.open(home() / "trace", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(descriptor, line.encode())
    os.close(descriptor)


def wait(job: Job, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if job.should_stop():
            trace(job, "broken-off")
            raise Cancelled("stopped")
        time.sleep(STEP_S)


def latency_ms(job: Job) -> float:
    return job.architecture.mult_adds() / (1e8 if job.settings.device == "host" else 1e7)


def prepare(job: Job) -> dict:
    return {"teacher": fields_of_architecture(PRESETS["minilm-l6"])}


def compile_candidate(job: Job) -> dict:
    wait(job, 0.02)
    return {"folder": "built", "kernels": 5, "compile_s": 0.02}


def measure(job: Job) -> dict:
    return {"latency_ms": latency_ms(job), "p10_ms": latency_ms(job), "p90_ms": latency_ms(job), "source": "measured"}


def train(job: Job) -> dict:
    trace(job, "begun")
    job.progress(f"{job.title}: training", 0.5)
    wait(job, float(os.environ.get("QUICK_WORK_S", "0.05")))
    trace(job, "ended")
    return {"accuracy": 0.5 + job.architecture.mult_adds() / 1e10, "metrics": {}}


def bundle(job: Job) -> dict:
    return {"latency": measure(job), "name": f"{job.settings.device}.zip", "accuracy": job.command.payload["final"]["accuracy"]}


WORK = {
    "prepare": prepare,
    "compile": compile_candidate,
    "measure": measure,
    "train": train,
    "final_train": train,
    "bundle": bundle,
}


def traced(folder: Path) -> list[list[str]]:
    """The lines of `trace`: command, begun | ended | broken-off, process."""
    path = folder / "trace"
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []
