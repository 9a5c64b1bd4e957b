"""AArch64 as levels: baseline Armv8.0 with NEON, and what later cores have for numbers of 8 and 16 bits.

Features are named as Linux names them in /proc/cpuinfo.
"""

from collections.abc import Collection
from dataclasses import dataclass

from compiler.isa import Isa
from compiler.precisions import FP16, FP32, INT8, LARGEST

L1_BYTES = 64 * 1024
L2_BYTES = 256 * 1024
LINES_UNDER_WAY = (
    46  # of a Cortex-A76's second-level cache (its Technical Reference Manual, table A7-1), where weights are asked to
)
ANDROID = "android"


@dataclass(frozen=True)
class _Extension:
    """What some processors have: how levels, Linux, LLVM and runtime/cpu.h call it."""

    name: str
    feature: str
    llvm_feature: str
    need: str


HALF = _Extension("fp16", "asimdhp", "+fullfp16", "FP16")
DOTPROD = _Extension("dotprod", "asimddp", "+dotprod", "DOTPROD")
I8MM = _Extension("i8mm", "i8mm", "+i8mm", "I8MM")
EXTENSIONS = (HALF, DOTPROD, I8MM)
SMMLA = "llvm.aarch64.neon.smmla.v4i32.v16i8"
SDOT = ("llvm.aarch64.neon.sdot.v4i32.v16i8",)
MULTIPLY_AND_ADD_PAIRS = (
    "llvm.aarch64.neon.smull.v8i16",
    "llvm.aarch64.neon.addp.v8i16",
    "llvm.aarch64.neon.saddlp.v4i32.v8i16",
)
# LLVM shrinks a load to the lanes that one shuffle takes (llvm-project pull request 128938): each number of x would be loaded by itself,
# where one load serves all lanes of a vector.
NO_PARTIAL_LOADS = "-disable-vector-combine:bool=true"
LEVELS: dict[str, tuple[frozenset[_Extension], ...]] = {  # by precision, the best first
    FP32: (frozenset(),),
    FP16: (frozenset({HALF}), frozenset()),
    INT8: (frozenset({DOTPROD, I8MM}), frozenset({DOTPROD}), frozenset()),
}


def aarch64(features: set[str], system: str = ANDROID, l1_bytes: int = L1_BYTES, l2_bytes: int = L2_BYTES) -> Isa:
    """The best that is written for a processor with these features."""
    return _isa(frozenset(each for each in EXTENSIONS if each.feature in features), system, l1_bytes, l2_bytes)


def levels(precision: str, system: str = ANDROID, l1_bytes: int = L1_BYTES, l2_bytes: int = L2_BYTES) -> tuple[Isa, ...]:
    """All that are worth having for a precision, the best first."""
    return tuple(_isa(extensions, system, l1_bytes, l2_bytes) for extensions in LEVELS[precision])


def runs_on(isa: Isa, features: Collection[str]) -> bool:
    """Whether a processor with these features has all that `isa` takes."""
    return all(each.feature in features for each in EXTENSIONS if each.need in isa.needs)


def _isa(extensions: frozenset[_Extension], system: str, l1_bytes: int, l2_bytes: int) -> Isa:
    has = [each for each in EXTENSIONS if each in extensions]
    return Isa(
        name="-".join(each.name for each in has) or "neon",
        triple=f"aarch64-linux-{'android' if system == ANDROID else 'gnu'}",
        llvm_cpu="generic",
        llvm_features=("+neon", *(each.llvm_feature for each in has)),
        zig_shared="aarch64-linux-musl" if system == ANDROID else "aarch64-linux-gnu.2.28",
        zig_static="aarch64-linux-musl",
        lanes=4,
        registers=32,
        byte_dot=SDOT if DOTPROD in has else MULTIPLY_AND_ADD_PAIRS,
        matrix_dot=SMMLA if I8MM in has else "",
        zero_point=0,
        largest_weight=LARGEST,
        fma_per_cycle=2,
        needs=tuple(each.need for each in has),
        by_lane=True,
        half=HALF in has,
        llvm_options=(NO_PARTIAL_LOADS,),
        lines_under_way=LINES_UNDER_WAY,
        l1_bytes=l1_bytes,
        l2_bytes=l2_bytes,
        android=system == ANDROID,
    )
