"""The compiling process: `python -m compiler.worker JOB`, started by `compiler.build`.

JOB is a JSON object: the fields of a `BuildRequest` and `folder`. Standard output is a line of JSON for each step, `{"progress"}`,
and one at the end: `{"report"}` or `{"error"}`.
"""

import json
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib.metadata import version
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from compiler import zig
from compiler.evaluate import OPERATORS
from compiler.graph import CONSTANT, INPUT, Graph, Value
from compiler.isa import Isa, cores, host
from compiler.kernels import Kernel, compile_kernels, spec_of
from compiler.passes import fuse_layers
from compiler.plan import Plan, make_plan, plan_source
from compiler.quiet import busy
from compiler.relax_import import import_program
from compiler.session import LIBRARY, WEIGHTS, Session
from data.errors import CompileError, PocketformerError

RUNTIME_SOURCES = ("pool.c", "model.c", "cpu.c")
COMPUTATION_LAWS = ("associative", "distributive", "commutative")
SAMPLE_INPUTS = ("input_ids", "token_type_ids", "attention_mask")


def main() -> None:
    # Only this function writes to the caller's pipe; what TVM or a library prints goes to standard error.
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)

    def say(**message: Any) -> None:
        out.write(json.dumps(message) + "\n")

    try:
        job = json.loads(sys.argv[1])
        say(report=compile_model(job, lambda step: say(progress=step)))
    except PocketformerError as error:
        say(error=" ".join(str(error).split()))
        sys.exit(error.exit_status)


def compile_model(job: dict[str, Any], progress: Callable[[str], None]) -> dict[str, Any]:
    """All steps from program to checked folder; the fields of `Built` but its folder."""
    started = time.monotonic()
    folder = Path(job["folder"])
    isa = host()
    ready = _prepare_linker(isa)
    progress("importing the program")
    with busy():
        graph = fuse_layers(import_program(Path(job["program"])))
    blocks = [value for value in graph.values() if value.operator not in (INPUT, CONSTANT)]
    refuse_unknown(blocks)
    seq_len = graph.inputs[0].shape[-1]
    specs = {block: spec_of(block, seq_len) for block in blocks}
    progress("compiling kernels")
    ready.join()
    compiled, missing = compile_kernels(list(specs.values()), isa, cores(), progress)
    kernels = {block: compiled[specs[block]] for block in blocks}
    progress("planning memory and packing weights")
    plan = make_plan(graph, kernels, isa)
    with ThreadPoolExecutor(1) as beside:
        written = beside.submit(plan.weights.write, folder / WEIGHTS)
        progress("linking")
        _link(plan, isa, folder)
        written.result()
    progress("comparing with torch's answers")
    error = _check(folder, Path(job["samples"]), job["tolerance"])
    report = {
        "kernels": len(plan.calls),
        "compile_s": round(time.monotonic() - started, 3),
        "max_abs_error": error,
        "kernels_compiled": missing,
        "blocks": describe(graph, blocks),
    }
    (folder / "plan.json").write_text(json.dumps(_facts(plan, kernels, isa, report), indent=1))
    return report


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


def _link(plan: Plan, isa: Isa, folder: Path) -> None:
    objects = list(dict.fromkeys(call.kernel.object for call in plan.calls))
    with tempfile.TemporaryDirectory(prefix="pocketformer-link-") as scratch:
        source = Path(scratch) / "plan.c"
        source.write_text(plan_source(plan, isa))
        inputs = [*(zig.RUNTIME / name for name in RUNTIME_SOURCES), source, *objects]
        with ThreadPoolExecutor(1) as beside:
            library = beside.submit(zig.link_shared, inputs, folder / LIBRARY, isa)
            zig.link_static([zig.RUNTIME / "bench.c", *inputs], folder / "bench", isa)
            library.result()
    shutil.copy(zig.RUNTIME / "pocketformer.h", folder)


def _check(folder: Path, samples: Path, tolerance: float) -> float:
    """Largest absolute difference from torch.

    Raises:
        CompileError: it is over the tolerance, or not a number.
    """
    try:
        with np.load(samples) as arrays:
            inputs = [arrays[name] for name in SAMPLE_INPUTS]
            expected = arrays["expected"]
    except (OSError, ValueError, KeyError) as error:
        raise CompileError(f"{samples.name} does not hold samples: {error}") from error
    with Session(folder, threads=cores()) as session:
        answers = session.run(*inputs)
    if answers.shape != expected.shape:
        raise CompileError(f"the compiled model answers with shape {answers.shape}, torch with {expected.shape}")
    difference = float(np.abs(answers - expected).max(initial=0.0))
    if not difference <= tolerance:
        raise CompileError(f"the compiled model differs from torch by {difference:.3g}, more than the {tolerance:g} allowed")
    return difference


def describe(graph: Graph, blocks: list[Value]) -> list[dict[str, Any]]:
    """Provenance of every block. Bytes are of the tensors written: by its members one by one, and by the block."""
    layer = 0
    described = []
    for block in blocks:
        laws = [law for law in block.laws if law.split(":")[0] in COMPUTATION_LAWS]
        role = _role(block)
        if role == "qkv":
            layer += 1
        described.append(
            {
                "name": f"layer{layer}.{role}" if layer and role != "readout" else role,
                "members": [member.operator for member in block.members],
                "rule": "; ".join(law for law in block.laws if law not in laws),
                "law": "; ".join(laws),
                "bytes_before": sum(member.bytes for member in block.members),
                "bytes_after": prod(block.shape) * 4,
            }
        )
    return described


def _role(block: Value) -> str:
    if block.operator != "linear":
        return block.operator
    if any(law.startswith("distributive") for law in block.laws):
        return "qkv"
    if block.attributes.get("activation"):
        return "ffn_up"
    if "epsilon" not in block.attributes:
        return "projection"
    return "attention_output" if block.inputs[0].operator == "attention" else "ffn_down"


def _facts(plan: Plan, kernels: dict[Value, Kernel], isa: Isa, report: dict[str, Any]) -> dict[str, Any]:
    return {
        **report,
        "seq_len": plan.seq_len,
        "outputs": plan.outputs,
        "isa": isa.name,
        "arena_bytes": plan.arena_bytes,
        "weights_bytes": plan.weights.size,
        "flops": sum(call.kernel.spec.flops for call in plan.calls),
        "calls": [
            {"symbol": call.kernel.symbol, "kind": call.kernel.spec.kind, "tile": vars(call.kernel.tile)} for call in plan.calls
        ],
        "versions": {name: version(name) for name in ("apache-tvm", "ziglang", "torch")},
    }


if __name__ == "__main__":
    main()
