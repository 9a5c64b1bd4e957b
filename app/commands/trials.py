"""`pocketformer trials`: what a run has tried."""

import csv
import os
from argparse import Namespace
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.terminal import table
from data.errors import PocketformerError, UsageError

if TYPE_CHECKING:
    from data.store import Trial


def run(args: Namespace) -> list[dict[str, Any]]:
    from data.store import open_store

    with open_store() as store:
        newest = store.runs(limit=1)
        if not args.run_id and not newest:
            raise UsageError("there is no run yet; start one with `pocketformer search`")
        run_id = store.run(args.run_id or newest[0].run_id).run_id
        trials = [trial_json(trial) for trial in (store.pareto(run_id) if args.pareto else store.trials(run_id))]
    if args.csv:
        write_csv(Path(args.csv), trials)
    return trials


def render(result: list[dict[str, Any]]) -> str:
    header = ("trial", "architecture", "latency ms", "source", "accuracy", "final", "reward", "status", "why")
    rows = [
        (
            trial["trial"],
            trial["architecture"],
            _rounded(trial["latency_ms"], 2),
            latency_facts(trial),
            _rounded(trial["accuracy"], 4),
            _rounded(trial["final_accuracy"], 4),
            _rounded(trial["reward"], 3),
            trial["status"],
            trial["reason"] or "",
        )
        for trial in result
    ]
    return table(header, rows)


def latency_facts(trial: dict[str, Any]) -> str | None:
    """A latency's source; of a predicted one, its interval too."""
    if trial["latency_source"] != "predicted":
        return trial["latency_source"]
    return f"predicted, 90 % interval {trial['latency_p10_ms']:.2f} to {trial['latency_p90_ms']:.2f}"


def trial_json(trial: "Trial") -> dict[str, Any]:
    """One trial as the JSON of `search` and `trials`: its columns, times as ISO 8601."""
    return {name: value.isoformat() if hasattr(value, "isoformat") else value for name, value in asdict(trial).items()}


def write_csv(path: Path, trials: list[dict[str, Any]]) -> None:
    """All columns, one line a trial; the file appears whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("w", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(trials[0]) if trials else ["trial"])
            writer.writeheader()
            writer.writerows(trials)
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise PocketformerError(f"cannot write {path}: {error.strerror}; choose another place") from error


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
