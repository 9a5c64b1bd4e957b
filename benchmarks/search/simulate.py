"""A whole search whose commands are answered from a table: the product's own state machine, strategies and reward."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from benchmarks.search.table import Row, Table, feasible
from engine.search import (
    Do,
    Event,
    Finished,
    Search,
    SearchState,
    Start,
    Stop,
    architecture_of_fields,
    fields_of_architecture,
    initial_state,
)
from engine.settings import Settings

CLOSE = 0.003  # of the optimum's accuracy: 0.3 points
MARKS = (10, 20, 50, 100)  # evaluations after which figures are given


@dataclass(frozen=True)
class Trace:
    """One search. `best[i]`: the best accuracy within the limit after i + 1 evaluations, None while there is none; `volume[i]`: the
    hypervolume of what was found by then."""

    best: tuple[float | None, ...]
    volume: tuple[float, ...]


def search(table: Table, settings: Settings) -> Trace:
    """`settings.trials`: candidates measured, whether within the limit or not, as the search counts its trials."""
    rows = table.rows
    under_way = Search(initial_state("simulated", settings))
    waiting: list[Event] = [Start()]
    while waiting:
        for effect in under_way.take(waiting.pop(0)):
            if isinstance(effect, Do):  # training outlasts compilation and measurement
                waiting.insert(len(waiting) if effect.kind == "train" else 0, _answer(effect, table, rows))
            elif isinstance(effect, Stop):
                waiting = [event for event in waiting if getattr(event, "command_id", None) != effect.command_id]
    return _trace(under_way.state, rows, settings)


def one_thread() -> None:
    """For each of several processes, which has a core to itself; what strategies compute is small. Here, as a process that is spawned finds
    nothing of a package's `__main__`."""
    import torch
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(1)
    threadpool_limits(1)


def _answer(command: Do, table: Table, rows: Mapping[str, Row]) -> Finished:
    if command.kind == "prepare":
        return Finished(command.command_id, "done", {"teacher": fields_of_architecture(table.teacher)})
    row = rows[str(architecture_of_fields(command.payload["architecture"]))]
    latency = {"latency_ms": row.latency_ms, "p10_ms": row.p10_ms, "p90_ms": row.p90_ms, "source": "measured"}
    results: dict[str, dict[str, Any]] = {
        "compile": {},
        "measure": latency,
        "train": {"accuracy": row.accuracy},
        "final_train": {"accuracy": row.accuracy},
        "bundle": {"latency": latency, "accuracy": row.accuracy, "name": ""},
    }
    return Finished(command.command_id, "done", results[command.kind])


def _trace(state: SearchState, rows: Mapping[str, Row], settings: Settings) -> Trace:
    tried = [rows[trial.name] for trial in state.trials]
    worst = min(row.accuracy for row in rows.values())
    best, volumes = [], []
    for count in range(1, settings.trials + 1):  # a search that has tried all there is ends early
        within = feasible(tried[:count], settings.latency_ms)
        best.append(max((row.accuracy for row in within), default=None))
        volumes.append(hypervolume(within, settings.latency_ms, worst))
    return Trace(tuple(best), tuple(volumes))


def hypervolume(rows: Sequence[Row], limit_ms: float, worst: float) -> float:
    """Area of accuracy against latency that the rows dominate, up to the limit and down to the `worst` accuracy: milliseconds."""
    area, reached = 0.0, worst
    for row in sorted(rows, key=lambda row: row.latency_ms):
        if row.accuracy > reached:
            area += (row.accuracy - reached) * (limit_ms - row.latency_ms)
            reached = row.accuracy
    return area


def summary(traces: Sequence[Trace], optimum: float, best_volume: float, evaluations: int) -> list[dict[str, Any]]:
    """Figures of one strategy over its seeds at each of `MARKS`. A search without a feasible candidate counts as accuracy 0."""
    figures = []
    for mark in sorted({mark for mark in MARKS if mark <= evaluations} | {evaluations}):
        best = [trace.best[mark - 1] or 0.0 for trace in traces]
        volumes = [trace.volume[mark - 1] / best_volume for trace in traces]
        figures.append(
            {
                "evaluations": mark,
                "accuracy": fmean(best),
                "accuracy_sd": stdev(best) if len(best) > 1 else 0.0,
                "regret": optimum - fmean(best),
                "close": fmean(each >= optimum - CLOSE for each in best),
                "hypervolume": fmean(volumes),
                "hypervolume_sd": stdev(volumes) if len(volumes) > 1 else 0.0,
            }
        )
    return figures
