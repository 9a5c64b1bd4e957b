"""Tiles tried by measurement: a program of all candidates (runtime/tune.c), run where the model will run."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from compiler import zig
from compiler.isa import Isa
from compiler.kernels import Kernel, Timer
from compiler.measure import run_timed
from compiler.plan_source import needs_of, type_of
from compiler.quiet import never, quiet
from data.errors import CompileError

TIMEOUT_S = 600
PROGRAM = "tune"


def times_us(
    kernels: Sequence[Kernel], isa: Isa, threads: int, folder: Path, run: Callable[[Path, int], str]
) -> dict[str, float]:
    """Microseconds of a call of each kernel, by symbol, its weights cold.

    Args:
        run: what the program prints that it is given, on so many threads.

    Raises:
        CompileError: not all of them were timed.
        MeasureError: a kernel fails, or does not end.
    """
    source, program = folder / "candidates.c", folder / PROGRAM
    source.write_text(candidates_source(kernels, isa))
    runtime = [zig.RUNTIME / name for name in ("tune.c", "pool.c", "cpu.c")]
    zig.link_static([*runtime, source, *(kernel.object for kernel in kernels)], program, isa)
    lines = [line.split() for line in run(program, threads).splitlines()]
    times = {words[0]: float(words[1]) for words in lines if len(words) == 2}
    if times.keys() != {kernel.symbol for kernel in kernels}:
        raise CompileError("tiles were timed, but not all; try again")
    return times


def candidates_source(kernels: Sequence[Kernel], isa: Isa) -> str:
    """Kernels as the C tables that runtime/candidates.h declares."""
    declared = "\n".join(
        f"int __tvm_ffi_{kernel.symbol}(void *, const pf_argument *, int32_t, pf_argument *);" for kernel in kernels
    )
    operands = "\n".join(_operands(index, kernel) for index, kernel in enumerate(kernels))
    candidates = ",\n".join(_candidate(index, kernel) for index, kernel in enumerate(kernels))
    return f"""#include "candidates.h"
#include "cpu.h"

{declared}

{operands}
static const pf_candidate candidates[] = {{
{candidates}
}};

const pf_candidates pf_the_candidates = {{
    {needs_of(isa)}, {max(kernel.scratch_bytes for kernel in kernels)}u, {len(kernels)}, candidates,
}};
"""


def _operands(index: int, kernel: Kernel) -> str:
    shapes = ", ".join(
        f"{{{{{', '.join(map(str, shape))}}}, {len(shape)}, {type_of(dtype)}}}"
        for _, shape, dtype in kernel.spec.parameters(kernel.tile)
    )
    return f"static const pf_operand operands_{index}[] = {{{shapes}}};"


def _candidate(index: int, kernel: Kernel) -> str:
    names = [name for name, _, _ in kernel.spec.parameters(kernel.tile)]
    weight = names.index("weight") if "weight" in names else -1
    tasks = kernel.spec.tasks(kernel.tile)
    return f'    {{"{kernel.symbol}", __tvm_ffi_{kernel.symbol}, {tasks}, {weight}, {len(names)}, operands_{index}}}'


def _run_here(program: Path, threads: int) -> str:
    with quiet():
        return run_timed([str(program), "--threads", str(threads)], never, TIMEOUT_S)


HERE = Timer("", partial(times_us, run=_run_here))
