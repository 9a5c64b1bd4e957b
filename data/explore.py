"""Questions about many trials at once, over any runs: DuckDB groups and bounds, so that 100,000 trials answer as fast as a hundred.

All are asked of one task on one device, as neither accuracies of different tasks nor latencies of different devices compare. Accuracy is
the early-stage one, which every trained candidate has.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from data import explore_sql as sql
from data.store import Store

Range = tuple[float, float]
DECISIONS = {"layers": "Layers", "hidden_size": "Hidden size", "ffn_mean": "Mean FFN size"}  # column: what people call it
VALUES = {"accuracy": "Accuracy", "latency_ms": "Latency (ms)"}
ORDERS = {
    "accuracy": "accuracy DESC NULLS LAST, latency_ms",
    "latency": "latency_ms NULLS LAST, accuracy DESC",
    "reward": "reward DESC NULLS LAST",
    "newest": "created_at DESC, run_id DESC, trial DESC",
}
MOST_FRONT = 400
MOST_LINES = 500
MOST_ROWS = 200
MOST_EXPORTED = 200_000
MOST_KNOWN = 2000
LATENCY_STEPS = 256  # of a front's history: of trials within a 256th of the limit, only those that bring a new best are read
LEAST_EXPLAINED = 30  # trials; a share of the variance of fewer says nothing
FOLDS = 10  # of the trials, to tell how sure a share of variance is


@dataclass(frozen=True)
class Chosen:
    """Which trials are asked about: of one task on one device; an empty tuple, or None, leaves a field open.

    `latency_ms`, `accuracy`, `layers`, `hidden_size` and `ffn_mean` are ranges, both ends included; a range leaves out trials without a
    value there.
    """

    task: str
    device: str
    runs: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ()
    latency_ms: Range | None = None
    accuracy: Range | None = None
    layers: Range | None = None
    hidden_size: Range | None = None
    ffn_mean: Range | None = None


@dataclass(frozen=True)
class Subject:
    """One task on one device, with how many runs and trials there are of it."""

    task: str
    device: str
    runs: int
    trials: int


@dataclass(frozen=True)
class Overview:
    """The chosen trials in numbers; ranges of what is known, None where nothing is. `limit_ms`: the newest run's latency target."""

    trials: int
    runs: int
    timed: int
    scored: int
    trained: int
    over_limit: int
    failed: int
    cancelled: int
    limit_ms: float | None
    latency_low: float | None
    latency_high: float | None
    accuracy_low: float | None
    accuracy_high: float | None
    layers_low: int | None
    layers_high: int | None
    hidden_low: int | None
    hidden_high: int | None
    ffn_low: float | None
    ffn_high: float | None
    sources: str  # of the latencies, joined by ' and '
    accuracies: str  # how candidates' accuracies were made: trained, supernet


@dataclass(frozen=True)
class Point:
    """One trial as figures and tables need it."""

    run_id: str
    trial: int
    architecture: str
    status: str
    latency_ms: float | None
    latency_p10_ms: float | None
    latency_p90_ms: float | None
    latency_source: str | None
    accuracy: float | None
    final_accuracy: float | None
    reward: float | None
    reason: str | None
    parameters: int | None
    flops: int | None
    layers: int | None
    hidden_size: int | None
    ffn_mean: float | None


POINT = ", ".join(Point.__dataclass_fields__)


@dataclass(frozen=True)
class Cell:
    """Trials of one cell of a density: its indices, from 0, along latency and accuracy, and how many."""

    column: int
    row: int
    trials: int


@dataclass(frozen=True)
class Bin:
    """Trials without an accuracy: their status, a bin of latency, how many."""

    status: str
    column: int
    trials: int


@dataclass(frozen=True)
class Group:
    """Trials that took the same two options: how many have the value, its mean and best (accuracy: highest; latency: lowest)."""

    x: float
    y: float
    trials: int
    mean: float
    best: float


@dataclass(frozen=True)
class Share:
    """How much of a value's variance one decision explains, in [0, 1]: adjusted for the number of its options; `error` is a standard
    error by the jackknife over `FOLDS` parts."""

    decision: str
    share: float
    error: float
    options: int


@dataclass(frozen=True)
class Known:
    """What trials of one architecture got on a task, on whichever device: mean early-stage accuracy, its deviation over trials (None of
    one), how many; `accuracy_by` says how accuracies were made: trained, supernet."""

    architecture: str
    accuracy: float
    deviation: float | None
    trials: int
    accuracy_by: str


@dataclass(frozen=True)
class Scores:
    """An architecture's accuracies on one task: means and deviations over trials (seeds, runs) of the early-stage and the final one."""

    task: str
    accuracy_by: str
    trials: int
    accuracy: float
    deviation: float | None
    final_accuracy: float | None
    final_deviation: float | None
    finals: int


