"""The OpenCL program of a plan, and its launches, as the C tables that runtime/gpu.h declares."""

from compiler.opencl.blocks import launches
from compiler.opencl.launch import Launch, template
from compiler.opencl.scalar import horner, literal
from compiler.plan import Plan, Program
from compiler.schedules.emit import ERF_LIMIT, ERF_P, ERF_Q


def gpu_plan_source(plan: Plan) -> str:
    """
    Raises:
        CompileError: a block that GPUs have no kernel for; the message names it.
    """
    names: dict[str, str] = {}
    launched = [_launches(program, plan, names) for program in plan.programs]
    calls = "\n".join(
        f"static const pf_gpu_call calls_{program.seq_len}[] = {{\n{_calls(each, names)}\n}};"
        for program, each in zip(plan.programs, launched, strict=True)
    )
    programs = ", ".join(
        f"{{{len(each)}, calls_{program.seq_len}}}" for program, each in zip(plan.programs, launched, strict=True)
    )
    return f"""#include "gpu.h"

static const char source[] =
{_literal(program_source(names))};

{calls}

static const pf_gpu_program programs[] = {{{programs}}};

const pf_gpu_plan pf_the_gpu_plan = {{source, programs}};
"""


def program_source(names: dict[str, str]) -> str:
    """One OpenCL program of kernels, given as their sources with KERNEL in place of the names they map to."""
    erf = {"ERF_LIMIT": literal(ERF_LIMIT), "ERF_P(x)": horner(ERF_P), "ERF_Q(x)": horner(ERF_Q)}
    kernels = [source.replace("KERNEL", name) for source, name in names.items()]
    return "\n".join([template("common", erf, forget=False), template("convert", {}), *kernels])


def named(launch: Launch, names: dict[str, str]) -> str:
    """The launch's kernel in `names`, to which it is added where it is new."""
    return names.setdefault(launch.source, f"{launch.kind}_{len(names)}")


def _launches(program: Program, plan: Plan, names: dict[str, str]) -> list[tuple[Launch, tuple[int, ...]]]:
    """Each launch with the program's tensors that it takes."""
    found = []
    for call in program.calls:
        for launch in launches(call.kernel.spec, call.kernel.tile, plan.longest.seq_len):
            named(launch, names)
            found.append((launch, tuple(call.tensors[position] for position in launch.tensors)))
    return found


def _calls(launched: list[tuple[Launch, tuple[int, ...]]], names: dict[str, str]) -> str:
    return ",\n".join(
        f'    {{"{names[launch.source]}", {{{_items(launch)}}}, {{{", ".join(map(str, launch.group))}}}, '
        f"{len(tensors)}, {{{', '.join(map(str, tensors))}}}, "
        f"{len(launch.numbers)}, {{{', '.join(f'{number}u' for number in launch.numbers)}}}}}"
        for launch, tensors in launched
    )


def _items(launch: Launch) -> str:
    return ", ".join(str(groups * size) for groups, size in zip(launch.groups, launch.group, strict=True))


def _literal(text: str) -> str:
    """A C string, a line of text a line."""
    escaped = (line.replace("\\", "\\\\").replace('"', '\\"') for line in text.splitlines())
    return "\n".join(f'    "{line}\\n"' for line in escaped)
