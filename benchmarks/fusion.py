"""What LP-Fusion is worth: the same schedules with it and without, as in CANAO's Table 4.

    python -m benchmarks.fusion --json fusion.json
    python -m benchmarks.fusion --models minilm-l6 --threads 2

Each model is compiled twice, `none` making a kernel of every layer of computation, and both are timed in turns, so that a drift of the
machine's speed meets both. Beside the gain stands the paper's on a phone's CPU (Samsung Galaxy S20), where it has the model: a ratio to
compare, not a time.
"""

import argparse
import csv
import json
import statistics
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from app.terminal import Progress, table
from compiler.build import FUSIONS, BuildRequest, Built, build
from compiler.measure import measure
from data.errors import UsageError, exit_status_of
from data.home import subfolder
from engine.architecture import DEFAULT_SEQ_LEN, PRESETS, Architecture, architecture_of

TABLE_4 = Path(__file__).parent / "canao_table4.csv"
PAPER_NAMES = {"distilbert": "DistilBERT with NAS", "bert-base": "BERT-base with NAS", "canaobert": "CANAOBERT with NAS"}
ROUNDS = 5


@dataclass(frozen=True)
class Row:
    """One model on one number of threads; milliseconds are medians over rounds of each round's median.

    Attributes:
        gain: latency without fusion in latency with it.
        paper_gain: the same on the paper's phone, CPU; None where the paper does not have the model.
    """

    model: str
    architecture: str
    gflop: float
    threads: int
    none_ms: float
    lp_ms: float
    gain: float
    none_kernels: int
    lp_kernels: int
    none_rounds_ms: tuple[float, ...]
    lp_rounds_ms: tuple[float, ...]
    paper_gain: float | None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default=",".join(PRESETS), metavar="NAMES", help="presets or architectures")
    parser.add_argument("--threads", default="1,2", metavar="COUNTS")
    parser.add_argument("--seq-len", type=int, default=DEFAULT_SEQ_LEN, metavar="TOKENS")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--runs", type=int, help="of each round; without it, as many as two seconds take")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where figures are kept, after each model")
    options = parser.parse_args()
    sys.exit(exit_status_of("fusion", lambda: run(options)))


def run(options: argparse.Namespace) -> None:
    """
    Raises:
        UsageError: an unknown model, or numbers that are none.
    """
    models = {name: architecture_of(name) for name in _models(options.models)}
    try:
        threads = [int(count) for count in options.threads.split(",")]
    except ValueError as error:
        raise UsageError(f"--threads {options.threads}: give numbers such as 1,2") from error
    if min(*threads, options.rounds) < 1:
        raise UsageError("--threads and --rounds: give 1 or more")
    progress = Progress()
    rows: list[Row] = []
    for name, architecture in models.items():
        with tempfile.TemporaryDirectory(dir=subfolder("scratch")) as scratch:
            built = compile_both(name, options.seq_len, Path(scratch), progress)
            for count in threads:
                progress.log(f"timing {name}, threads {count}")
                rows.append(row_of(name, architecture, built, count, options))
        if options.json:
            options.json.write_text(
                json.dumps({"seq_len": options.seq_len, "rows": [asdict(row) for row in rows]}, indent=2) + "\n"
            )
    print(render(rows))


def compile_both(model: str, seq_len: int, scratch: Path, progress: Progress) -> dict[str, Built]:
    from engine.export import export_reference, reference_model

    exported = export_reference(reference_model(model), seq_len, scratch / "export")
    built = {}
    for fusion in FUSIONS:
        progress.log(f"compiling {model}, fusion {fusion}")
        built[fusion] = build(BuildRequest(*exported, fusion=fusion), scratch / fusion)
    return built


def row_of(model: str, architecture: Architecture, built: dict[str, Built], threads: int, options: argparse.Namespace) -> Row:
    rounds: dict[str, list[float]] = {fusion: [] for fusion in built}
    for _ in range(options.rounds):
        for fusion, compiled in built.items():
            rounds[fusion].append(measure(compiled.folder, "host", threads, options.runs).median_ms)
    medians = {fusion: statistics.median(times_ms) for fusion, times_ms in rounds.items()}
    return Row(
        model=model,
        architecture=str(architecture),
        gflop=architecture.flops(options.seq_len) / 1e9,
        threads=threads,
        none_ms=medians["none"],
        lp_ms=medians["lp"],
        gain=medians["none"] / medians["lp"],
        none_kernels=built["none"].kernels,
        lp_kernels=built["lp"].kernels,
        none_rounds_ms=tuple(rounds["none"]),
        lp_rounds_ms=tuple(rounds["lp"]),
        paper_gain=paper_gain(model),
    )


def paper_gain(model: str) -> float | None:
    with TABLE_4.open(newline="") as file:
        for row in csv.DictReader(file):
            if row["model"] == PAPER_NAMES.get(model):
                return float(row["cpu_ms_no_fusion"]) / float(row["cpu_ms_fusion"])
    return None


def render(rows: list[Row]) -> str:
    header = (
        "model",
        "GFLOP",
        "threads",
        "kernels",
        "ms without fusion",
        "kernels fused",
        "ms with LP-Fusion",
        "gain",
        "paper's",
    )
    cells = [
        (
            row.model,
            round(row.gflop, 1),
            row.threads,
            row.none_kernels,
            round(row.none_ms, 2),
            row.lp_kernels,
            round(row.lp_ms, 2),
            round(row.gain, 2),
            None if row.paper_gain is None else round(row.paper_gain, 2),
        )
        for row in rows
    ]
    means = [
        f"threads {count}: geometric mean of the gains {_mean(rows, count):.2f}"
        for count in sorted({row.threads for row in rows})
    ]
    return "\n".join([table(header, cells), *means])


def _mean(rows: list[Row], threads: int) -> float:
    return statistics.geometric_mean(row.gain for row in rows if row.threads == threads)


def _models(names: str) -> list[str]:
    """Split at commas, but not at those inside an architecture's list of FFN sizes."""
    models: list[str] = []
    for part in filter(None, names.split(",")):
        if models and part[0].isdigit():
            models[-1] += f",{part}"
        else:
            models.append(part)
    return models


if __name__ == "__main__":
    main()
