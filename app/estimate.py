"""How long a search will take, before it starts: from what past commands took here, else from the settings. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import quantiles

from app import wording
from data.records import Duration
from engine.settings import PREDICTED, SUPERNET, Settings

# Where nothing has been done here yet: not measured, a guess for students of MiniLM on two cores, hence the wide interval.
FIRST_S = {"prepare": 10.0, "compile": 12.0, "measure": 8.0, "train": 60.0, "final_train": 90.0, "bundle": 30.0}
FIRST_TOKENS_PER_S = 1500.0  # of a distillation
FIRST_SPREAD = 3.0
LEAST = 3  # commands of a kind, before they are believed
QUARTERS = 4


@dataclass(frozen=True)
class Estimate:
    """Seconds, with the ends between which half of the past would put them; `basis`, one line, says on what."""

    seconds: float
    low_s: float
    high_s: float
    basis: str


def estimate(settings: Settings, past: Sequence[Duration]) -> Estimate:
    """A trial takes as long as its training, or its compilation and measurement beside that, whichever is longer.

    Args:
        past: commands done here, the newest first. Those of the same task count alone where there are enough.
    """
    known: dict[str, tuple[float, float, float]] = {}
    seen = 0
    for kind, first_s in FIRST_S.items():
        seconds = _like(settings, kind, past)
        if len(seconds) >= LEAST:
            low, middle, high = quantiles(seconds, n=QUARTERS, method="inclusive")
            known[kind] = (low, middle, high)
            seen += len(seconds)
        elif seconds:
            middle = sum(seconds) / len(seconds)
            known[kind] = (middle / 1.5, middle, middle * 1.5)
            seen += len(seconds)
        else:
            if kind in ("train", "final_train") and settings.losses:
                first_s += min(settings.distil_seconds, settings.distil_tokens / FIRST_TOKENS_PER_S)
            known[kind] = (first_s / FIRST_SPREAD, first_s, first_s * FIRST_SPREAD)
    low, middle, high = (_whole(settings, {kind: each[end] for kind, each in known.items()}) for end in range(3))
    basis = (
        f"from {wording.plural(seen, 'command')} of past runs here" if seen else "a guess: nothing has been searched here yet"
    )
    return Estimate(middle, low, high, basis)


def _like(settings: Settings, kind: str, past: Sequence[Duration]) -> list[float]:
    """Seconds of past commands of a kind, scaled to the settings' epochs."""
    members = [each for each in past if each.kind == kind and each.device_measured == (settings.latency != PREDICTED)]
    same = [each for each in members if each.task == settings.task]
    epochs = settings.early_epochs if kind == "train" else settings.final_epochs
    return [
        each.seconds * (epochs / max(each.epochs, 1) if kind in ("train", "final_train") else 1.0)
        for each in (same if len(same) >= LEAST else members)
    ]


def _whole(settings: Settings, each_s: dict[str, float]) -> float:
    training_s = 1.0 if settings.accuracy == SUPERNET else each_s["train"]
    trial_s = max(training_s, each_s["compile"] + each_s["measure"])
    return each_s["prepare"] + settings.trials * trial_s / settings.parallel + each_s["final_train"] + each_s["bundle"]
