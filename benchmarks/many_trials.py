"""A store with many trials, as searches of a synthetic task would leave them: what `benchmarks.explore` opens pages on.

Their latencies are the roofline's, their accuracies a formula with noise: nothing here says how good a model is.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass

from data.records import Trial
from data.store import Store
from engine.architecture import PRESETS
from engine.prediction.many import predict_many
from engine.settings import Settings
from engine.space import SearchSpace

TARGET_MS = 12.0
A_STEP = 5_000  # trials written at once
DEVICE = "galaxy-s20"


@dataclass(frozen=True)
class Made:
    """One trial before it has a run."""

    architecture: str
    latency_ms: float
    low_ms: float
    high_ms: float
    accuracy: float | None
    parameters: int
    flops: int


def made(number: int, seed: int = 0) -> Iterator[Made]:
    """Architectures drawn from MiniLM's space with what they get; over the target without an accuracy."""
    draw = random.Random(seed)
    space = SearchSpace.for_teacher(PRESETS["minilm-l6"])
    architectures = [space.drawn(draw) for _ in range(number)]
    predicted = predict_many(architectures, DEVICE)
    for architecture, latency_ms in zip(architectures, predicted.latency_ms, strict=True):
        latency_ms = float(latency_ms) * draw.uniform(0.97, 1.03)
        size = (architecture.layers / 6) ** 0.5 * (architecture.hidden_size / 384) * (sum(architecture.ffn_sizes) / 9216) ** 0.2
        accuracy = None if latency_ms > TARGET_MS else round(min(0.3 + 0.55 * size + draw.gauss(0, 0.03), 0.95), 4)
        yield Made(
            str(architecture),
            latency_ms,
            latency_ms / predicted.factor,
            latency_ms * predicted.factor,
            accuracy,
            architecture.parameters(),
            architecture.flops(),
        )


def fill(store: Store, trials: int, runs: int) -> None:
    """Write that many trials, spread over the runs evenly."""
    candidates = made(trials)
    for run in range(runs):
        run_id = f"20261101-{run:06d}-many"
        settings = Settings(
            task="stsb", device=DEVICE, latency_ms=TARGET_MS, trials=trials // runs, strategy="random", seed=run
        )
        store.create_run(run_id, settings.to_dict(), {})
        left = trials // runs
        version, number = 0, 0
        while left:
            step = min(left, A_STEP)
            rows = []
            for _ in range(step):
                number += 1
                rows.append(_trial(run_id, number, next(candidates)))
            left -= step
            store.commit_step(run_id, version, state={}, status="running" if left else "done", trials=rows)
            version += 1


def _trial(run_id: str, number: int, each: Made) -> Trial:
    over = each.accuracy is None
    return Trial(
        run_id,
        number,
        phase=2,
        architecture=each.architecture,
        status="over_limit" if over else "trained",
        latency_ms=each.latency_ms,
        latency_p10_ms=each.low_ms,
        latency_p90_ms=each.high_ms,
        latency_source="predicted",
        accuracy=each.accuracy,
        reward=(TARGET_MS - each.latency_ms) / TARGET_MS - 1 if each.accuracy is None else each.accuracy - 0.7,
        reason=f"{each.latency_ms:.2f} ms is over the limit of {TARGET_MS:g} ms: not trained" if over else None,
        parameters=each.parameters,
        flops=each.flops,
    )
