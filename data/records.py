"""What the trial store keeps, as frozen dataclasses: their fields are the columns of `data/schema.sql`. Times are aware, in UTC."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

RUN_STATUSES = ("running", "paused", "cancelling", "cancelled", "done", "failed")
TRIAL_STATUSES = ("proposed", "running", "trained", "over_limit", "failed", "cancelled")
COMMAND_STATUSES = ("queued", "running", "done", "failed", "stopping", "stopped")


@dataclass(frozen=True)
class Run:
    """One search. `state` is the search's own state machine, `state_version` the number of steps committed."""

    run_id: str
    created_at: datetime
    updated_at: datetime
    status: str
    settings: dict[str, Any]
    state: dict[str, Any] | None
    state_version: int
    error: str | None

    @property
    def over(self) -> bool:
        """Whether nothing will happen in this run any more."""
        return self.status in ("cancelled", "done", "failed")

    @property
    def limits(self) -> dict[str, float]:
        """Its devices with their latency limits in ms, the first device first."""
        return {
            self.settings.get("device", "host"): float(self.settings.get("latency_ms", 0.0)),
            **self.settings.get("also", {}),
        }


@dataclass(frozen=True)
class Trial:
    """One candidate of a run: what was proposed, how fast and how accurate it is, or the reason why that is not known.

    Latencies are milliseconds at batch 1 on the run's first device; of a predicted one, p10 and p90 are the ends of its 90 % interval.
    Accuracies are the task's metric; the store sets both times when they are left out. `model_mb` is of the weights in its bundle,
    `memory_mb` and `energy_mj` as in `DeviceLatency`.
    """

    run_id: str
    trial: int
    phase: int
    architecture: str
    status: str = "proposed"
    latency_ms: float | None = None
    latency_p10_ms: float | None = None
    latency_p90_ms: float | None = None
    latency_source: str | None = None
    accuracy: float | None = None
    final_accuracy: float | None = None
    reward: float | None = None
    reason: str | None = None
    parameters: int | None = None
    flops: int | None = None
    model_mb: float | None = None
    memory_mb: float | None = None
    energy_mj: float | None = None
    created_at: datetime | None = None
    finished_at: datetime | None = None


@dataclass(frozen=True)
class DeviceLatency:
    """A trial's latency on one device of its run: milliseconds at batch 1, the two ends and the source as in `Trial`.

    Attributes:
        memory_mb: the most that its process held at once; None where it was not measured.
        energy_mj: millijoules of one inference, predicted, between `energy_low_mj` and `energy_high_mj`; None where nothing is known of it.
    """

    run_id: str
    trial: int
    device: str
    latency_ms: float
    latency_p10_ms: float | None
    latency_p90_ms: float | None
    latency_source: str
    memory_mb: float | None = None
    energy_mj: float | None = None
    energy_low_mj: float | None = None
    energy_high_mj: float | None = None


@dataclass(frozen=True)
class Command:
    """A piece of work that a step of the search asked for. `worker` is who has it, `attempts` how often it was begun, `started_at` when
    last."""

    command_id: str
    run_id: str
    trial: int | None
    kind: str
    payload: dict[str, Any] = field(default_factory=dict)
    status: str = "queued"
    attempts: int = 0
    worker: str | None = None
    heartbeat_at: datetime | None = None
    result: dict[str, Any] | None = None
    error: str | None = None
    created_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None

    @property
    def over(self) -> bool:
        """Whether nobody will work on this command any more."""
        return self.status in ("done", "failed", "stopped")


@dataclass(frozen=True)
class Request:
    """What a user asked of a run: `kind` and `values` as `engine.control` has them. `seq` counts from 1 within the run."""

    run_id: str
    seq: int
    at: datetime
    kind: str
    values: dict[str, Any]


@dataclass(frozen=True)
class Duration:
    """How long a command took that is done, with what of its run's settings that depends on: epochs of its kind of training (else 0)."""

    kind: str
    seconds: float
    task: str
    epochs: int
    device_measured: bool


@dataclass(frozen=True)
class Event:
    """A line of a run's log. `seq` counts from 1 within the run, in the order of commits; `level` as in `logging`."""

    run_id: str
    seq: int
    at: datetime
    level: str
    trial: int | None
    message: str
    data: dict[str, Any]


@dataclass(frozen=True)
class Note:
    """An event yet to be written: the store gives it its number and time."""

    message: str
    trial: int | None = None
    level: str = "info"
    data: Mapping[str, Any] = field(default_factory=dict)


class EventLike(Protocol):
    """What `Store.commit_step` needs of an event: a `Note` has it, and an `Event` too."""

    @property
    def message(self) -> str: ...
    @property
    def trial(self) -> int | None: ...
    @property
    def level(self) -> str: ...
    @property
    def data(self) -> Mapping[str, Any]: ...


@dataclass(frozen=True)
class Measurement:
    """A latency with its source ('measured', 'predicted' or 'published'); milliseconds, over `runs` repetitions at batch 1. Of a predicted
    one, p10 and p90 are the ends of its 90 % interval, and `runs` is 0."""

    architecture: str
    device: str
    precision: str
    threads: int
    seq_len: int
    median_ms: float
    p10_ms: float | None
    p90_ms: float | None
    runs: int
    source: str
    at: datetime | None = None
    run_id: str | None = None
    trial: int | None = None


@dataclass(frozen=True)
class ArtifactRef:
    """A file that a run made: its content's hash, by which `data.artifacts` finds it, and its size in bytes."""

    sha256: str
    name: str
    kind: str
    size: int
    run_id: str
    trial: int | None = None
    created_at: datetime | None = None
