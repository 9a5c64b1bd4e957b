"""Instruction sets, as far as schedules care: lanes of a vector, registers, caches, and how LLVM and zig name them."""

import os
import platform
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from data.errors import CompileError

CPU_FOLDER = Path("/sys/devices/system/cpu")
DEFAULT_L1_BYTES = 32 * 1024
DEFAULT_L2_BYTES = 512 * 1024


@dataclass(frozen=True)
class Isa:
    """One machine's instruction set.

    Attributes:
        name: enters kernel names and cache keys, with everything below.
        lanes: float32 numbers in a vector register.
        registers: vector registers.
        pair_dot: LLVM's intrinsic that multiplies int16 numbers pairwise and adds each two neighbours' products to one int32.
        fma_per_cycle: vector multiply-adds that a core starts each cycle.
        llvm_cpu, llvm_features: what code is generated for; a CPU without them is refused when the model is loaded.
        needs: the same as bits, `PF_CPU_...` in runtime/cpu.h.
    """

    name: str
    triple: str
    llvm_cpu: str
    llvm_features: tuple[str, ...]
    zig_shared: str
    zig_static: str
    lanes: int
    registers: int
    pair_dot: str
    fma_per_cycle: int
    needs: tuple[str, ...]
    l1_bytes: int
    l2_bytes: int

    def target(self) -> dict[str, object]:
        """TVM's target."""
        return {"kind": "llvm", "mtriple": self.triple, "mcpu": self.llvm_cpu, "mattr": list(self.llvm_features)}


def host() -> Isa:
    """This machine's.

    Raises:
        CompileError: no schedule is written for its processor.
    """
    machine = platform.machine()
    if machine not in ("x86_64", "AMD64"):
        raise CompileError(f"no code generator for processor '{machine}' yet; run on x86-64")
    flags = cpu_flags()
    caches = {"l1_bytes": cache_bytes(1, DEFAULT_L1_BYTES), "l2_bytes": cache_bytes(2, DEFAULT_L2_BYTES)}
    level: tuple[str, str, tuple[str, ...], int, int, str, tuple[str, ...]]
    if {"avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512cd"} <= flags:
        level = ("avx512", "x86-64-v4", ("-prefer-256-bit",), 16, 32, "llvm.x86.avx512.pmaddw.d.512", ("AVX2", "FMA", "AVX512"))
    elif {"avx2", "fma"} <= flags:
        level = ("avx2", "x86-64-v3", (), 8, 16, "llvm.x86.avx2.pmadd.wd", ("AVX2", "FMA"))
    else:
        level = ("sse2", "x86-64", (), 4, 16, "llvm.x86.sse2.pmadd.wd", ())
    name, llvm_cpu, features, lanes, registers, pair_dot, needs = level
    return Isa(
        name=name,
        triple="x86_64-linux-gnu",
        llvm_cpu=llvm_cpu,
        llvm_features=features,
        zig_shared="x86_64-linux-gnu.2.28",
        zig_static="x86_64-linux-musl",
        lanes=lanes,
        registers=registers,
        pair_dot=pair_dot,
        fma_per_cycle=2,
        needs=needs,
        **caches,
    )


def cores() -> int:
    """Physical cores that this process may use; hyper-threads of one core count once."""
    allowed = os.sched_getaffinity(0)
    siblings = {_read(CPU_FOLDER / f"cpu{cpu}/topology/core_cpus_list") or str(cpu) for cpu in allowed}
    return max(1, len(siblings))


def cpu_flags(text: str | None = None) -> set[str]:
    """The flags of /proc/cpuinfo."""
    lines: Iterable[str] = (_read(Path("/proc/cpuinfo")) if text is None else text).splitlines()
    return next((set(line.partition(":")[2].split()) for line in lines if line.startswith("flags")), set())


def cache_bytes(level: int, default: int) -> int:
    """Size of the first core's data cache of a level."""
    for index in sorted((CPU_FOLDER / "cpu0/cache").glob("index*")):
        if _read(index / "level") == str(level) and _read(index / "type") in ("Data", "Unified"):
            size = _read(index / "size")
            if size.endswith("K"):
                return int(size[:-1]) * 1024
    return default


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
