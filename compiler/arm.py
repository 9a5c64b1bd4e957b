"""AArch64 as levels: baseline Armv8.0 with NEON, and what later cores have for 8-bit integers.

Features are named as Linux names them in /proc/cpuinfo.
"""

from dataclasses import dataclass

from compiler.isa import Isa
from compiler.quantization import LARGEST

L1_BYTES = 64 * 1024
L2_BYTES = 256 * 1024
ANDROID = "android"


@dataclass(frozen=True)
class _Level:
    name: str
    features: frozenset[str]
    llvm_features: tuple[str, ...]
    byte_dot: tuple[str, ...]
    needs: tuple[str, ...]


_DOTPROD = _Level(
    "dotprod", frozenset({"asimddp"}), ("+neon", "+dotprod"), ("llvm.aarch64.neon.sdot.v4i32.v16i8",), ("DOTPROD",)
)
_NEON = _Level(
    "neon",
    frozenset(),
    ("+neon",),
    ("llvm.aarch64.neon.smull.v8i16", "llvm.aarch64.neon.addp.v8i16", "llvm.aarch64.neon.saddlp.v4i32.v8i16"),
    (),
)
LEVELS = (_DOTPROD, _NEON)  # the best first


def aarch64(features: set[str], system: str = ANDROID, l1_bytes: int = L1_BYTES, l2_bytes: int = L2_BYTES) -> Isa:
    """The best that is written for a processor with these features."""
    return _isa(next(level for level in LEVELS if level.features <= features), system, l1_bytes, l2_bytes)


def levels(system: str = ANDROID, l1_bytes: int = L1_BYTES, l2_bytes: int = L2_BYTES) -> tuple[Isa, ...]:
    """All that are written, the best first."""
    return tuple(_isa(level, system, l1_bytes, l2_bytes) for level in LEVELS)


def _isa(level: _Level, system: str, l1_bytes: int, l2_bytes: int) -> Isa:
    return Isa(
        name=level.name,
        triple=f"aarch64-linux-{'android' if system == ANDROID else 'gnu'}",
        llvm_cpu="generic",
        llvm_features=level.llvm_features,
        zig_shared="aarch64-linux-musl" if system == ANDROID else "aarch64-linux-gnu.2.28",
        zig_static="aarch64-linux-musl",
        lanes=4,
        registers=32,
        byte_dot=level.byte_dot,
        zero_point=0,
        largest_weight=LARGEST,
        fma_per_cycle=2,
        needs=level.needs,
        l1_bytes=l1_bytes,
        l2_bytes=l2_bytes,
        android=system == ANDROID,
    )
