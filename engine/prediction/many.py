"""Predicted latencies of thousands of architectures at once: a roofline adds kernels up, so layers of equal sizes are computed once.

What couples the layers of a model is whether its weights stay in the caches together. Each layer is computed both ways, and each
model takes the one that holds for it: the numbers are those of `engine.prediction.predict`, up to rounding.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from engine.architecture import DEFAULT_SEQ_LEN, Architecture
from engine.prediction.calibration import calibration_of
from engine.prediction.kernels import kernels_of
from engine.prediction.machine import machine_of
from engine.prediction.predict import SOURCE, expectation
from engine.prediction.roofline import Cases, cases_of, kernel_times_ms, latencies_ms


@dataclass(frozen=True)
class Predictions:
    """Milliseconds of one inference each, batch 1, (architectures,). latency / `factor` to latency x `factor` is meant to hold 90 % of
    what would be measured; `basis`, one line, says what that rests on."""

    latency_ms: np.ndarray
    factor: float
    threads: int
    basis: str
    source: str = SOURCE


def predict_many(
    architectures: Sequence[Architecture],
    device: str,
    threads: int | None = None,
    *,
    precision: str = "fp32",
    seq_len: int = DEFAULT_SEQ_LEN,
) -> Predictions:
    """Cost: a millisecond for each different layer, a microsecond for each layer of each architecture.

    Raises:
        UsageError: as `engine.prediction.predict.predict`.
    """
    machine = machine_of(device, threads, precision)
    parameters, half_width, basis = expectation(calibration_of(device), device, machine, "lp", precision)
    bodies = [replace(each, ffn_sizes=each.ffn_sizes[:1]) for each in architectures]  # equal where all but the FFN sizes are
    alone = {
        (body, ffn): index
        for index, (body, ffn) in enumerate(
            dict.fromkeys((body, ffn) for body, each in zip(bodies, architectures, strict=True) for ffn in each.ffn_sizes)
        )
    }
    # A model of one layer, and of two: the difference is a layer, what is left are the ends (embedding and readout).
    works = [
        kernels_of(replace(body, ffn_sizes=(ffn,) * layers), seq_len, "lp", precision)
        for body, ffn in alone
        for layers in (1, 2)
    ]
    weights = np.array([sum(work.weight_bytes for work in each) for each in works], float).reshape(-1, 2)
    times = np.stack(
        [
            latencies_ms(parameters, cases_of([(each, machine) for each in works], [stays] * len(works))).reshape(-1, 2)
            for stays in (False, True)
        ],
        axis=-1,
    )  # (layers, 1 or 2 of them, whether weights stay)
    layer_ms, ends_ms = times[:, 1] - times[:, 0], 2 * times[:, 0] - times[:, 1]
    layer_bytes, ends_bytes = weights[:, 1] - weights[:, 0], 2 * weights[:, 0] - weights[:, 1]
    latency_ms = np.empty(len(architectures))
    for row, (body, each) in enumerate(zip(bodies, architectures, strict=True)):
        found = [alone[body, ffn] for ffn in each.ffn_sizes]
        stays = int(ends_bytes[found[0]] + layer_bytes[found].sum() <= machine.cache_bytes)
        latency_ms[row] = ends_ms[found[0], stays] + layer_ms[found, stays].sum()
    return Predictions(latency_ms, float(np.exp(half_width)), machine.threads, basis)


@dataclass(frozen=True)
class KernelTime:
    """One kind of kernel within an inference: how often it is called, and what its calls take together, in milliseconds."""

    kind: str
    calls: int
    ms: float


def kernel_times(
    architecture: Architecture,
    device: str,
    threads: int | None = None,
    *,
    precision: str = "fp32",
    seq_len: int = DEFAULT_SEQ_LEN,
) -> list[KernelTime]:
    """Where a predicted inference spends its time, by kind of kernel, the largest first.

    Raises:
        UsageError: as `engine.prediction.predict.predict`.
    """
    machine = machine_of(device, threads, precision)
    parameters, _, _ = expectation(calibration_of(device), device, machine, "lp", precision)
    works = kernels_of(architecture, seq_len, "lp", precision)
    cases: Cases = cases_of([(works, machine)])
    times = kernel_times_ms(parameters, cases)[0]
    kinds: dict[str, KernelTime] = {}
    for work, calls, ms in zip(dict.fromkeys(works), cases.calls[0], times, strict=True):
        before = kinds.get(work.kind, KernelTime(work.kind, 0, 0.0))
        kinds[work.kind] = KernelTime(work.kind, before.calls + int(calls), before.ms + float(ms))
    return sorted(kinds.values(), key=lambda each: -each.ms)
