"""`pocketformer trials`: what a run has tried."""

import csv
import os
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.terminal import table
from data.errors import PocketformerError, UsageError

if TYPE_CHECKING:
    from data.store import Run, Store, Trial


LATENCY_COLUMNS = ("latency_ms", "latency_p10_ms", "latency_p90_ms", "latency_source", "memory_mb", "energy_mj")


def run(args: Namespace) -> list[dict[str, Any]]:
    from data.store import open_store

    with open_store() as store:
        newest = store.runs(limit=1)
        if not args.run_id and not newest:
            raise UsageError("there is no run yet; start one with `pocketformer search`")
        run = store.run(args.run_id or newest[0].run_id)
        if args.device:
            _check_device(run, args.device)
        trials = store.pareto(run.run_id, device=args.device) if args.pareto else store.trials(run.run_id)
        rows = trials_json(store, run, trials, args.device)
    if args.csv:
        write_csv(Path(args.csv), rows)
    return rows


def render(result: list[dict[str, Any]]) -> str:
    devices = list(dict.fromkeys(device for trial in result for device in trial["latencies"]))
    several = len(devices) > 1
    header = ("trial", "architecture", *(f"{device} ms" if several else "latency ms" for device in devices or [""]))
    rows = [
        (
            trial["trial"],
            trial["architecture"],
            *(_rounded(trial["latencies"].get(device, {}).get("latency_ms"), 2) for device in devices or [""]),
            *([] if several else [latency_facts(trial)]),
            _rounded(trial["accuracy"], 4),
            _rounded(trial["final_accuracy"], 4),
            _rounded(trial["reward"], 3),
            trial["status"],
            trial["reason"] or "",
        )
        for trial in result
    ]
    return table((*header, *([] if several else ["source"]), "accuracy", "final", "reward", "status", "why"), rows)


def latency_facts(trial: dict[str, Any]) -> str | None:
    """A latency's source; of a predicted one, its interval too."""
    if trial["latency_source"] != "predicted":
        return trial["latency_source"]
    return f"predicted, 90 % interval {trial['latency_p10_ms']:.2f} to {trial['latency_p90_ms']:.2f}"


def trials_json(store: "Store", run: "Run", trials: Sequence["Trial"], device: str | None = None) -> list[dict[str, Any]]:
    """Trials as the JSON of `search` and `trials`: their columns, times as ISO 8601, and `latencies` by device in the order of the run's
    settings. The columns' own latency is that on `device`, by default the run's first."""
    known: dict[int, dict[str, dict[str, Any]]] = {}
    for each in store.latencies(run.run_id):
        facts = {name: value for name, value in asdict(each).items() if name not in ("run_id", "trial", "device")}
        known.setdefault(each.trial, {})[each.device] = facts
    devices = list(run.limits)
    rows = []
    for trial in trials:
        found = known.get(trial.trial, {})
        row = {name: value.isoformat() if hasattr(value, "isoformat") else value for name, value in asdict(trial).items()}
        if device is not None:
            row |= {name: found.get(device, {}).get(name) for name in LATENCY_COLUMNS}
        rows.append({**row, "latencies": {each: found[each] for each in devices if each in found}})
    return rows


def write_csv(path: Path, trials: list[dict[str, Any]]) -> None:
    """All columns, one line a trial, of several devices also each one's latency under its name; the file appears whole or not at all."""
    several = len({device for trial in trials for device in trial["latencies"]}) > 1
    rows = [_flat(trial, several) for trial in trials]
    names = list(dict.fromkeys(name for row in rows for name in row)) or ["trial"]
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("w", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=names)
            writer.writeheader()
            writer.writerows(rows)
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise PocketformerError(f"cannot write {path}: {error.strerror}; choose another place") from error


def _flat(trial: dict[str, Any], several: bool) -> dict[str, Any]:
    """`galaxy-s20 latency_ms` and so on as columns of their own, where there are several devices."""
    own = {name: value for name, value in trial.items() if name != "latencies"}
    if not several:
        return own
    return own | {f"{device} {name}": value for device, facts in trial["latencies"].items() for name, value in facts.items()}


def _check_device(run: "Run", device: str) -> None:
    devices = list(run.limits)
    if device not in devices:
        raise UsageError(f"run {run.run_id} is not for '{device}'; take {' or '.join(devices)}")


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
