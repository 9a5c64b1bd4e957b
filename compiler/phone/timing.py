"""A compiled model's latency on a phone, by the protocol of `compiler.measure`."""

import json
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from compiler.measure import EMULATED, Conditions, Latency, latency_of, steadiest
from compiler.phone.choose import Connected, find_phone
from compiler.phone.files import put
from compiler.phone.heat import Heat, cool_down, read_heat
from compiler.phone.running import PROGRAM_TIMEOUT_S, alone, persistently, run_program
from compiler.quiet import ShouldStop, never
from compiler.targets import threads_of
from data.errors import MeasureError

EMULATED_RUNS = 5  # an emulator's times say nothing, however many they are
THROTTLED_TRIES = 3


def measure_on_phone(
    folder: Path,
    device: str,
    threads: int | None,
    options: Sequence[object],
    flops: int,
    should_stop: ShouldStop = never,
) -> Latency:
    """`compiler.measure.measure` on the connected phone that `device` means: pinned to its fastest cores, once it is cool.

    Args:
        options: of `bench`.

    Raises:
        MeasureError, Cancelled: as `compiler.measure.measure`.
    """
    found = find_phone(device)
    cores = cores_of(found, threads, threads_of(device))
    count = len(cores) or threads or threads_of(device)

    def attempt() -> Latency:
        return persistently(found.phone, lambda: _timed(found, folder, cores, count, options, flops, should_stop), should_stop)

    with alone(found.phone, should_stop):
        if found.facts.is_emulated:
            return replace(attempt(), source=EMULATED)
        return steadiest(attempt, should_stop, lambda _: nullcontext(), where="the phone")


def _timed(
    found: Connected,
    folder: Path,
    cores: tuple[int, ...],
    threads: int,
    options: Sequence[object],
    flops: int,
    should_stop: ShouldStop,
) -> Latency:
    """One run of `bench` during which the phone was not slowed down."""
    bench, weights = put(found.phone, [folder / "bench", folder / "weights.bin"], should_stop)
    words = [bench, "--weights", weights, *on_cores(cores, threads), *options]
    words += ["--runs", EMULATED_RUNS] if found.facts.is_emulated and "--runs" not in options else []
    output, before, after = run_cool(found, cores, words, should_stop=should_stop)
    conditions = Conditions(
        phone=found.facts.title,
        cores=cores,
        temperature_c=(before.temperature_c, after.temperature_c),
        allowed_mhz=(before.allowed_mhz(cores), after.allowed_mhz(cores)),
    )
    try:
        return replace(latency_of(json.loads(output), flops), conditions=conditions)
    except (ValueError, KeyError) as error:
        raise MeasureError(f"{found.phone.serial} printed no latency: {output.strip()[:100]!r}") from error


def on_cores(cores: Sequence[int], threads: int) -> list[object]:
    """What tells our programs to keep a thread to each of these cores; where there are none, how many threads to take."""
    return ["--threads", len(cores) or threads, *(["--cores", ",".join(map(str, cores))] if cores else [])]


def run_cool(
    found: Connected,
    cores: Sequence[int],
    words: Sequence[object],
    timeout_s: float = PROGRAM_TIMEOUT_S,
    should_stop: ShouldStop = never,
) -> tuple[str, Heat, Heat]:
    """Standard output of a program on the phone that was not slowed down while it ran, and its heat before and after.

    Raises:
        MeasureError: it fails, or the phone slows down each time.
        DeviceLost: it went away.
        Cancelled: `should_stop()` turned true.
    """
    for _ in range(THROTTLED_TRIES):
        before = cool_down(found.phone, cores, should_stop)
        output = run_program(found.phone, words, timeout_s, should_stop)
        after = read_heat(found.phone)
        if not (held_back := after.held_back(cores)):
            return output, before, after
    raise MeasureError(
        f"{found.phone.serial} slows down whenever it is timed: {held_back}; take it off its charger and let it cool"
    )


def cores_of(found: Connected, asked: int | None, usual: int) -> tuple[int, ...]:
    """The fastest cores, one a thread; none where the phone does not tell clocks.

    Raises:
        MeasureError: more threads are asked for than it has cores.
    """
    usable = sum(core.allowed for core in found.facts.cores)
    if asked and usable and asked > usable:
        raise MeasureError(f"{asked} threads are more than the {usable} cores that {found.title} gives a program; take fewer")
    return found.facts.fastest(asked or usual)
