"""Kernels' tiles tried on the connected phone, on the cores that models will run on."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from compiler.arm import runs_on
from compiler.isa import Isa
from compiler.kernels import Timer
from compiler.phone.choose import Connected, find_phone
from compiler.phone.files import put
from compiler.phone.running import alone, persistently
from compiler.phone.timing import cores_of, on_cores, run_cool
from compiler.tuning import TIMEOUT_S, times_us
from data.errors import MeasureError


def tuning_on(device: str, levels: Sequence[Isa]) -> tuple[Isa, Timer]:
    """The level of instructions that the connected phone takes, and what times kernels on it.

    Raises:
        MeasureError: no such phone is connected, or it takes none of them.
    """
    found = find_phone(device)
    isa = next((each for each in levels if runs_on(each, found.facts.features)), None)
    if isa is None:
        raise MeasureError(f"{found.title} has none of the instructions that {device} is compiled for")
    return isa, Timer(f"{found.facts.model} {found.facts.soc}", partial(times_us, run=partial(_run, found)))


def _run(found: Connected, program: Path, threads: int) -> str:
    cores = cores_of(found, None, threads)

    def attempt() -> str:
        (tune,) = put(found.phone, [program])
        return run_cool(found, cores, [tune, *on_cores(cores, threads)], timeout_s=TIMEOUT_S)[0]

    with alone(found.phone):
        return persistently(found.phone, attempt)
