"""What a run's trials and events add up to. Pure: rows of the store in, plain values out."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from app import wording
from data.records import Command, Event, Run, Trial

OVER = ("trained", "over_limit", "failed", "cancelled")


KINDS = {
    "prepare": "reading task and teacher",
    "compile": "compiling",
    "measure": "measuring its latency",
    "train": "training",
    "final_train": "training to the end",
    "bundle": "writing the bundle",
}


@dataclass(frozen=True)
class Step:
    """Work under way: what it says of itself, and how much of it is done, in [0, 1], where that is known."""

    title: str
    fraction: float | None


@dataclass(frozen=True)
class Progress:
    """Trials that are over, of those asked for."""

    finished: int
    total: int

    @property
    def fraction(self) -> float:
        return min(self.finished / self.total, 1.0) if self.total else 0.0


def best_trial(run: Run, trials: Iterable[Trial]) -> Trial | None:
    """The most accurate trial within the target: by final accuracy where one is known, else by early-stage accuracy."""
    limit_ms = run.settings.get("latency_ms", float("inf"))
    eligible = [trial for trial in trials if trial.accuracy is not None and (trial.latency_ms or float("inf")) <= limit_ms]
    return max(eligible, key=_merit, default=None)


def notable_trial(trials: Sequence[Trial]) -> Trial | None:
    """The trial to show when none is best: the fastest, for it says what target can be reached; else the newest."""
    timed = [trial for trial in trials if trial.latency_ms is not None]
    return min(timed, key=lambda trial: trial.latency_ms or 0.0) if timed else trials[-1] if trials else None


def best_so_far(trials: Sequence[Trial]) -> list[tuple[int, float]]:
    """(trial, the best accuracy within the target until then), from the first trial that has one to the last of all."""
    found: list[tuple[int, float]] = []
    for trial in trials:
        if trial.status == "trained" and trial.accuracy is not None and (not found or trial.accuracy > found[-1][1]):
            found.append((trial.trial, trial.accuracy))
    if found and trials[-1].trial > found[-1][0]:
        found.append((trials[-1].trial, found[-1][1]))
    return found


def _merit(trial: Trial) -> tuple[bool, float, float]:
    score = trial.accuracy if trial.final_accuracy is None else trial.final_accuracy
    return trial.final_accuracy is not None, score or 0.0, -(trial.latency_ms or 0.0)


def progress(run: Run, trials: Sequence[Trial]) -> Progress:
    """How far a run is. A run that ended early has fewer trials than were asked for."""
    finished = sum(trial.status in OVER for trial in trials)
    return Progress(finished, max(int(run.settings.get("trials", 0)), len(trials)))


def steps(working: Sequence[Command], events: Sequence[Event]) -> list[Step]:
    """What is under way, one step for each command that a worker has, with the newest word of it.

    Args:
        working: the commands that workers have now.
        events: the newest events of the run, oldest first; a worker's own name the command's `kind` and its `fraction`.
    """
    newest = {(event.trial, event.data["kind"]): event for event in events if event.data and "kind" in event.data}
    found = []
    for command in working:
        event = newest.get((command.trial, command.kind))
        if event is None:
            what = KINDS.get(command.kind, command.kind)
            found.append(Step(what.capitalize() if command.trial is None else f"Trial {command.trial}: {what}", None))
        else:
            fraction = event.data.get("fraction")
            found.append(Step(titled(event), float(fraction) if isinstance(fraction, int | float) else None))
    return found


def log_events(events: Sequence[Event]) -> list[Event]:
    """The events worth a line, newest first: of a step's repeated progress only the newest."""
    seen, kept = set(), []
    for event in reversed(events):
        if event.level == "debug":
            continue
        if event.data and event.data.get("fraction") is not None:
            step = (event.trial, event.data.get("kind"), re.sub(r"[\d.,]+", "#", event.message))
            if step in seen:
                continue
            seen.add(step)
        kept.append(event)
    return kept


def titled(event: Event) -> str:
    """An event's message, with the trial that it is about."""
    named = event.trial is None or event.message.lower().startswith("trial ")
    return event.message if named else f"Trial {event.trial}: {event.message}"


def trial_rows(trials: Sequence[Trial]) -> list[dict[str, Any]]:
    """The table of trials, one dict a row, in the order given. Names carry the units."""
    ends = interval(trials)
    return [
        {
            "Trial": trial.trial,
            "Status": label(trial.status),
            "Architecture": trial.architecture,
            "Latency (ms)": trial.latency_ms,
            f"{ends} (ms)": wording.spread(trial.latency_p10_ms, trial.latency_p90_ms).removesuffix(" ms") or None,
            "Source": trial.latency_source,
            "Accuracy": trial.accuracy,
            "Final accuracy": trial.final_accuracy,
            "Reward": trial.reward,
            "Reason": trial.reason or "",
        }
        for trial in trials
    ]


def label(status: str) -> str:
    """A trial's status in words: `over_limit` is `Over target`."""
    return {"over_limit": "Over target"}.get(status, status.replace("_", " ").capitalize())


def tally(trials: Iterable[Trial]) -> str:
    """One line: `5 within target, 2 over target, 1 failed`."""
    names = {"trained": "within target", "over_limit": "over target", "failed": "failed", "cancelled": "cancelled"}
    counts = dict.fromkeys((*names.values(), "in progress"), 0)
    for trial in trials:
        counts[names.get(trial.status, "in progress")] += 1
    return ", ".join(f"{number} {name}" for name, number in counts.items() if number) or "no trials yet"


def interval(trials: Iterable[Trial]) -> str:
    """What the two ends beside a run's latencies are; all of a run have one source."""
    return wording.interval(next((trial.latency_source for trial in trials if trial.latency_source), None))


def sources(trials: Iterable[Trial]) -> str:
    """Which sources the latencies have: `measured`, or `measured and predicted`."""
    return " and ".join(sorted({trial.latency_source for trial in trials if trial.latency_source}))
