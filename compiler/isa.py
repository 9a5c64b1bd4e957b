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
        byte_dot: LLVM's intrinsics that add products of four activations and four weights of 8 bits each to an int32 sum, in order. One: it
            does all (x86's vpdpbusd, Arm's sdot). Two: sums of two as int16, which are multiplied by one and summed again (pmaddubsw, pmaddwd).
            Three: products as int16, sums of two, sums of those (smull, addp, saddlp).
        matrix_dot: LLVM's intrinsic that adds the products of two rows and two columns of eight such numbers to four sums; "" where there is none.
        zero_point: what activations of 8 bits are stored above the integers they stand for: 128 where instructions take them without a sign.
        largest_weight: of the 8-bit integers, so that what `byte_dot` sums on its way fits its type.
        fma_per_cycle: vector multiply-adds that a core starts each cycle.
        android: libraries are for Android's libc.
        by_lane: a multiply-add takes one lane of a vector for a factor; otherwise a number in memory is broadcast.
        half: it has arithmetic on float16.
        llvm_options: LLVM's own (`cl::opt`), as TVM takes them.
        lines_under_way: cache lines that a core waits for at once when they are asked for ahead; 24 was seen on x86.
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
    zero_point: int
    largest_weight: int
    fma_per_cycle: int
    needs: tuple[str, ...]
    l1_bytes: int
    l2_bytes: int
    android: bool = False
    matrix_dot: str = ""
    by_lane: bool = False
    half: bool = False
    llvm_options: tuple[str, ...] = ()
    lines_under_way: int = 24

    def target(self) -> dict[str, object]:
        """TVM's target."""
        options = {"cl-opt": list(self.llvm_options)} if self.llvm_options else {}
        return {"kind": "llvm", "mtriple": self.triple, "mcpu": self.llvm_cpu, "mattr": list(self.llvm_features), **options}


def host() -> Isa:
    """This machine's.

    Raises:
        CompileError: no schedule is written for its processor.
    """
    from compiler.arm import aarch64
    from compiler.x86 import x86_64

    machine = platform.machine()
    caches = cache_bytes(1, DEFAULT_L1_BYTES), cache_bytes(2, DEFAULT_L2_BYTES)
    if machine in ("x86_64", "AMD64"):
        return x86_64(cpu_flags(), *caches)
    if machine == "aarch64":
        return aarch64(cpu_flags(), "linux", *caches)
    raise CompileError(f"no code generator for processor '{machine}' yet; run on x86-64 or AArch64")


def cores() -> int:
    """Physical cores that this process may use; hyper-threads of one core count once."""
    allowed = os.sched_getaffinity(0)
    siblings = {_read(CPU_FOLDER / f"cpu{cpu}/topology/core_cpus_list") or str(cpu) for cpu in allowed}
    return max(1, len(siblings))


def cpu_flags(text: str | None = None) -> set[str]:
    """The flags of /proc/cpuinfo; on Arm it calls them features."""
    lines: Iterable[str] = (_read(Path("/proc/cpuinfo")) if text is None else text).splitlines()
    return next((set(line.partition(":")[2].split()) for line in lines if line.startswith(("flags", "Features"))), set())


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
