"""What a candidate costs besides latency: megabytes (10^6) of weights and of memory, and millijoules of an inference."""

from collections.abc import Mapping
from typing import Any

from compiler.devices import HOST, find_device
from compiler.precisions import FP16, INT8
from data.errors import UsageError
from engine.architecture import Architecture
from engine.prediction.machine import BIG, LITTLE, machine_of
from engine.settings import Settings

DENSE_BYTES = {FP16: 2, INT8: 1}  # of a weight of a layer; embeddings stay in float32


def model_mb(architecture: Architecture, precision: str, seq_len: int) -> float:
    """Weights in the bundle, before anything is compiled: without the positions beyond `seq_len`, and without padding to tiles, which
    adds under one per cent."""
    width = architecture.embedding_size or architecture.hidden_size
    unused = max(0, architecture.max_positions - seq_len) * width
    dense = architecture.parameters() - architecture.embedding_parameters()
    return (4 * (architecture.embedding_parameters() - unused) + DENSE_BYTES.get(precision, 4) * dense) / 1e6


def energy_of(latency: Mapping[str, Any], device: str, threads: int | None, precision: str) -> dict[str, float]:
    """Energy of one inference as latency times the power that the catalogue has, published, for all cores of a cluster at work; {} where
    it has none, or other cores are used. Predicted, also where latency is measured.

    Args:
        latency: the result of `measure`.

    Returns:
        energy_mj, energy_low_mj, energy_high_mj: the ends take the ends of the latency's interval with the least and the most power
        published.
    """
    watts = _watts(device, threads, precision)
    if watts is None:
        return {}
    least, most = watts
    low_ms, high_ms = (latency.get(f"{end}_ms", latency["latency_ms"]) for end in ("low", "high"))
    middle = latency["latency_ms"] * (least + most) / 2
    return {"energy_mj": middle, "energy_low_mj": low_ms * least, "energy_high_mj": high_ms * most}


def check_constraints(settings: Settings) -> None:
    """
    Raises:
        UsageError: a limit is set for what cannot be known on one of the devices; what to do.
    """
    for device in settings.limits:
        if settings.memory_mb is not None and settings.is_predicted(device):
            raise UsageError(f"peak memory on {device} is measured only; connect it, or leave the limit of memory away")
        if settings.energy_mj is not None and _watts(device, settings.threads, settings.precision) is None:
            raise UsageError(
                f"the power of {device} with these threads is not known, so neither is its energy; leave the limit of energy away, or "
                "add a device whose file gives `power_w` of a cluster"
            )


def _watts(device: str, threads: int | None, precision: str) -> tuple[float, float] | None:
    """Least and most power published for the cores that are used, where these are one whole cluster."""
    if device == HOST:
        return None
    machine, clusters = machine_of(device, threads, precision), find_device(device).clusters
    used = {BIG: clusters[: max(1, len(clusters) - 1)], LITTLE: clusters[-1:]}.get(machine.target, clusters)
    return used[0].power_w if len(used) == 1 and machine.threads == used[0].cores else None
