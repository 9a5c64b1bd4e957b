"""Compilation from outside: a request in, a folder with a compiled model out, or one clear error.

TVM can crash or hang on a schedule, and take its process with it. So it runs in a process of its own (`compiler.worker`) with
a time and a memory limit; whatever happens there fails that build with its message, and nothing else.
"""

import dataclasses
import json
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compiler.devices import check_device
from compiler.precisions import FP32
from compiler.quiet import ShouldStop, never
from compiler.targets import check_precision
from compiler.work import Work
from compiler.workers import Worker, start_worker
from data.errors import Cancelled, CompileError, CompileTimeout, UsageError

POLL_S = 0.1
FUSIONS = ("lp", "none")  # the keys of compiler.passes.PIPELINES, which this process does not import
MESSAGE_CHARACTERS = 300


@dataclass(frozen=True)
class ProgramMaker:
    """A program that the compiling process makes for itself. What asks for it goes on meanwhile: a search trains, and tracing beside that in
    one interpreter would hold it up.

    Attributes:
        function: `module:name` of what makes a `torch.export.ExportedProgram` and its samples, arrays by name, as files hold them.
        arguments: by name, values that JSON has.
    """

    function: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class BuildRequest:
    """What to compile.

    Attributes:
        program: a `torch.export` .pt2 of a module (input_ids, token_type_ids, attention_mask: int64 (1, S)) -> float32 (1, N); or an
            ONNX file with inputs of those names, whose first vector a sentence is the answer; or what makes the former.
        samples: an .npz with those three inputs, int64 (n, S), and `expected`, float32 (n, N): the program's own answers. None where a maker
            has them.
        precision: of `compiler.precisions`.
        tolerance: the largest absolute difference from them that is accepted; None takes what the precision allows (`compiler.check`).
        seq_lens: shorter sequence lengths than the program's own S, in tokens, that are compiled beside it over the same weights; S itself
            may be among them. Each is checked on the samples that fit it. None takes the usual ones, as far as the program allows.
        fusion: `lp` for LP-Fusion; `none` makes a kernel of every layer of computation, with the same schedules.
        seq_len: S that an ONNX file's sequence axis is fixed to; a .pt2 has its own.
        gpu: whether OpenCL code for the device's GPU goes with it (`compiler.opencl`); it reads fp32's weights, so that is the precision, and
            halves them itself where it is asked for fp16.
        tune: whether kernels' tiles are tried on the connected phone; on this machine they always are, where the model is for it.
        background: whether it takes of the cores what training leaves, which else is slowed by it. What is compiled for a search must only be
            there before its training ends (CANAO section 3.3).
    """

    program: Path | ProgramMaker
    samples: Path | None
    device: str = "host"
    precision: str = FP32
    tolerance: float | None = None
    seq_lens: tuple[int, ...] | None = ()
    fusion: str = "lp"
    seq_len: int = 128
    gpu: bool = False
    tune: bool = False
    background: bool = False


@dataclass(frozen=True)
class Built:
    """A compiled model.

    Attributes:
        folder: model.so, bench, weights.bin, plan.json, pocketformer.h; with GPU code also bench-gpu.
        seq_lens: tokens, ascending: a sentence takes the shortest that it fits.
        kernels: kernel calls in one inference.
        kernels_compiled: kernels that the cache did not have.
        max_abs_error: from the samples' answers; None where nothing here can run a device's programs.
        peak_memory_mb: resident memory of the compiling process and all that it started, the most that was seen.
        blocks: one a kernel call: name, members, rule (access pattern), law (computation law), bytes and FLOPs before and after.
    """

    folder: Path
    seq_lens: list[int]
    kernels: int
    compile_s: float
    max_abs_error: float | None
    kernels_compiled: int
    blocks: list[dict[str, Any]]
    peak_memory_mb: int = 0


