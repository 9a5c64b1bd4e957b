"""A table of every architecture of one space: its accuracy in the supernet, and its latency, measured here. The two are made one after the
other, each gone on with where it was: accuracies are a matter of work, latencies want a machine with nothing else to do.
"""

import dataclasses
import itertools
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import machine
from data.errors import UsageError
from data.home import subfolder
from engine.architecture import Architecture
from engine.search import architecture_of_fields, fields_of_architecture
from engine.settings import SUPERNET, Settings
from engine.space import AT_ONCE, SearchSpace

if TYPE_CHECKING:
    from compiler.measure import Latency

DEPTHS, HIDDEN_SIZES, FFN_SIZES = (1, 2, 3, 4), (256, 288, 320, 384), (384, 768, 1536)  # 480 architectures
BUILT_AT_ONCE = 40  # 50 MB each, until they are measured
OF_A_SEARCH = ("strategy", "phases", "trials", "latency_ms", "screened", "phase_one_share", "baseline_decay", "parallel")
RUNS = 300  # of an inference; under a second

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
    """`settings` and `teacher` are those whose space this is. By architecture, of which some may still be missing: accuracies; latencies, as
    median, 10th and 90th percentile in milliseconds."""

    settings: Settings
    teacher: Architecture
    accuracies: dict[str, float] = field(default_factory=dict)
    latencies: dict[str, tuple[float, float, float]] = field(default_factory=dict)

    @property
    def space(self) -> SearchSpace:
        settings = self.settings
        return SearchSpace.for_teacher(self.teacher, settings.depths, settings.hidden_sizes, settings.ffn_sizes)

    @property
    def rows(self) -> dict[str, Row]:
        """Of what both is known of."""
        both = [name for name in self.accuracies if name in self.latencies]
        return {name: Row(name, *self.latencies[name], self.accuracies[name]) for name in both}

    def missing(self) -> list[Architecture]:
        known = self.accuracies.keys() & self.latencies.keys()
        return [architecture for architecture in architectures(self.space) if str(architecture) not in known]

    def keep(self, path: Path) -> None:
        """All of it as JSON, with the machine that it was taken on."""
        report = {
            **machine.facts(("apache-tvm", "torch")),
            "settings": self.settings.to_dict(),
            "teacher": fields_of_architecture(self.teacher),
            "accuracies": self.accuracies,
            "latencies": self.latencies,
        }
        machine.keep(report, path)


def read(path: Path) -> Table:
    """
    Raises:
        UsageError: there is no such file, or it is none of these.
    """
    try:
        kept = json.loads(path.read_text())
        latencies = {name: (float(median), float(p10), float(p90)) for name, (median, p10, p90) in kept["latencies"].items()}
        accuracies = {name: float(accuracy) for name, accuracy in kept["accuracies"].items()}
        return Table(Settings.from_dict(kept["settings"]), architecture_of_fields(kept["teacher"]), accuracies, latencies)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{path} is no table of architectures ({error}); make one: python -m benchmarks.search table"
        ) from error


def architectures(space: SearchSpace) -> Iterator[Architecture]:
    """Every one of the space, all of a depth and hidden size together, as they share a network."""
    return (architecture for _, architecture in space.ascending(AT_ONCE, None, lambda _: True))


def opened(settings: Settings, path: Path) -> Table:
    """The table at a path, or an empty one for it.

    Raises:
        UsageError: unknown teacher, or the file is of other settings.
    """
    from engine.teacher import load_teacher

    settings = dataclasses.replace(settings, accuracy=SUPERNET)
    table = read(path) if path.is_file() else Table(settings, load_teacher(settings.teacher).architecture)
    if _made_by(table.settings) != _made_by(settings):
        raise UsageError(f"{path} is a table of other settings; give another file")
    return table


def _made_by(settings: Settings) -> dict[str, Any]:
    """What a table's figures depend on."""
    return {name: value for name, value in settings.to_dict().items() if name not in OF_A_SEARCH}


def add_accuracies(table: Table, path: Path, log: Log) -> None:
    """Those that are missing, a network at a time: each is kept as soon as it is tuned and its members are scored.

    Raises:
        UsageError, TrainingError: as a search's commands.
    """
    from compiler.quiet import never
    from engine.ground import ground_of
    from engine.supernet import accuracies

    def tell(message: str, fraction: float, data: dict[str, Any]) -> None:
        log(message, fraction)

    for _, members in itertools.groupby(architectures(table.space), lambda each: (each.layers, each.hidden_size)):
        network = list(members)
        if all(str(each) in table.accuracies for each in network):
            continue
        found = accuracies(ground_of(table.settings), network[0], tell, never)
        table.accuracies |= {str(each): found[each.ffn_sizes] for each in network}
        table.keep(path)


def add_latencies(table: Table, path: Path, log: Log) -> None:
    """Those that are missing, some at a time: these are compiled, then each is measured on a quiet machine and kept.

    Raises:
        UsageError, CompileError, MeasureError: as a search's commands.
    """
    missing = [each for each in architectures(table.space) if str(each) not in table.latencies]
    for first in range(0, len(missing), BUILT_AT_ONCE):
        group = missing[first : first + BUILT_AT_ONCE]
        with tempfile.TemporaryDirectory(dir=subfolder("scratch")) as scratch:
            for number, each in enumerate(group, first):
                log(f"compiling {each}", number / len(missing))
                build_untrained(each, table.settings, Path(scratch) / str(each))
            for number, each in enumerate(group, first):
                log(f"measuring {each}", number / len(missing))
                latency = measure_built(Path(scratch) / str(each), table.settings)
                table.latencies[str(each)] = (latency.median_ms, latency.p10_ms, latency.p90_ms)
        table.keep(path)


def build_untrained(architecture: Architecture, settings: Settings, folder: Path) -> None:
    from compiler.build import build
    from engine.candidates import untrained_candidate

    build(untrained_candidate(architecture, settings), folder)


def measure_built(folder: Path, settings: Settings) -> "Latency":
    from compiler.measure import measure

    return measure(folder, settings.device, settings.threads, runs=RUNS)


def feasible(rows: Sequence[Row], limit_ms: float) -> list[Row]:
    return [row for row in rows if row.latency_ms <= limit_ms]
