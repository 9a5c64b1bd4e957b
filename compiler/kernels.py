"""From blocks to machine code: a spec for each block, tiles tried on this machine, object files kept in the kernel cache."""

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
from typing import Any

from compiler import cache
from compiler.graph import Value
from compiler.isa import Isa, cores
from compiler.precisions import FP16, FP32, INT8
from compiler.quiet import busy
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
    """A compiled block kind with its tile. `time_us`: of one call where it was timed, its weights cold; None where it was not."""

    spec: Spec
    tile: Any
    symbol: str
    object: Path
    scratch_bytes: int
    time_us: float | None


@dataclass(frozen=True)
class Timer:
    """Where tiles are tried by measurement.

    Attributes:
        place: keeps what is best there apart from what is best elsewhere.
        times_us: (kernels, instruction set, threads, a folder to work in) -> microseconds of a call of each, by symbol.
    """

    place: str
    times_us: Callable[[Sequence[Kernel], Isa, int, Path], dict[str, float]]


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
    specs: Sequence[Spec], isa: Isa, threads: int, log: Callable[[str], None], timer: Timer | None
) -> tuple[dict[Spec, Kernel], int]:
    """A kernel for each spec, and how many had to be compiled. Cost: 0.1 to 0.4 s of a core for each tile tried, nothing when cached.

    Args:
        timer: None leaves the choice of tiles to the schedules' cost models.

    Raises:
        CompileError: a kernel does not compile.
        MeasureError: one fails where it is timed.
    """
    wanted = list(dict.fromkeys(specs))
    most_tiles = _most_tiles() if timer else 1
    keys = {spec: cache.kernel_key(spec, isa, threads, most_tiles, timer.place if timer else "") for spec in wanted}
    missing = [spec for spec in wanted if cache.find(keys[spec]) is None]
    if missing:
        with cache.compiling(), tempfile.TemporaryDirectory(prefix="pocketformer-kernels-") as folder:
            missing = [spec for spec in missing if cache.find(keys[spec]) is None]
            if missing:
                _compile_missing(missing, keys, isa, threads, most_tiles, Path(folder), log, timer)
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
    timer: Timer | None,
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
    if timer:
        log(f"timing {len(choices)} tiles")
        times_us |= timer.times_us(compiled, isa, threads, folder)
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
