"""Latency of a model as the sum of its kernels, each as long as its arithmetic or its memory traffic, whichever takes longer
(Williams et al. 2009, "Roofline"), plus what any call costs.

Arithmetic is shared out to cores by their speed, but for a share that stays on one (Amdahl). What does not fit the caches comes from
memory: weights, where a model's are larger than the caches together, as every inference reads them all once; activations, where a kernel's
are larger. Cases are computed side by side, so that fitting on thousands of measurements takes a second.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields

import numpy as np

from compiler.work import Work
from engine.prediction.machine import Machine

LINEAR, LINEAR_INT8, ATTENTION = range(3)
KINDS = {"linear": LINEAR, "linear_fp16": LINEAR, "linear_int8": LINEAR_INT8}


@dataclass(frozen=True)
class Parameters:
    """How well an engine uses a machine: what a calibration finds.

    Attributes:
        linear, linear_int8, attention: share of the multiply-adds at the highest clock that kernels reach.
        function_cycles: of a vector of exp, erf or tanh, on a core with one multiply-add unit.
        memory, cache: share of the bandwidths, one thread.
        scaling: how bandwidth grows with threads: 0 not at all, 1 as arithmetic does.
        serial: share of the work that one thread does alone.
        overhead_us: of one kernel call.
    """

    linear: float
    linear_int8: float
    attention: float
    function_cycles: float
    memory: float
    cache: float
    scaling: float
    serial: float
    overhead_us: float

    @classmethod
    def names(cls) -> tuple[str, ...]:
        return tuple(each.name for each in fields(cls))

    def logarithms(self) -> np.ndarray:
        return np.log(astuple(self))


@dataclass(frozen=True)
class Cases:
    """Models on machines, arrays (cases, kernels): equal kernels once, `calls` times; zeros where a case has fewer."""

    calls: np.ndarray
    kind: np.ndarray
    gflops: np.ndarray  # 2 x 10^9 multiply-accumulates a call
    functions: np.ndarray  # 10^9 values
    memory_gb: np.ndarray
    cache_gb: np.ndarray
    machine: np.ndarray  # (cases, 5): one_gflops, speedup, function_gops, memory_gb_s, cache_gb_s


def cases_of(pairs: Sequence[tuple[Sequence[Work], Machine]], resident: Sequence[bool] | None = None) -> Cases:
    """Side by side, ready for `latencies_ms`.

    Args:
        resident: of each, whether its weights stay in the caches; None: told from their size.
    """
    equal = {id(works): Counter(works) for works, _ in pairs}  # many cases may share their kernels
    counted = [equal[id(works)] for works, _ in pairs]
    shape = (len(pairs), max(map(len, counted), default=0))
    arrays = {name: np.zeros(shape) for name in ("calls", "gflops", "functions", "memory_gb", "cache_gb")}
    kind = np.full(shape, ATTENTION)
    for row, ((works, machine), counts) in enumerate(zip(pairs, counted, strict=True)):
        stay = stays_resident(works, machine) if resident is None else resident[row]
        for column, (work, calls) in enumerate(counts.items()):
            stays = work.activation_bytes <= machine.cache_bytes
            cached = work.weight_bytes * stay + work.activation_bytes * stays
            arrays["calls"][row, column] = calls
            arrays["gflops"][row, column] = work.flops / 1e9
            arrays["functions"][row, column] = work.functions / 1e9
            arrays["cache_gb"][row, column] = cached / 1e9
            arrays["memory_gb"][row, column] = (work.weight_bytes + work.activation_bytes - cached) / 1e9
            kind[row, column] = KINDS.get(work.kind, ATTENTION)
    facts = [
        (machine.one_gflops, machine.speedup, machine.function_gops, machine.memory_gb_s, machine.cache_gb_s)
        for _, machine in pairs
    ]
    return Cases(kind=kind, machine=np.array(facts).reshape(-1, 5), **arrays)


def stays_resident(works: Sequence[Work], machine: Machine) -> bool:
    """Whether a model's weights fit the caches together, so that no inference reads them from memory again."""
    return sum(work.weight_bytes for work in works) <= machine.cache_bytes


def latencies_ms(parameters: Parameters, cases: Cases) -> np.ndarray:
    """Milliseconds of each case, (cases,)."""
    return kernel_times_ms(parameters, cases).sum(axis=1)


def kernel_times_ms(parameters: Parameters, cases: Cases) -> np.ndarray:
    """Milliseconds that each kernel takes with all its calls, (cases, kernels)."""
    one, speedup, function_rate, memory_rate, cache_rate = (column[:, None] for column in cases.machine.T)
    share = np.array([parameters.linear, parameters.linear_int8, parameters.attention])[cases.kind]
    shared_out = 1 / (parameters.serial + (1 - parameters.serial) / speedup)
    arithmetic = cases.gflops / (one * share) + cases.functions * parameters.function_cycles / function_rate
    wider = speedup**parameters.scaling
    from_memory = cases.memory_gb / np.minimum(parameters.memory * memory_rate * wider, memory_rate)
    from_cache = cases.cache_gb / (parameters.cache * cache_rate * wider)
    each_s = np.maximum(arithmetic / shared_out, from_memory + from_cache) + parameters.overhead_us * 1e-6
    return 1e3 * cases.calls * each_s
