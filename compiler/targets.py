"""From a device to the instruction sets that models are compiled for."""

from compiler.arm import levels
from compiler.devices import HOST, find_device
from compiler.isa import Isa, cores, host
from compiler.precisions import FP16, PRECISIONS
from data.errors import UsageError


def isas_of(device: str, precision: str) -> tuple[Isa, ...]:
    """The best first. This machine has one. A phone's are chosen from when a model is loaded, as no catalogue is always right about a
    phone.

    Raises:
        UsageError: no such device.
        CompileError: no schedule is written for its processor.
    """
    if device == HOST:
        return (host(),)
    found = find_device(device)
    fastest = found.clusters[0]
    l2_kb = fastest.l2_kb // fastest.cores if fastest.l2_shared else fastest.l2_kb
    return levels(precision, found.system, fastest.facts.l1_kb << 10, l2_kb << 10)


def precisions_of(device: str) -> tuple[str, ...]:
    """Those that it can compute in. Where a phone's processor lacks arithmetic on float16, such numbers are read as float32."""
    return tuple(each for each in PRECISIONS if each != FP16 or device != HOST or host().half)


def check_precision(device: str, precision: str) -> None:
    """
    Raises:
        UsageError: no such precision, or none of this device.
    """
    here = precisions_of(device)
    if precision not in PRECISIONS:
        raise UsageError(f"unknown precision '{precision}'; take {', '.join(here)}")
    if precision not in here:
        raise UsageError(f"this machine has no arithmetic on {precision}; take {', '.join(here)}, or a phone with --device")


def threads_of(device: str) -> int:
    """Threads that kernels are laid out for: this machine's cores, or a device's cores that are not its slowest."""
    if device == HOST:
        return cores()
    clusters = find_device(device).clusters
    return sum(cluster.cores for cluster in clusters[: max(1, len(clusters) - 1)])
