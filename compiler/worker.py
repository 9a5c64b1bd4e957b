"""The compiling process: `python -m compiler.worker JOB`, started by `compiler.build`.

JOB is a JSON object, `job` says of which kind: the fields of a `BuildRequest` and `folder` to `compile`, `program` and `fusion` to
`report` what fusion does, and `precision` for the `work` that its kernels have to do. Standard output is a line of JSON for each step, `{"progress"}`,
and one at the end: `{"report"}` or `{"error"}`.
"""

import dataclasses
import importlib
import json
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

from compiler import zig
from compiler.check import INPUTS, Model, Samples, allowed, check
from compiler.devices import HOST
from compiler.emulation import PACKAGE, EmulatedModel, emulator
from compiler.evaluate import OPERATORS
from compiler.graph import CONSTANT, INPUT, Graph, Value
from compiler.isa import Isa, cores
from compiler.kernels import Kernel, Timer, compile_kernels, reading, spec_of
from compiler.lengths import shorter_programs
from compiler.load import load_graph
from compiler.opencl.tables import gpu_plan_source
from compiler.passes import fuse_layers
from compiler.passes.half import halve
from compiler.passes.quantize import quantize
from compiler.plan import Plan, Program, make_plan
from compiler.plan_source import plan_source
from compiler.precisions import FP16, INT8
from compiler.process import stay_in_the_background
from compiler.provenance import describe, summarize
from compiler.quiet import busy
from compiler.schedules import Spec
from compiler.schedules.attention_fp16 import AttentionFp16
from compiler.schedules.linear_fp16 import LinearFp16
from compiler.schedules.linear_int8 import LinearInt8
from compiler.session import LIBRARY, WEIGHTS, Session
from compiler.targets import isas_of, threads_of
from compiler.tuning import HERE
from compiler.work import work_of
from data.errors import CompileError, PocketformerError

LEVELLED = {
    LinearInt8.kind,
    LinearFp16.kind,
    AttentionFp16.kind,
}  # kinds of kernels that are worth instructions which not every processor has
RUNTIME_SOURCES = ("pool.c", "model.c", "cpu.c", "tokenizer.c", "text.c", "jni.c")
GPU_SOURCES = ("gpu.c", "opencl.c")
NO_GPU_SOURCES = ("no_gpu.c",)
GPU_BENCH = "bench-gpu"


def main() -> None:
    # Only this function writes to the caller's pipe; what TVM or a library prints goes to standard error.
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)

    def say(**message: Any) -> None:
        out.write(json.dumps(message) + "\n")

    try:
        job = json.loads(sys.argv[1])
        if job.get("background"):
            stay_in_the_background()
        say(report=JOBS[job["job"]](job, lambda step: say(progress=step)))
    except PocketformerError as error:
        say(error=" ".join(str(error).split()))
        sys.exit(error.exit_status)


def compile_model(job: dict[str, Any], progress: Callable[[str], None]) -> dict[str, Any]:
    """All steps from program to checked folder; the fields of `Built` but its folder."""
    started = time.monotonic()
    folder = Path(job["folder"])
    levels = isas_of(job["device"], job["precision"])
    isa = levels[0]
    tuning = _tuning(job["device"], levels, job["tune"])
    ready = _prepare_linker(isa)
    imported, samples, original = _program(job, progress)
    with busy():
        graph = fuse_layers(imported, job["fusion"])
        if job["precision"] == INT8:
            graph = quantize(graph, isa.largest_weight, isa.zero_point)
        elif job["precision"] == FP16:
            graph = halve(graph)
    blocks = blocks_of(graph)
    shorter = shorter_programs(graph, job["seq_lens"], samples.tokens, progress)
    progress("compiling kernels")
    ready.join()
    kernels, missing = _kernels([graph], {}, job["device"], levels, tuning, progress)
    more, more_missing = _kernels(shorter, kernels, job["device"], levels, tuning, progress)
    progress("planning memory and packing weights")
    plan = make_plan([graph, *shorter], {**kernels, **more}, levels)
    with ThreadPoolExecutor(1) as beside:
        written = beside.submit(plan.weights.write, folder / WEIGHTS)
        progress("linking")
        _link(plan, isa, folder, job["gpu"])
        written.result()
    tolerance = allowed(job["precision"], samples) if job["tolerance"] is None else job["tolerance"]
    error = None
    with _model(folder, plan, job["device"], isa) as model:
        if model is None:
            progress(f"answers are not checked: install the package {PACKAGE} to run this device's programs here")
        else:
            progress(f"comparing with {original}'s answers")
            error = check(model, samples, tolerance, original)
        if job["gpu"]:
            _check_gpu(model, samples, tolerance, original, progress)
    report = {
        "seq_lens": list(plan.seq_lens),
        "kernels": len(plan.longest.calls),
        "max_abs_error": error,
        "blocks": describe(blocks),
    }
    (folder / "plan.json").write_text(json.dumps(_facts(plan, isa, report), indent=1))
    return {**report, "compile_s": round(time.monotonic() - started, 3), "kernels_compiled": missing + more_missing}


