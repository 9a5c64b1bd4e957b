"""A table of every architecture of one space: its latency, measured here, and its accuracy in the supernet."""

import dataclasses
import itertools
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import machine
from data.errors import UsageError
from data.home import subfolder
from engine.architecture import Architecture
from engine.search import architecture_of_fields, fields_of_architecture
from engine.settings import SUPERNET, Settings
from engine.space import SearchSpace

DEPTHS, HIDDEN_SIZES, FFN_SIZES = (1, 2, 3, 4), (256, 288, 320, 384), (384, 768, 1536)  # 480 architectures

Log = Callable[[str, float], None]


@dataclass(frozen=True)
class Row:
    """Milliseconds at batch 1 and the task's metric on held-out training rows."""

    architecture: str
    latency_ms: float
    p10_ms: float
    p90_ms: float
    accuracy: float


@dataclass
class Table:
    """`settings` and `teacher` are those whose space this is; `rows` may still lack some of it."""

    settings: Settings
    teacher: Architecture
    rows: dict[str, Row] = field(default_factory=dict)

    @property
    def space(self) -> SearchSpace:
        settings = self.settings
        return SearchSpace.for_teacher(self.teacher, settings.depths, settings.hidden_sizes, settings.ffn_sizes)

    def missing(self) -> list[Architecture]:
        return [architecture for architecture in architectures(self.space) if str(architecture) not in self.rows]

    def keep(self, path: Path) -> None:
        """All of it as JSON, with the machine that it was taken on."""
        report = {
            **machine.facts(("apache-tvm", "torch")),
            "settings": self.settings.to_dict(),
            "teacher": fields_of_architecture(self.teacher),
            "rows": [dataclasses.asdict(row) for row in self.rows.values()],
        }
        machine.keep(report, path)


def read(path: Path) -> Table:
    """
    Raises:
        UsageError: there is no such file, or it is none of these.
    """
    try:
        kept = json.loads(path.read_text())
        rows = {row["architecture"]: Row(**row) for row in kept["rows"]}
        return Table(Settings.from_dict(kept["settings"]), architecture_of_fields(kept["teacher"]), rows)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{path} is no table of architectures ({error}); make one: python -m benchmarks.search table"
        ) from error


def architectures(space: SearchSpace) -> Iterator[Architecture]:
    """Every one of the space, all of a depth and hidden size together, as they share a network."""
    for depth in space.depths:
        hidden, *ffn_sizes = space.decisions(2, depth)
        for choices in itertools.product(*(range(len(decision.options)) for decision in (hidden, *ffn_sizes))):
            yield space.architecture(2, choices)


def make(settings: Settings, path: Path, log: Log) -> Table:
    """The table of a space, gone on with where `path` has part of it. Each row is kept as soon as it is known.

    Raises:
        UsageError: unknown task or teacher; or `path` is of other settings.
        CompileError, MeasureError, TrainingError: as a search's commands.
    """
    from engine.teacher import load_teacher

    settings = dataclasses.replace(settings, accuracy=SUPERNET)
    table = read(path) if path.is_file() else Table(settings, load_teacher(settings.teacher).architecture)
    if table.settings != settings:
        raise UsageError(f"{path} is a table of other settings; give another file")
    missing = table.missing()
    for number, architecture in enumerate(missing):
        log(str(architecture), number / len(missing))
        table.rows[str(architecture)] = _row(architecture, settings, log)
        table.keep(path)
    return table


def _row(architecture: Architecture, settings: Settings, log: Log) -> Row:
    from compiler.build import build
    from compiler.measure import measure
    from compiler.workers import warm_up
    from engine.candidates import evaluate_candidate, export_candidate

    def tell(message: str, fraction: float | None = None, data: Mapping[str, Any] | None = None) -> None:
        log(message, fraction or 0.0)

    warm_up()
    with tempfile.TemporaryDirectory(dir=subfolder("scratch")) as scratch:
        folder = Path(scratch)
        result = evaluate_candidate(architecture, settings, stage="early", workdir=folder / "accuracy", progress=tell)
        built = build(export_candidate(architecture, settings, None, folder / "export"), folder / "built")
        latency = measure(built.folder, settings.device, settings.threads)
    return Row(str(architecture), latency.median_ms, latency.p10_ms, latency.p90_ms, result.accuracy)


def feasible(rows: Sequence[Row], limit_ms: float) -> list[Row]:
    return [row for row in rows if row.latency_ms <= limit_ms]