class Explorer:
    """The questions, asked of one store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def subjects(self) -> list[Subject]:
        """Tasks and devices that runs were about, the one with the newest run first. Cost: a count of all trials."""
        return [Subject(*row) for row in self._store.query(sql.SUBJECTS)]

    def stamp(self, task: str, device: str) -> str:
        """Changes whenever a run of this subject does: what was asked before it changed holds no more."""
        return str(self._store.query(sql.STAMP, task=task, device=device)[0][0])

    def runs(self, task: str, device: str, limit: int = 200) -> list[tuple[str, str, int]]:
        """Id, strategy and number of trials of the newest runs of a subject."""
        return [(row[0], row[1], row[2]) for row in self._store.query(sql.RUNS, task=task, device=device, limit=limit)]

    def overview(self, chosen: Chosen) -> Overview:
        return Overview(*self._ask(sql.OVERVIEW, chosen)[0])

    def front(self, chosen: Chosen, limit_ms: float | None = None, limit: int = MOST_FRONT) -> list[Point]:
        """Trials that no other chosen one beats in both latency and accuracy, fastest first; within `limit_ms` where one is given."""
        return self._points(sql.FRONT, chosen, limit_ms=limit_ms, limit=limit)

    def density(self, chosen: Chosen, latency_ms: Range, accuracy: Range, columns: int, rows: int) -> list[Cell]:
        """How many trials lie in each cell of a window; cells without any are left out."""
        found = self._ask(sql.DENSITY, chosen, **_window(latency_ms, accuracy), columns=columns, rows=rows)
        return [Cell(*row) for row in found]

    def points(self, chosen: Chosen, latency_ms: Range, accuracy: Range, most: int) -> list[Point] | None:
        """The scored trials of a window; None when there are more than `most`."""
        found = self._points(sql.POINTS, chosen, **_window(latency_ms, accuracy), limit=most + 1)
        return None if len(found) > most else found

    def unscored(self, chosen: Chosen, latency_ms: Range, columns: int) -> list[Bin]:
        """Trials with a latency and no accuracy, by status and bin of latency."""
        low, high = latency_ms
        return [Bin(*row) for row in self._ask(sql.UNSCORED, chosen, xlow=low, xhigh=high, columns=columns)]

    def records(self, chosen: Chosen, limit_ms: float, most_runs: int = 6) -> dict[str, list[tuple[int, float, float]]]:
        """For each of the runs with the most trials: (trial, latency, accuracy) of every trial that may have moved its front within
        `limit_ms` when it came, in order. What the front is worth after each follows from these alone, to a 256th of the limit."""
        runs: dict[str, list[tuple[int, float, float]]] = {}
        for run_id, trial, latency_ms, accuracy in self._ask(
            sql.RECORDS, chosen, limit_ms=limit_ms, steps=LATENCY_STEPS, runs=most_runs
        ):
            runs.setdefault(run_id, []).append((trial, latency_ms, accuracy))
        return runs

    def lines(self, chosen: Chosen, most: int = MOST_LINES) -> list[Point]:
        """Scored trials to draw one by one, by accuracy: the best ones, a tenth of `most`, and others by chance, the same ones each time."""
        return self._points(sql.LINES, chosen, best=most // 10, limit=most)

    def groups(self, chosen: Chosen, x: str, y: str, value: str) -> list[Group]:
        """Mean and best of a value (`VALUES`) over two decisions (`DECISIONS`); mean FFN sizes are rounded to 128."""
        template = sql.GROUPS.replace("%x", _option(x)).replace("%y", _option(y)).replace("%value", _known(value, VALUES))
        return [Group(*row) for row in self._ask(template, chosen, upwards=value == "accuracy")]

    def importance(self, chosen: Chosen, value: str) -> list[Share]:
        """The share of a value's variance that each decision explains on its own, the largest first; [] where nothing varies, or of fewer
        than `LEAST_EXPLAINED` trials."""
        template = sql.SUMS.replace("%value", _known(value, VALUES)).replace("%ffn", _option("ffn_mean"))
        sums: dict[str, list[tuple[Any, int, int, float, float]]] = {}
        for decision, *row in self._ask(template, chosen, folds=FOLDS):
            sums.setdefault(decision, []).append(tuple(row))
        shares = [share for decision, rows in sums.items() if (share := _share(decision, rows)) is not None]
        return sorted(shares, key=lambda each: -each.share)

    def rows(self, chosen: Chosen, order: str = "accuracy", limit: int = MOST_ROWS) -> list[Point]:
        """The first trials in an order of `ORDERS`."""
        return self._points(sql.ROWS.replace("%order", ORDERS[order]), chosen, limit=limit)

    def trial(self, run_id: str, trial: int) -> Point | None:
        found = self._store.query(f"SELECT {POINT} FROM trials WHERE run_id = $run AND trial = $trial", run=run_id, trial=trial)
        return Point(*found[0]) if found else None

    def known(self, task: str, teacher: str, limit: int = MOST_KNOWN) -> list[Known]:
        """Architectures with an accuracy on a task, of students of one teacher, the newest first."""
        return [Known(*row) for row in self._store.query(sql.KNOWN, task=task, teacher=teacher, limit=limit)]

    def scores(self, architecture: str) -> list[Scores]:
        """What one architecture got, by task and by how accuracies were made."""
        return [Scores(*row) for row in self._store.query(sql.ACCURACIES, architecture=architecture)]

    def _points(self, template: str, chosen: Chosen, **values: Any) -> list[Point]:
        return [Point(*row) for row in self._ask(template.replace("%point", POINT), chosen, **values)]

    def _ask(self, template: str, chosen: Chosen, **values: Any) -> list[tuple[Any, ...]]:
        conditions, bound = ["TRUE"], {"task": chosen.task, "device": chosen.device}
        if chosen.runs:
            conditions.append("run_id IN $runs_asked")
            bound["runs_asked"] = chosen.runs  # type: ignore[assignment]
        if chosen.statuses:
            conditions.append("status IN $statuses")
            bound["statuses"] = chosen.statuses  # type: ignore[assignment]
        for column in ("latency_ms", "accuracy", *DECISIONS):
            if (ends := getattr(chosen, column)) is not None:
                conditions.append(f"{column} BETWEEN $low_{column} AND $high_{column}")
                bound |= {f"low_{column}": ends[0], f"high_{column}": ends[1]}
        script = f"WITH {sql.CHOSEN.replace('%conditions', ' AND '.join(conditions))} {template}"
        return self._store.query(script, **bound, **values)


def hypervolume(front: Sequence[tuple[float, float]], limit_ms: float) -> float:
    """What a front of (latency, accuracy), fastest first, is worth: the area below it from 0 to `limit_ms`, over the limit. In [0, 1]
    for accuracies in [0, 1]: the accuracy to be had on average, were the target drawn evenly from 0 to the limit (Zitzler & Thiele 1998)."""
    area, reached = 0.0, 0.0
    for latency_ms, accuracy in front:
        if latency_ms < limit_ms and accuracy > reached:
            area += (accuracy - reached) * (limit_ms - latency_ms)
            reached = accuracy
    return area / limit_ms


def history(records: Sequence[tuple[int, float, float]], limit_ms: float) -> list[tuple[int, float]]:
    """(trial, hypervolume of the front so far), whenever it grows; `records` as of `Explorer.records`."""
    front: list[tuple[float, float]] = []
    steps: list[tuple[int, float]] = []
    for trial, latency_ms, accuracy in records:
        if any(faster <= latency_ms and better >= accuracy for faster, better in front):
            continue
        front = sorted(
            [each for each in front if not (each[0] >= latency_ms and each[1] <= accuracy)] + [(latency_ms, accuracy)]
        )
        steps.append((trial, hypervolume(front, limit_ms)))
    return steps


def _share(decision: str, rows: Sequence[tuple[Any, int, int, float, float]]) -> Share | None:
    """From (option, fold, trials, sum, sum of squares) of each option and fold."""
    whole = _explained(list(rows))
    if whole is None or sum(row[2] for row in rows) < LEAST_EXPLAINED:
        return None
    parts = [_explained([row for row in rows if row[1] != fold]) for fold in range(FOLDS)]
    known = [part for part in parts if part is not None]
    mean = sum(known) / len(known) if known else whole
    error = ((len(known) - 1) / len(known) * sum((part - mean) ** 2 for part in known)) ** 0.5 if known else 0.0
    return Share(decision, max(whole, 0.0), error, len({row[0] for row in rows}))


def _explained(rows: Sequence[tuple[Any, int, int, float, float]]) -> float | None:
    """Variance between options over all variance, adjusted for chance (Kelley's epsilon squared); None where nothing varies."""
    options: dict[Any, tuple[int, float]] = {}
    number, total, squares = 0, 0.0, 0.0
    for option, _, count, part, square in rows:
        before = options.get(option, (0, 0.0))
        options[option] = before[0] + count, before[1] + part
        number, total, squares = number + count, total + part, squares + square
    if number <= len(options):
        return None
    around = squares - total**2 / number
    if around <= 1e-12 * max(squares, 1e-12):
        return None
    between = sum(part**2 / count for count, part in options.values()) - total**2 / number
    return 1 - (1 - between / around) * (number - 1) / (number - len(options))


def _window(latency_ms: Range, accuracy: Range) -> dict[str, float]:
    return dict(zip(("xlow", "xhigh", "ylow", "yhigh"), (*latency_ms, *accuracy), strict=True))


def _option(column: str) -> str:
    """A decision as an expression with few values."""
    return "round(ffn_mean / 128) * 128" if _known(column, DECISIONS) == "ffn_mean" else column


def _known(name: str, names: dict[str, str]) -> str:
    if name not in names:
        raise ValueError(f"{name} is none of {', '.join(names)}")
    return name