def _program(job: Mapping[str, Any], progress: Callable[[str], None]) -> tuple[Graph, Samples, str]:
    """As it was before fusion, what its answers are held against, and whose answers these are."""
    if isinstance(job["program"], str):
        path = Path(job["program"])
        progress("importing the program")
        with busy():
            graph = load_graph(path, job["seq_len"])
        return graph, Samples.read(Path(job["samples"])), "ONNX Runtime" if path.suffix == ".onnx" else "torch"
    import torch

    from compiler.relax_import import import_exported

    torch.set_num_threads(1)  # the process forks when it compiles kernels, and threads do not survive that
    progress("exporting the program from torch")
    module, function = job["program"]["function"].split(":")
    with busy():
        exported, samples = getattr(importlib.import_module(module), function)(**job["program"]["arguments"])
    progress("importing the program")
    with busy():
        graph = import_exported(exported, "the program")
    return graph, Samples.of(tuple(samples[name] for name in INPUTS), samples["expected"]), "torch"


def _tuning(device: str, levels: Sequence[Isa], on_phone: bool) -> tuple[Isa, Timer] | None:
    """Where tiles are tried by measurement: on this machine if the model is for it, on a connected phone if that is asked for.

    Raises:
        MeasureError: no phone that is the device is connected.
    """
    if device == HOST:
        return levels[0], HERE
    if not on_phone:
        return None
    from compiler.phone.tuning import tuning_on

    return tuning_on(device, levels)


@contextmanager
def _model(folder: Path, plan: Plan, device: str, isa: Isa) -> Iterator[Model | None]:
    """What was compiled, ready to answer; None where nothing here can run it."""
    if device == HOST:
        with Session(folder, threads=cores()) as session:
            yield session
    elif emulator(isa):
        yield EmulatedModel(folder, {each.seq_len: each.flops for each in plan.programs}, plan.outputs)
    else:
        yield None


def _check_gpu(model: Model | None, samples: Samples, tolerance: float, original: str, progress: Callable[[str], None]) -> None:
    """The same on this machine's GPU, where it is for one of this machine's kind and has one.

    Raises:
        CompileError: as `check`.
    """
    try:
        if not isinstance(model, Session):
            raise CompileError("nothing here has this device's GPU")
        name = model.use_gpu()
    except CompileError as error:
        progress(f"the GPU's answers are not checked: {error}")
    else:
        progress(f"comparing with {original}'s answers on {name}")
        check(model, samples, tolerance, original)


def report_fusion(job: dict[str, Any], progress: Callable[[str], None]) -> dict[str, Any]:
    """What a pipeline of passes makes of a program (`compiler.provenance.summarize`); nothing is compiled."""
    progress("importing the program")
    with busy():
        imported = load_graph(Path(job["program"]), job["seq_len"])
    progress("fusing layers")
    with busy():
        blocks = blocks_of(fuse_layers(imported, job["fusion"]))
    for block in blocks:
        spec_of(block, imported.inputs[0].shape[-1])
    return summarize(imported, blocks)


def list_work(job: dict[str, Any], progress: Callable[[str], None]) -> dict[str, Any]:
    """`work`: the fields of each kernel's `compiler.work.Work`; nothing is compiled."""
    progress("importing the program")
    with busy():
        graph = fuse_layers(load_graph(Path(job["program"]), job["seq_len"]), job["fusion"])
        if job["precision"] == INT8:
            graph = quantize(graph)
        elif job["precision"] == FP16:
            graph = halve(graph)
    seq_len = graph.inputs[0].shape[-1]
    return {"work": [dataclasses.asdict(work_of(block, spec_of(block, seq_len).kind)) for block in blocks_of(graph)]}


def blocks_of(graph: Graph) -> list[Value]:
    """What kernels are needed for, in order.

    Raises:
        CompileError: an operator that is not known; the message names it.
    """
    blocks = [value for value in graph.values() if value.operator not in (INPUT, CONSTANT)]
    refuse_unknown(blocks)
    return blocks


