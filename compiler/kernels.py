"""From blocks to machine code: a spec for each block, tiles tried on this machine, object files kept in the kernel cache."""

import ctypes
import dataclasses
import os
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from compiler import cache, zig
from compiler.graph import Value
from compiler.isa import Isa, cores
from compiler.precisions import FP16, FP32, INT8
from compiler.quiet import busy, quiet
from compiler.schedules import Spec
from compiler.schedules.attention import Attention
from compiler.schedules.attention import Tile as AttentionTile
from compiler.schedules.attention_fp16 import AttentionFp16
from compiler.schedules.batch_matmul import BatchMatmul
from compiler.schedules.batch_matmul import Tile as BatchMatmulTile
from compiler.schedules.elementwise import Elementwise
from compiler.schedules.elementwise import Tile as ElementwiseTile
from compiler.schedules.embedding import Embedding
from compiler.schedules.embedding import Tile as EmbeddingTile
from compiler.schedules.gather import Gather
from compiler.schedules.gather import Tile as GatherTile
from compiler.schedules.half import Half
from compiler.schedules.linear import Linear
from compiler.schedules.linear import Tile as LinearTile
from compiler.schedules.linear_fp16 import LinearFp16
from compiler.schedules.linear_int8 import LinearInt8
from compiler.schedules.quantize import Quantize
from compiler.schedules.readout import Readout
from compiler.schedules.readout import Tile as ReadoutTile
from compiler.schedules.rewriting import Tile as RewritingTile
from compiler.schedules.rowwise import Rowwise
from compiler.schedules.rowwise import Tile as RowwiseTile
from compiler.schedules.scalar import BINARY, UNARY
from compiler.schedules.transpose import Tile as TransposeTile
from compiler.schedules.transpose import Transpose
from data.errors import CompileError

ROW_MULTIPLE = 8  # sequence lengths are rounded up to it inside the model, so that register tiles fit
TILES_VARIABLE = "POCKETFORMER_TILES"
TUNING_ROUNDS = 8  # short and many: others' use of the machine comes in bursts
TUNING_ROUND_US = 2000.0
COLD_BYTES = 96 << 20  # weights that tuning goes through in turn: more than a last-level cache has for one program
RANDOM_NUMBERS = 1 << 14
TILES: dict[str, Callable[..., Any]] = {
    "linear": LinearTile,
    "linear_fp16": LinearTile,
    "linear_int8": LinearTile,
    "half": RewritingTile,
    "quantize": RewritingTile,
    "attention": AttentionTile,
    "attention_fp16": AttentionTile,
    "embedding": EmbeddingTile,
    "readout": ReadoutTile,
    "elementwise": ElementwiseTile,
    "rowwise": RowwiseTile,
    "batch_matmul": BatchMatmulTile,
    "transpose": TransposeTile,
    "gather": GatherTile,
}
LINEAR: dict[str, type[Linear]] = {FP32: Linear, FP16: LinearFp16, INT8: LinearInt8}
ATTENTION: dict[str, type[Attention]] = {FP32: Attention, FP16: AttentionFp16}
SINGLE_OPERATORS: dict[str, Callable[[Value, int, int], Spec | None]] = {
    **dict.fromkeys((*UNARY, *BINARY), Elementwise.of),
    **dict.fromkeys(("mean", "nn.softmax", "nn.layer_norm"), Rowwise.of),
    "matmul": BatchMatmul.of,
    "transpose": Transpose.of,
    "gather": Gather.of,
}


@dataclass(frozen=True)
class Kernel:
    """A compiled block kind with its tile. `time_us`: of one call on the machine that compiled it, its weights cold; None where it is for
    another."""

    spec: Spec
    tile: Any
    symbol: str
    object: Path
    scratch_bytes: int
    time_us: float | None


