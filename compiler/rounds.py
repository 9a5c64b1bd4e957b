"""Several runtimes timed in turns, so that a drift of the machine's speed meets all of them."""

import statistics
from collections.abc import Callable, Mapping, Sequence

from compiler.measure import Latency
from data.errors import MeasureError

ROUNDS = 3

Timer = Callable[[], Latency]


def in_turns(
    timers: Mapping[str, Timer],
    rounds: int,
    tell: Callable[[int, str], None],
    failures: dict[str, str] | None = None,
) -> dict[str, list[Latency]]:
    """One latency a round of each.

    Args:
        tell: hears the round's number, from 1, and who is next.
        failures: takes the message of a runtime that fails, which then has no part in the result; without it, all end with the first.

    Raises:
        MeasureError: a runtime failed, and there is no `failures`.
    """
    taken: dict[str, list[Latency]] = {name: [] for name in timers}
    for number in range(1, rounds + 1):
        for name in list(taken):
            tell(number, name)
            try:
                taken[name].append(timers[name]())
            except MeasureError as error:
                if failures is None:
                    raise
                failures[name] = str(error)
                del taken[name]
    return taken


def middle(latencies: Sequence[Latency]) -> dict[str, float]:
    """Milliseconds: medians of the rounds' medians, p10 and p90."""
    return {
        "median": statistics.median(each.median_ms for each in latencies),
        "p10": statistics.median(each.p10_ms for each in latencies),
        "p90": statistics.median(each.p90_ms for each in latencies),
    }