def _kernels(
    graphs: Sequence[Graph],
    longest: Mapping[Value, tuple[Kernel, ...]],
    device: str,
    levels: Sequence[Isa],
    tuning: tuple[Isa, Timer] | None,
    progress: Callable[[str], None],
) -> tuple[dict[Value, tuple[Kernel, ...]], int]:
    """For each block of each graph a kernel a level, and how many had to be compiled. All of a block read the weights as the best
    level's of the `longest` has them packed. A block that no level has special instructions for has one kernel, the lowest's.

    Args:
        tuning: the level whose tiles are tried by measurement, and where; other levels' are chosen by the cost models.
    """
    blocks = {block: graph.inputs[0].shape[-1] for graph in graphs for block in blocks_of(graph)}
    packed = {block: each for graph in graphs for block, each in zip(blocks_of(graph), longest.values(), strict=False)}
    chosen: dict[Value, tuple[Kernel, ...]] = dict.fromkeys(blocks, ())
    missing = 0
    timed, timer = tuning or (None, None)
    for isa in levels:
        specs: dict[Value, Spec] = {}
        for block, seq_len in blocks.items():
            spec = spec_of(block, seq_len)
            if isa is levels[-1] or spec.kind in LEVELLED:
                known = chosen[block] or packed.get(block, ())
                specs[block] = reading(spec, known[0]) if known else spec
        compiled, more = compile_kernels(
            list(specs.values()), isa, threads_of(device), progress, timer if isa is timed else None
        )
        missing += more
        chosen |= {block: (*chosen[block], compiled[spec]) for block, spec in specs.items()}
    return {block: each if len(each) == len(levels) else each * len(levels) for block, each in chosen.items()}, missing


def refuse_unknown(values: Sequence[Value]) -> None:
    """
    Raises:
        CompileError: what fusion left over has an operator that the compiler does not know at all; the message names it.
    """
    unknown = dict.fromkeys(value.operator for value in values if value.operator not in OPERATORS)
    if unknown:
        raise CompileError(f"the program has operators that are not supported: {', '.join(unknown)}")


def _prepare_linker(isa: Isa) -> threading.Thread:
    """Builds zig's libc beside the import, on the first compilation of a machine only."""

    def run() -> None:
        # A linker that does not work is reported by the link that needs it.
        with suppress(CompileError), tempfile.TemporaryDirectory(prefix="pocketformer-zig-") as folder:
            zig.prepare(isa, Path(folder))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def _link(plan: Plan, isa: Isa, folder: Path, gpu: bool) -> None:
    """The library, the `bench` that needs no other file, and with GPU code the one that can open the GPU's library."""
    objects = list(
        dict.fromkeys(kernel.object for program in plan.programs for call in program.calls for kernel in call.kernels)
    )
    with tempfile.TemporaryDirectory(prefix="pocketformer-link-") as scratch:
        source = Path(scratch) / "plan.c"
        source.write_text(plan_source(plan))
        inputs = [*(zig.RUNTIME / name for name in RUNTIME_SOURCES), source, *objects]
        alone = [*inputs, *(zig.RUNTIME / name for name in NO_GPU_SOURCES)]
        with_gpu = alone
        if gpu:
            kernels = Path(scratch) / "gpu_plan.c"
            kernels.write_text(gpu_plan_source(plan))
            with_gpu = [*inputs, *(zig.RUNTIME / name for name in GPU_SOURCES), kernels]
        bench = zig.RUNTIME / "bench.c"
        with ThreadPoolExecutor(1) as beside:
            library = beside.submit(zig.link_shared, with_gpu, folder / LIBRARY, isa, opens_libraries=gpu)
            zig.link_static([bench, *alone], folder / "bench", isa)
            if gpu:
                zig.link_program([bench, *with_gpu], folder / GPU_BENCH, isa)
            library.result()
    shutil.copy(zig.RUNTIME / "pocketformer.h", folder)


def _facts(plan: Plan, isa: Isa, report: dict[str, Any]) -> dict[str, Any]:
    """plan.json, of which two builds have the same; FLOPs and calls are those of the longest sequence length, `programs` has each length's."""
    return {
        **report,
        "seq_len": plan.longest.seq_len,
        "outputs": plan.outputs,
        "isa": isa.name,
        "levels": [level.name for level in plan.levels],
        "arena_bytes": plan.arena_bytes,
        "weights_bytes": plan.weights.size,
        "flops": plan.longest.flops,
        "calls": _calls(plan.longest),
        "programs": [
            {"seq_len": each.seq_len, "flops": each.flops, "arena_bytes": each.arena_bytes, "calls": _calls(each)}
            for each in plan.programs
        ],
        "versions": {name: version(name) for name in ("apache-tvm", "ziglang", "torch")},
    }


def _calls(program: Program) -> list[dict[str, Any]]:
    return [
        {
            "symbol": call.kernel.symbol,
            "kind": call.kernel.spec.kind,
            "tile": vars(call.kernel.tile),
            "shared": call.shared,
            "time_us": call.kernel.time_us,
        }
        for call in program.calls
    ]


JOBS: dict[str, Callable[[dict[str, Any], Callable[[str], None]], dict[str, Any]]] = {
    "compile": compile_model,
    "report": report_fusion,
    "work": list_work,
}


if __name__ == "__main__":
    main()