def rows_of(seq_len: int) -> int:
    return -(-seq_len // ROW_MULTIPLE) * ROW_MULTIPLE


def spec_of(value: Value, seq_len: int) -> Spec:
    """What kernel a block needs.

    Raises:
        CompileError: no block; the message names the operator.
    """
    rows, precision = rows_of(seq_len), value.attributes.get("precision", FP32)
    if value.operator == "linear" and value.inputs[0].shape[-2:-1] == (seq_len,):
        return LINEAR[precision].of(value, rows)
    if value.operator == "quantize":
        return Quantize.of(value, rows)
    if value.operator == "attention":
        return ATTENTION[precision].of(value, rows)
    if value.operator == "half":
        return Half.of(value, rows)
    if value.operator == "embedding":
        return Embedding.of(value, rows)
    if value.operator == "readout":
        return Readout.of(value, rows, seq_len)
    single = SINGLE_OPERATORS.get(value.operator)
    spec = single(value, rows, seq_len) if single else None
    if spec is not None:
        return spec
    raise CompileError(f"operator '{value.operator}' of shape {value.shape} fits no block: the model is not of BERT's family")


def reading(spec: Spec, kernel: Kernel) -> Spec:
    """The spec kept to tiles that read weights as they are packed for `kernel`, the same block of a longer sequence length."""
    if any(field.name == "panel" for field in dataclasses.fields(spec)):  # type: ignore[arg-type]
        return dataclasses.replace(spec, panel=kernel.tile.panel)  # type: ignore[type-var]
    return spec


def compile_kernels(
    specs: Sequence[Spec], isa: Isa, threads: int, log: Callable[[str], None], *, here: bool = True
) -> tuple[dict[Spec, Kernel], int]:
    """A kernel for each spec, and how many had to be compiled. Cost: 0.1 to 0.4 s of a core for each tile tried, nothing when cached.

    Args:
        here: this machine can run them, so tiles are tried by measurement; else the schedules' cost models choose.
    """
    wanted = list(dict.fromkeys(specs))
    most_tiles = _most_tiles() if here else 1
    keys = {spec: cache.kernel_key(spec, isa, threads, most_tiles) for spec in wanted}
    missing = [spec for spec in wanted if cache.find(keys[spec]) is None]
    if missing:
        with cache.compiling(), tempfile.TemporaryDirectory(prefix="pocketformer-kernels-") as folder:
            missing = [spec for spec in missing if cache.find(keys[spec]) is None]
            if missing:
                _compile_missing(missing, keys, isa, threads, most_tiles, Path(folder), log, here)
    kernels = {}
    for spec in wanted:
        found = cache.find(keys[spec])
        if found is None:
            raise CompileError("the kernel cache was emptied while a model was compiled; try again")
        tile = TILES[spec.kind](**found.facts["tile"])
        kernels[spec] = Kernel(
            spec, tile, found.facts["symbol"], found.object, found.facts["scratch_bytes"], found.facts["time_us"]
        )
    return kernels, len(missing)


def _most_tiles() -> int | None:
    """Tiles that a kernel may be tried with, by `POCKETFORMER_TILES`; None leaves it to the schedules.

    Raises:
        CompileError: it is no such number.
    """
    text = os.environ.get(TILES_VARIABLE)
    if not text:
        return None
    if not text.isdecimal() or not int(text):
        raise CompileError(f"{TILES_VARIABLE} is '{text}'; give how many tiles to try for a kernel, 1 or more, or unset it")
    return int(text)


def _compile_missing(
    specs: Sequence[Spec],
    keys: dict[Spec, str],
    isa: Isa,
    threads: int,
    most_tiles: int | None,
    folder: Path,
    log: Callable[[str], None],
    here: bool,
) -> None:
    choices = [
        _Choice(spec, tile, f"pf_{spec.kind}_{keys[spec][: cache.SYMBOL_DIGITS]}_{index}")
        for spec in specs
        for index, tile in enumerate(spec.tiles(isa, threads)[:most_tiles])
    ]
    log(f"compiling {len(specs)} kernels, {len(choices)} tiles in all")
    compiled = _compile_side_by_side(choices, isa, folder)
    candidates = {spec: [kernel for kernel in compiled if kernel.spec == spec] for spec in specs}
    times_us: dict[str, float | None] = dict.fromkeys(kernel.symbol for kernel in compiled)
    if here:
        log(f"timing {len(choices)} tiles")
        times_us |= _time(compiled, isa, threads, folder)
    for spec, group in candidates.items():
        best = min(group, key=lambda kernel: times_us[kernel.symbol] or 0.0)
        facts = {
            "tile": dataclasses.asdict(best.tile),
            "symbol": best.symbol,
            "scratch_bytes": best.scratch_bytes,
            "time_us": times_us[best.symbol],
            "tried": [{**dataclasses.asdict(kernel.tile), "time_us": times_us[kernel.symbol]} for kernel in group],
            "kind": spec.kind,
        }
        cache.put(keys[spec], best.object, facts)


@dataclass(frozen=True)
class _Choice:
    """One tile that a kernel may have, and the name of its function."""

    spec: Spec
    tile: Any
    symbol: str


def _compile_side_by_side(choices: Sequence[_Choice], isa: Isa, folder: Path) -> list[Kernel]:
    """TVM compiles on one thread, so forks of this process, which have imported it already, share the work.

    Raises:
        CompileError: one of them crashed.
    """
    import tvm  # noqa: F401

    compile_one = partial(_compile, isa=isa, folder=folder)
    processes = min(cores(), len(choices))
    if processes == 1:
        return [compile_one(choice) for choice in choices]
    try:
        with ProcessPoolExecutor(processes, mp_context=get_context("fork")) as pool:
            return list(pool.map(compile_one, choices))
    except BrokenProcessPool:
        raise CompileError(
            "the compiler crashed on a kernel; try again, and if that does not help, report the architecture"
        ) from None


def _compile(choice: _Choice, isa: Isa, folder: Path) -> Kernel:
    import tvm

    path = folder / f"{choice.symbol}.o"
    with busy():
        function = choice.spec.build(choice.tile, isa, choice.symbol)
        module = tvm.compile(function.tir, target=tvm.target.Target(isa.target()))
        module.mod.write_to_file(str(path), "o")
    return Kernel(choice.spec, choice.tile, choice.symbol, path, function.scratch_bytes, None)


class _Tensor(ctypes.Structure):
    """runtime/tvm_abi.h: pf_tensor."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("axes", ctypes.c_int32),
        ("type_code", ctypes.c_uint8),
        ("type_bits", ctypes.c_uint8),
        ("type_lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.c_void_p),
        ("byte_offset", ctypes.c_uint64),
    )


def _time(kernels: Sequence[Kernel], isa: Isa, threads: int, folder: Path) -> dict[str, float]:
    """Microseconds of each kernel on the models' own thread pool: the median of a few rounds' medians, taken in turns. Not the best
    one: on a core whose other thread or caches others use now and then, the tile that suffers least from it is the better one."""
    library = folder / "tune.so"
    zig.link_shared([zig.RUNTIME / "tune.c", zig.RUNTIME / "pool.c", *(kernel.object for kernel in kernels)], library, isa)
    loaded = ctypes.CDLL(str(library))
    loaded.pf_kernel_error.restype = ctypes.c_char_p
    rounds: dict[str, list[float]] = {kernel.symbol: [] for kernel in kernels}
    cold = aligned((COLD_BYTES // 4,), "float32")
    _fill(cold)
    with quiet():
        operands = {kernel.symbol: _tensors(kernel) for kernel in kernels}
        for _ in range(TUNING_ROUNDS):
            for kernel in kernels:
                known = rounds[kernel.symbol]
                runs = max(3, min(25, int(TUNING_ROUND_US / min(known)))) if known else 3
                known.append(_time_once(loaded, kernel, operands[kernel.symbol][0], cold, threads, runs))
    return {symbol: median(times_us) for symbol, times_us in rounds.items()}


def _time_once(loaded: ctypes.CDLL, kernel: Kernel, tensors: Any, cold: np.ndarray, threads: int, runs: int) -> float:
    function = ctypes.cast(loaded[f"__tvm_ffi_{kernel.symbol}"], ctypes.c_void_p)
    times_us = (ctypes.c_double * runs)()
    scratch = ctypes.c_size_t(kernel.scratch_bytes)
    tasks = kernel.spec.tasks(kernel.tile)
    names = [name for name, _, _ in kernel.spec.parameters(kernel.tile)]
    weight = names.index("weight") if "weight" in names else -1
    pool = ctypes.c_void_p(cold.ctypes.data), ctypes.c_size_t(cold.nbytes)
    if loaded.pf_time_kernel(function, tensors, len(tensors), tasks, threads, scratch, weight, *pool, runs, times_us):
        raise CompileError(f"kernel {kernel.symbol} failed while it was timed: {loaded.pf_kernel_error().decode()}")
    return median(times_us)


def _tensors(kernel: Kernel) -> tuple[Any, list[np.ndarray]]:
    """Descriptors and the aligned arrays they point to."""
    arrays = []
    parameters = kernel.spec.parameters(kernel.tile)
    tensors = (_Tensor * len(parameters))()
    for tensor, (name, shape, dtype) in zip(tensors, parameters, strict=True):
        array = aligned(shape, dtype)
        if dtype == "float32" and name != "weight":  # that one is read from the cold memory
            _fill(array)
        arrays.append(array)
        tensor.data = array.ctypes.data
        tensor.device_type, tensor.axes = 1, len(shape)
        tensor.type_code = 2 if dtype.startswith("float") else 0
        tensor.type_bits, tensor.type_lanes = 8 * array.itemsize, 1
        tensor.shape = (ctypes.c_int64 * len(shape))(*shape)
    return tensors, arrays


def _fill(array: np.ndarray) -> None:
    """Normally distributed numbers, the same few thousand over and over: drawing a million takes longer than timing on them."""
    few = np.random.default_rng(0).standard_normal(min(array.size, RANDOM_NUMBERS), np.float32)
    flat = array.reshape(-1)
    whole = flat.size // few.size * few.size
    flat[:whole].reshape(-1, few.size)[...] = few
    flat[whole:] = few[: flat.size - whole]


def aligned(shape: tuple[int, ...], dtype: str, alignment: int = 64) -> np.ndarray:
    """Zeros whose first byte lies on a cache line."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    raw = np.zeros(size + alignment, np.uint8)
    start = -raw.ctypes.data % alignment
    return raw[start : start + size].view(dtype).reshape(shape)
