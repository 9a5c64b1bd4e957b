"""The static plan as the C tables that runtime/plan.h declares."""

from compiler.isa import Isa
from compiler.kernels import rows_of
from compiler.plan import Plan, Program


def plan_source(plan: Plan, isa: Isa) -> str:
    """The plan as C tables."""
    symbols = dict.fromkeys(call.kernel.symbol for program in plan.programs for call in program.calls)
    needs = " | ".join(f"PF_CPU_{need}" for need in isa.needs) or "0"
    declared = "\n".join(f"int __tvm_ffi_{symbol}(void *, const pf_argument *, int32_t, pf_argument *);" for symbol in symbols)
    tables = "\n".join(_tables(program, f"_{program.seq_len}") for program in plan.programs)
    programs = ",\n".join(
        f"    {{{program.seq_len}, {rows_of(program.seq_len)}, {len(program.tensors)}, {len(program.calls)}, "
        f"tensors_{program.seq_len}, calls_{program.seq_len}, {program.ids[0]}, {program.ids[1]}, {program.ids[2]}, "
        f"{program.output}}}"
        for program in plan.programs
    )
    return f"""#include "cpu.h"
#include "plan.h"

{declared}

{tables}
static const pf_program programs[] = {{
{programs}
}};

static const int seq_lens[] = {{{", ".join(map(str, plan.seq_lens))}}};

const pf_plan pf_the_plan = {{
    .outputs = {plan.outputs}, .words = {plan.words}, .types = {plan.types}, .cpu_needs = {needs},
    .arena_bytes = {plan.arena_bytes}u, .weights_bytes = {plan.weights.size}u, .scratch_bytes = {plan.scratch_bytes}u,
    .program_count = {len(plan.programs)}, .programs = programs, .seq_lens = seq_lens,
    .digest = {{{", ".join(str(byte) for byte in plan.weights.digest())}}},
}};
"""


def _tables(program: Program, suffix: str) -> str:
    """A program's tensors and calls, their names ending in `suffix`."""
    tensors = ",\n".join(
        f"    {{{tensor.offset}u, {{{', '.join(map(str, tensor.shape))}}}, {'PF_IN_WEIGHTS' if tensor.in_weights else 'PF_IN_ARENA'}, "
        f"{len(tensor.shape)}, {'PF_TYPE_FLOAT' if tensor.dtype == 'float32' else 'PF_TYPE_INT'}}}"
        for tensor in program.tensors
    )
    calls = ",\n".join(
        f'    {{__tvm_ffi_{call.kernel.symbol}, "{call.kernel.symbol}", {call.kernel.spec.tasks(call.kernel.tile)}, {int(call.shared)}, '
        f"{len(call.tensors)}, {{{', '.join(map(str, call.tensors))}}}}}"
        for call in program.calls
    )
    return f"""static const pf_place tensors{suffix}[] = {{
{tensors}
}};

static const pf_call calls{suffix}[] = {{
{calls}
}};
"""
