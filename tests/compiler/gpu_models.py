"""Graphs compiled for the GPU alone, and the OpenCL device that stands in for one: PoCL, which runs OpenCL on a CPU."""

import ctypes.util
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from needs import absent
from programs import tokens

from compiler import isa, zig
from compiler.evaluate import evaluate
from compiler.graph import CONSTANT, INPUT, Graph, Value
from compiler.isa import Isa
from compiler.kernels import Kernel, spec_of
from compiler.opencl.tables import gpu_plan_source
from compiler.plan import Plan, make_plan
from compiler.plan_source import plan_source
from compiler.session import LIBRARY, WEIGHTS, Session
from compiler.worker import GPU_SOURCES, RUNTIME_SOURCES

HOST = isa.host()


PACKAGES = "pocl-opencl-icd ocl-icd-libopencl1"


@contextmanager
def opencl(cache: Path) -> Iterator[None]:
    """PoCL, which is no GPU, may be taken for one."""
    if ctypes.util.find_library("OpenCL") is None or not list(Path("/etc/OpenCL/vendors").glob("pocl*.icd")):
        absent(f"no OpenCL (Debian: {PACKAGES})")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POCKETFORMER_OPENCL_DEVICE", "any")
        patch.setenv("POCL_CACHE_DIR", str(cache))
        yield


def plan_of(graph: Graph, isa: Isa = HOST) -> Plan:
    """The plan, without the CPU's machine code."""
    kernels = {}
    for value in graph.values():
        if value.operator not in (INPUT, CONSTANT):
            spec = spec_of(value, graph.inputs[0].shape[-1])
            tile = spec.tiles(isa, 1)[0]
            kernels[value] = (Kernel(spec, tile, f"{spec.kind}_{len(kernels)}", Path(), 0, None),)
    return make_plan([graph], kernels, (isa,))


def write(plan: Plan, folder: Path) -> list[Path]:
    """The weights, and the C files of a model that only a GPU runs: the CPU's kernels do nothing."""
    symbols = [call.kernel.symbol for program in plan.programs for call in program.calls]
    stubs = "".join(f"int __tvm_ffi_{symbol}(void) {{ return 0; }}\n" for symbol in symbols)
    texts = {"plan.c": plan_source(plan), "gpu_plan.c": gpu_plan_source(plan), "stubs.c": stubs}
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_text(text)
    plan.weights.write(folder / WEIGHTS)
    return [*(zig.RUNTIME / name for name in (*RUNTIME_SOURCES, *GPU_SOURCES)), *(folder / name for name in texts)]


def answers(graph: Graph, folder: Path, precisions: Sequence[str]) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """The GPU's in each precision, and the evaluator's, for token ids 0, 1, 2, ..., segments and a mask."""
    seq_len = graph.inputs[0].shape[-1]
    numbers = [np.arange(seq_len), np.arange(seq_len) % 3 == 1, np.arange(seq_len) % 5 != 4]
    inputs = {value.name: number.reshape(1, -1).astype(np.int32) for value, number in zip(graph.inputs, numbers, strict=True)}
    found = {}
    zig.link_shared(write(plan_of(graph), folder), folder / LIBRARY, HOST, opens_libraries=True)
    with Session(folder) as session:
        for precision in precisions:
            session.use_gpu(precision)
            found[precision] = session.run(*inputs.values(), trim=False)[0]
    return found, evaluate(graph, inputs).reshape(-1)


def rows_from(table: Value, seq_len: int) -> tuple[tuple[Value, Value, Value], Value]:
    """A program's inputs, and an activation: its first rows are the table's, as ids count up."""
    inputs = tokens(seq_len)
    return inputs, Value("gather", (table, inputs[0]), (seq_len, table.shape[1]))
