"""x86-64 as levels, each with all that the ones below it have, from SSE4.2 to AVX-512 with VNNI."""

from dataclasses import dataclass, replace

from compiler.isa import DEFAULT_L1_BYTES, DEFAULT_L2_BYTES, Isa
from compiler.precisions import LARGEST
from data.errors import CompileError


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
        zero_point=128,
        largest_weight=LARGEST if len(level.byte_dot) == 1 else 64,  # 2 x 255 x 64 fits int16
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
