"""The static plan as the C tables that runtime/plan.h declares."""

import numpy as np

from compiler.isa import Isa
from compiler.kernels import rows_of
from compiler.plan import Plan, Program


def plan_source(plan: Plan) -> str:
    """The plan as C tables."""
    kernels = [kernel for program in plan.programs for call in program.calls for kernel in call.kernels]
    symbols = dict.fromkeys(kernel.symbol for kernel in kernels)
    declared = "\n".join(f"int __tvm_ffi_{symbol}(void *, const pf_argument *, int32_t, pf_argument *);" for symbol in symbols)
    tensors = "\n".join(_tensors(program) for program in plan.programs)
    programs = "\n".join(_programs(plan, level) for level in range(len(plan.levels)))
    levels = ",\n".join(f'    {{"{isa.name}", {needs_of(isa)}, programs_{level}}}' for level, isa in enumerate(plan.levels))
    return f"""#include "cpu.h"
#include "plan.h"

{declared}

{tensors}
{programs}
static const pf_level levels[] = {{
{levels}
}};

static const int seq_lens[] = {{{", ".join(map(str, plan.seq_lens))}}};

const pf_plan pf_the_plan = {{
    .outputs = {plan.outputs}, .words = {plan.words}, .types = {plan.types},
    .arena_bytes = {plan.arena_bytes}u, .weights_bytes = {plan.weights.size}u, .scratch_bytes = {plan.scratch_bytes}u,
    .level_count = {len(plan.levels)}, .levels = levels, .program_count = {len(plan.programs)}, .seq_lens = seq_lens,
    .digest = {{{", ".join(str(byte) for byte in plan.weights.digest())}}},
}};
"""


def needs_of(isa: Isa) -> str:
    """Its `PF_CPU_` bits."""
    return " | ".join(f"PF_CPU_{need}" for need in isa.needs) or "0"


def _tensors(program: Program) -> str:
    places = ",\n".join(
        f"    {{{tensor.offset}u, {{{', '.join(map(str, tensor.shape))}}}, {'PF_IN_WEIGHTS' if tensor.in_weights else 'PF_IN_ARENA'}, "
        f"{len(tensor.shape)}, {type_of(tensor.dtype)}}}"
        for tensor in program.tensors
    )
    return f"""static const pf_place tensors_{program.seq_len}[] = {{
{places}
}};
"""


def type_of(name: str) -> str:
    """Code and bits of a tensor's numbers."""
    return f"{'PF_TYPE_FLOAT' if name.startswith('float') else 'PF_TYPE_INT'}, {8 * np.dtype(name).itemsize}"


def _programs(plan: Plan, level: int) -> str:
    """A level's calls of every program, and the programs."""
    calls = "\n".join(_calls(program, level) for program in plan.programs)
    programs = ",\n".join(
        f"    {{{program.seq_len}, {rows_of(program.seq_len)}, {len(program.tensors)}, {len(program.calls)}, "
        f"tensors_{program.seq_len}, calls_{program.seq_len}_{level}, {program.ids[0]}, {program.ids[1]}, {program.ids[2]}, "
        f"{program.output}}}"
        for program in plan.programs
    )
    return f"""{calls}
static const pf_program programs_{level}[] = {{
{programs}
}};
"""


def _calls(program: Program, level: int) -> str:
    calls = ",\n".join(
        f'    {{__tvm_ffi_{kernel.symbol}, "{kernel.symbol}", {kernel.spec.tasks(kernel.tile)}, {int(call.shared)}, '
        f"{len(call.tensors)}, {{{', '.join(map(str, call.tensors))}}}}}"
        for call in program.calls
        for kernel in (call.kernels[level],)
    )
    return f"""static const pf_call calls_{program.seq_len}_{level}[] = {{
{calls}
}};
"""
