"""From a device to the instruction sets that models are compiled for."""

from compiler.arm import levels
from compiler.devices import HOST, find_device
from compiler.isa import Isa, cores, host
from compiler.quantization import INT8


def isas_of(device: str, precision: str) -> tuple[Isa, ...]:
    """The best first. This machine has one. A phone's are chosen from when a model is loaded, as no catalogue is always right about a
    phone; only 8-bit integers have instructions that not all have.

    Raises:
        UsageError: no such device.
        CompileError: no schedule is written for its processor.
    """
    if device == HOST:
        return (host(),)
    found = find_device(device)
    fastest = found.clusters[0]
    l2_kb = fastest.l2_kb // fastest.cores if fastest.l2_shared else fastest.l2_kb
    every = levels(found.system, fastest.facts.l1_kb << 10, l2_kb << 10)
    return every if precision == INT8 else every[-1:]


def threads_of(device: str) -> int:
    """Threads that kernels are laid out for: this machine's cores, or a device's cores that are not its slowest."""
    if device == HOST:
        return cores()
    clusters = find_device(device).clusters
    return sum(cluster.cores for cluster in clusters[: max(1, len(clusters) - 1)])
