"""Instruction sets, as far as schedules care: lanes of a vector, registers, caches, and how LLVM and zig name them."""

import os
import platform
from collections.abc import Iterable
from dataclasses import dataclass, replace
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
        pair_dot_adds: adding that to a sum is part of the instruction.
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
    pair_dot_adds: bool
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
    return x86_64(cpu_flags(), cache_bytes(1, DEFAULT_L1_BYTES), cache_bytes(2, DEFAULT_L2_BYTES))


def x86_64(flags: set[str], l1_bytes: int = DEFAULT_L1_BYTES, l2_bytes: int = DEFAULT_L2_BYTES) -> Isa:
    """The best that is written for a processor with these flags of /proc/cpuinfo."""
    level = next(level for level in X86_LEVELS if level.flags <= flags)
    return Isa(
        name=level.name,
        triple="x86_64-linux-gnu",
        llvm_cpu=level.llvm_cpu,
        llvm_features=level.llvm_features,
        zig_shared="x86_64-linux-gnu.2.28",
        zig_static="x86_64-linux-musl",
        lanes=level.lanes,
        registers=level.registers,
        pair_dot=level.pair_dot,
        pair_dot_adds=level.pair_dot_adds,
        fma_per_cycle=2,
        needs=level.needs,
        l1_bytes=l1_bytes,
        l2_bytes=l2_bytes,
    )


@dataclass(frozen=True)
class _X86Level:
    """What x86-64 processors with `flags` have beside the others; names as `Isa`'s."""

    name: str
    flags: frozenset[str]
    llvm_cpu: str
    lanes: int
    registers: int
    pair_dot: str
    needs: tuple[str, ...] = ()
    llvm_features: tuple[str, ...] = ()
    pair_dot_adds: bool = False


_AVX2 = _X86Level("avx2", frozenset({"avx2", "fma"}), "x86-64-v3", 8, 16, "llvm.x86.avx2.pmadd.wd", needs=("AVX2", "FMA"))
_AVX512 = _X86Level(
    "avx512",
    _AVX2.flags | {"avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512cd"},
    "x86-64-v4",
    16,
    32,
    "llvm.x86.avx512.pmaddw.d.512",
    needs=(*_AVX2.needs, "AVX512"),
    llvm_features=("-prefer-256-bit",),
)
# VNNI: of a pairwise multiplication and the addition after it LLVM makes one instruction, vpdpwssd.
_AVX2_VNNI = replace(
    _AVX2,
    name="avx2-vnni",
    flags=_AVX2.flags | {"avx_vnni"},
    needs=(*_AVX2.needs, "AVX_VNNI"),
    llvm_features=("+avxvnni", "+fast-dpwssd"),
    pair_dot_adds=True,
)
_AVX512_VNNI = replace(
    _AVX512,
    name="avx512-vnni",
    flags=_AVX512.flags | {"avx512_vnni"},
    needs=(*_AVX512.needs, "AVX512_VNNI"),
    llvm_features=(*_AVX512.llvm_features, "+avx512vnni", "+fast-dpwssd"),
    pair_dot_adds=True,
)
_SSE2 = _X86Level("sse2", frozenset(), "x86-64", 4, 16, "llvm.x86.sse2.pmadd.wd")
X86_LEVELS = (_AVX512_VNNI, _AVX512, _AVX2_VNNI, _AVX2, _SSE2)  # the best first


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
