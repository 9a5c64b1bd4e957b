"""What a model runs on, as far as a roofline cares: the cores that its threads take, or a GPU; rates at the highest clock."""

from dataclasses import dataclass
from pathlib import Path

from compiler.devices import HOST, Cluster, Device, find_device
from compiler.isa import CPU_FOLDER, cache_bytes, cores, host
from compiler.precisions import FP16, INT8, PRECISIONS
from data.errors import UsageError

BIG, LITTLE, ALL, GPU = "big", "little", "all", "gpu"
TARGETS = (BIG, LITTLE, ALL, GPU)
LANES = 4  # float32 numbers of a 128-bit vector
CACHE_BYTES_PER_CYCLE = 16  # a 128-bit load each cycle: what all of the catalogue's cores can do
HOST_MEMORY_GB_S = 20.0  # assumed: what one program gets of a shared server's memory; calibration corrects it
HOST_MHZ = 2500  # assumed where the system does not say


@dataclass(frozen=True)
class Machine:
    """Cores with a thread each, or a GPU as one core.

    Attributes:
        one_gflops: the fastest core's multiply-adds, 2 x 10^9 a second, at the precision asked for.
        speedup: of all cores over the fastest, if work were shared out evenly by their speed.
        function_gops: 10^9 values a second of what takes one cycle a vector, the fastest core.
        memory_gb_s: the memory's peak bandwidth.
        cache_gb_s: the fastest core's from its second-level cache.
        cache_bytes: that stay on the chip between two kernels: second-level caches of the cores used, and the third.
        threads: 1 for a GPU.
    """

    target: str
    one_gflops: float
    speedup: float
    function_gops: float
    memory_gb_s: float
    cache_gb_s: float
    cache_bytes: int
    threads: int


def machine_of(device: str, threads: int | None = None, precision: str = "fp32", target: str | None = None) -> Machine:
    """A device's cores with that many threads on the fastest of them.

    Args:
        threads: None takes one for each core of the target.
        target: 'big', all clusters but the slowest; 'little', the slowest; 'all'; 'gpu'. None takes 'big', and 'all' for more threads than
            it has cores.

    Raises:
        UsageError: no such device, target or precision; more threads than cores; a device without GPU.
    """
    if precision not in PRECISIONS:
        raise UsageError(f"unknown precision '{precision}'; take {', '.join(PRECISIONS)}")
    if target not in (None, *TARGETS):
        raise UsageError(f"unknown cluster '{target}'; take {', '.join(TARGETS)}")
    if threads is not None and threads < 1:
        raise UsageError(f"threads is {threads}; give 1 or more")
    if device == HOST:
        return _this_machine(threads, precision, target)
    found = find_device(device)
    if target == GPU:
        return _gpu(found, precision)
    big = found.clusters[: max(1, len(found.clusters) - 1)]
    if target is None:
        target = BIG if threads is None or threads <= sum(cluster.cores for cluster in big) else ALL
    clusters = {BIG: big, LITTLE: found.clusters[-1:], ALL: found.clusters}[target]
    return _of_clusters(found, clusters, threads, precision, target)


def _of_clusters(device: Device, clusters: tuple[Cluster, ...], threads: int | None, precision: str, target: str) -> Machine:
    ranked = sorted(clusters, key=lambda cluster: -_gflops(cluster, precision))
    every = [cluster for cluster in ranked for _ in range(cluster.cores)]
    if threads is not None and threads > len(every):
        raise UsageError(f"{device.name} has {len(every)} cores for '{target}'; give at most that many threads, not {threads}")
    taken = every[: threads or len(every)]
    fastest = taken[0]
    one = _gflops(fastest, precision)
    l2_kb = sum(cluster.l2_kb * (1 if cluster.l2_shared else taken.count(cluster)) for cluster in dict.fromkeys(taken))
    return Machine(
        target=target,
        one_gflops=one,
        speedup=sum(_gflops(cluster, precision) for cluster in taken) / one,
        function_gops=fastest.mhz / 1e3 * LANES * fastest.facts.fma_per_cycle,
        memory_gb_s=device.memory_gb_s,
        cache_gb_s=fastest.mhz / 1e3 * CACHE_BYTES_PER_CYCLE,
        cache_bytes=(l2_kb + device.l3_kb) << 10,
        threads=len(taken),
    )


def _gflops(cluster: Cluster, precision: str) -> float:
    """Of one core. Without the instructions for a precision, it takes as long as fp32."""
    features = cluster.facts.features
    wider = 1
    if precision == FP16 and "asimdhp" in features:
        wider = 2
    elif precision == INT8:
        wider = 8 if "i8mm" in features else 4 if "asimddp" in features else 1
    return cluster.mhz / 1e3 * LANES * 2 * cluster.facts.fma_per_cycle * wider


def _gpu(device: Device, precision: str) -> Machine:
    if device.gpu is None:
        raise UsageError(f"{device.name} has no GPU in the catalogue; leave --gpu away")
    gflops = device.gpu.fp32_gflops * (2 if precision == FP16 else 1)
    return Machine(GPU, gflops, 1.0, device.gpu.fp32_gflops / 2, device.memory_gb_s, device.memory_gb_s, 0, 1)


def _this_machine(threads: int | None, precision: str, target: str | None) -> Machine:
    if target in (LITTLE, GPU):
        raise UsageError(f"this machine has no cluster '{target}' to predict for; leave it away")
    isa, count = host(), threads or cores()
    if count > cores():
        raise UsageError(f"this machine has {cores()} cores; give at most that many threads, not {count}")
    ghz = _host_mhz() / 1e3
    wider = 4 if precision == INT8 and len(isa.byte_dot) == 1 else 1
    return Machine(
        target=BIG,
        one_gflops=ghz * isa.lanes * 2 * isa.fma_per_cycle * wider,
        speedup=float(count),
        function_gops=ghz * isa.lanes * isa.fma_per_cycle,
        memory_gb_s=HOST_MEMORY_GB_S,
        cache_gb_s=ghz * 4 * isa.lanes,
        cache_bytes=isa.l2_bytes * count + cache_bytes(3, 0),
        threads=count,
    )


def _host_mhz() -> float:
    """The highest clock that the system names."""
    try:
        return int((CPU_FOLDER / "cpu0/cpufreq/cpuinfo_max_freq").read_text()) / 1e3
    except (OSError, ValueError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        clocks = [float(line.partition(":")[2]) for line in lines if line.startswith("cpu MHz")]
        return max(clocks, default=float(HOST_MHZ))
