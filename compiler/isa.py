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
        byte_dot: LLVM's intrinsics that make int32 sums of the products of four uint8 and four int8 each: one instruction adds them to sums
            it is given, or a first adds them by twos as int16, and a second those by twos, after it has multiplied them by one.
        largest_weight: of the int8 numbers, so that what `byte_dot` adds up on its way fits its type: 4 x 255 x 127 in int32, but 2 x 255 x 64
            in int16.
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
    byte_dot: tuple[str, ...]
    largest_weight: int
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
    """The best that is written for a processor with these flags of /proc/cpuinfo.

    Raises:
        CompileError: there is none.
    """
    level = next((level for level in X86_LEVELS if level.flags <= flags), None)
    if level is None:
        raise CompileError(
            "this processor lacks SSE4.2, which x86-64 processors have since 2008 (AMD: 2011); take another machine"
        )
    return Isa(
        name=level.name,
        triple="x86_64-linux-gnu",
        llvm_cpu=level.llvm_cpu,
        llvm_features=level.llvm_features,
        zig_shared="x86_64-linux-gnu.2.28",
        zig_static="x86_64-linux-musl",
        lanes=level.lanes,
        registers=level.registers,
        byte_dot=level.byte_dot,
        largest_weight=127 if len(level.byte_dot) == 1 else 64,
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
    byte_dot: tuple[str, ...]
    needs: tuple[str, ...]
    llvm_features: tuple[str, ...] = ()


_SSE42 = _X86Level(
    "sse4.2",
    frozenset({"ssse3", "sse4_2", "popcnt"}),
    "x86-64-v2",
    4,
    16,
    ("llvm.x86.ssse3.pmadd.ub.sw.128", "llvm.x86.sse2.pmadd.wd"),
    needs=("SSE42",),
)
_AVX2 = _X86Level(
    "avx2",
    _SSE42.flags | {"avx2", "fma"},
    "x86-64-v3",
    8,
    16,
    ("llvm.x86.avx2.pmadd.ub.sw", "llvm.x86.avx2.pmadd.wd"),
    needs=("AVX2", "FMA"),
)
_AVX512 = _X86Level(
    "avx512",
    _AVX2.flags | {"avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512cd"},
    "x86-64-v4",
    16,
    32,
    ("llvm.x86.avx512.pmaddubs.w.512", "llvm.x86.avx512.pmaddw.d.512"),
    needs=(*_AVX2.needs, "AVX512"),
    llvm_features=("-prefer-256-bit",),
)
_AVX2_VNNI = replace(
    _AVX2,
    name="avx2-vnni",
    flags=_AVX2.flags | {"avx_vnni"},
    byte_dot=("llvm.x86.avx512.vpdpbusd.256",),
    needs=(*_AVX2.needs, "AVX_VNNI"),
    llvm_features=("+avxvnni",),
)
_AVX512_VNNI = replace(
    _AVX512,
    name="avx512-vnni",
    flags=_AVX512.flags | {"avx512_vnni"},
    byte_dot=("llvm.x86.avx512.vpdpbusd.512",),
    needs=(*_AVX512.needs, "AVX512_VNNI"),
    llvm_features=(*_AVX512.llvm_features, "+avx512vnni"),
)
X86_LEVELS = (_AVX512_VNNI, _AVX512, _AVX2_VNNI, _AVX2, _SSE42)  # the best first


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