def build(
    request: BuildRequest,
    folder: Path,
    *,
    timeout_s: float = 300,
    memory_mb: int = 6000,
    should_stop: ShouldStop = never,
    log: Callable[[str], None] | None = None,
) -> Built:
    """Compile into `folder`, which is complete afterwards, or untouched.

    Args:
        memory_mb: of the worker and all that it starts, resident.
        log: called with each line of progress.

    Raises:
        UsageError: unknown device, precision or fusion.
        CompileError: the model did not compile, or its answers differ from the samples'.
        CompileTimeout: `timeout_s` went by.
        Cancelled: `should_stop()` turned true.
    """
    check_device(request.device)
    check_precision(request.device, request.precision)
    check_fusion(request.fusion)
    if request.gpu and request.precision != FP32:
        raise UsageError(f"code for GPUs goes with precision fp32, not {request.precision}; there it computes in fp16 if asked")
    for path in (request.program, request.samples):
        if isinstance(path, Path) and not path.is_file():
            raise CompileError(f"{path} does not exist")
    folder.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        job = {"job": "compile", **dataclasses.asdict(request), "folder": staging}
        report = _run_worker(job, timeout_s, memory_mb, should_stop, log)
        if folder.exists():
            shutil.rmtree(folder)
        staging.chmod(0o755)
        staging.rename(folder)
    except OSError as error:
        raise CompileError(f"cannot write {folder}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return Built(folder=folder, **report)


def report_fusion(
    program: Path,
    fusion: str = "lp",
    seq_len: int = 128,
    *,
    timeout_s: float = 300,
    memory_mb: int = 6000,
    should_stop: ShouldStop = never,
    log: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """What fusion makes of a program (an ONNX file at `seq_len` tokens), without compiling it: layers_before {compute_intensive, memory_intensive, total},
    kernels_after, ir_mb_before, ir_mb_after, flops_before, flops_after, and `Built.blocks`. About three seconds.

    Raises:
        UsageError: unknown fusion.
        CompileError, CompileTimeout, Cancelled: as `build`.
    """
    check_fusion(fusion)
    if not program.is_file():
        raise CompileError(f"{program} does not exist")
    report = _run_worker(
        {"job": "report", "program": program, "fusion": fusion, "seq_len": seq_len}, timeout_s, memory_mb, should_stop, log
    )
    return {name: value for name, value in report.items() if name != "peak_memory_mb"}


def work_of_program(program: Path, fusion: str = "lp", seq_len: int = 128, precision: str = "fp32") -> list[Work]:
    """What the kernels of a program have to do (an ONNX file at `seq_len` tokens), without compiling it. About three seconds.

    Raises:
        UsageError: unknown fusion.
        CompileError, CompileTimeout: as `build`.
    """
    check_fusion(fusion)
    if not program.is_file():
        raise CompileError(f"{program} does not exist")
    job = {"job": "work", "program": program, "fusion": fusion, "seq_len": seq_len, "precision": precision}
    return [Work(**facts) for facts in _run_worker(job, 300, 6000, never, None)["work"]]


def check_fusion(fusion: str) -> None:
    """
    Raises:
        UsageError: not one of `FUSIONS`.
    """
    if fusion not in FUSIONS:
        raise UsageError(f"unknown fusion '{fusion}'; take {' or '.join(FUSIONS)}")


def _run_worker(
    job: dict[str, Any],
    timeout_s: float,
    memory_mb: int,
    should_stop: ShouldStop,
    log: Callable[[str], None] | None,
) -> dict[str, Any]:
    """The worker's report. Its whole process group is gone when this returns."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        worker = start_worker(job, output, errors)
        try:
            peak_mb = _wait(worker, output, timeout_s, memory_mb, should_stop, log)
        finally:
            worker.end()
        output.seek(0)
        messages = [json.loads(line) for line in output.read().decode().splitlines() if line.startswith("{")]
        errors.seek(0)
        trouble = errors.read().decode(errors="replace")
    if messages and "report" in messages[-1]:
        return {**messages[-1]["report"], "peak_memory_mb": peak_mb}
    if messages and "error" in messages[-1]:
        raise CompileError(messages[-1]["error"])
    status = worker.returncode or 0
    raise CompileError(f"the compiler {_how_it_ended(status)} {_where(messages)}: {_last_line(trouble)}")


def _wait(
    worker: Worker,
    output: Any,
    timeout_s: float,
    memory_mb: int,
    should_stop: ShouldStop,
    log: Callable[[str], None] | None,
) -> int:
    """Until the worker has ended; the most memory that was seen, in MB."""
    deadline = time.monotonic() + timeout_s
    told = peak_mb = 0
    while not worker.wait(POLL_S):
        if should_stop():
            raise Cancelled("compilation was stopped")
        if time.monotonic() > deadline:
            raise CompileTimeout(f"compilation took longer than {timeout_s:g} s and was stopped; allow more time, or try again")
        used_mb = _resident_mb(worker.pid) if worker.pid else 0
        peak_mb = max(peak_mb, used_mb)
        if used_mb > memory_mb:
            raise CompileError(
                f"compilation took {used_mb} MB of memory, more than the {memory_mb} MB allowed, and was stopped"
            )
        told = _tell(output, told, log)
    _tell(output, told, log)
    return peak_mb


def _tell(output: Any, told: int, log: Callable[[str], None] | None) -> int:
    """Hand on the whole lines that are new; the position after them. The worker writes through its own descriptor's offset,
    which is shared, so the file is read without moving it."""
    if log is None:
        return told
    text = os.pread(output.fileno(), os.fstat(output.fileno()).st_size - told, told)
    whole = text[: text.rfind(b"\n") + 1]
    for line in whole.decode().splitlines():
        if line.startswith("{") and (message := json.loads(line).get("progress")):
            log(message)
    return told + len(whole)


def _resident_mb(pid: int) -> int:
    """Of a process, and what its children hold beside it: forks share most of their memory with it."""
    import psutil

    total = 0
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        total = process.memory_info().rss
        for child in process.children(recursive=True):
            with suppress(psutil.Error):
                total += child.memory_full_info().uss
    return total >> 20


def _how_it_ended(status: int) -> str:
    if status < 0:
        return f"crashed ({signal.Signals(-status).name})"
    return f"ended with status {status}"


def _where(messages: list[dict[str, Any]]) -> str:
    steps = [message["progress"] for message in messages if "progress" in message]
    return f"while {steps[-1]}" if steps else "at its start"


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:MESSAGE_CHARACTERS] if lines else "no message"
