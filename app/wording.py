"""How numbers, times and states are written on the pages. Plain text in, plain text out."""

from datetime import UTC, datetime
from typing import Literal

from app import preferences
from data.tasks import part_names

NONE = "–"
BadgeColor = Literal["blue", "orange", "gray", "red", "green"]
RUN_STATES: dict[str, tuple[str, BadgeColor, str]] = {  # status in the store: (what the page calls it, badge colour, icon)
    "running": ("Running", "blue", ":material/play_circle:"),
    "paused": ("Paused", "gray", ":material/pause_circle:"),
    "cancelling": ("Cancelling", "orange", ":material/hourglass_top:"),
    "cancelled": ("Cancelled", "gray", ":material/block:"),
    "done": ("Done", "green", ":material/check_circle:"),
    "failed": ("Failed", "red", ":material/error:"),
}


def latency(ms: float | None) -> str:
    """Three significant digits with the unit: `4.71 ms`, `12.3 ms`, `148 ms`."""
    if ms is None:
        return NONE
    return f"{ms:.0f} ms" if ms >= 99.95 else f"{ms:.1f} ms" if ms >= 9.995 else f"{ms:.2f} ms"


def target(ms: float) -> str:
    """A target as the user wrote it: `5 ms`, `7.5 ms`."""
    return f"{ms:g} ms"


def interval(source: str | None) -> str:
    """What the two ends beside a latency are: percentiles of the runs, or a prediction's interval."""
    return "90 % interval" if source == "predicted" else "p10 to p90"


def spread(low_ms: float | None, high_ms: float | None) -> str:
    """The interval beside a latency, or nothing when it is not known."""
    return "" if low_ms is None or high_ms is None else f"{latency(low_ms)[:-3]} to {latency(high_ms)}"


def accuracy(score: float | None) -> str:
    """A task metric, in [0, 1], with three decimals."""
    return NONE if score is None else f"{score:.3f}"


def metric(name: str) -> str:
    """A metric as the field writes it: `Pearson`, `F1`, `Matthews`, `accuracy`."""
    return name.capitalize() if name in ("pearson", "spearman", "matthews", "f1") else name.replace("_", " ")


def count(number: float | None) -> str:
    """A large number with its magnitude: `22.7 M`, `1.35 G`."""
    if number is None:
        return NONE
    for size, letter in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if number >= size:
            return f"{number / size:.3g}{letter}"
    return f"{number:.3g}"


def megabytes(size: float) -> str:
    """Bytes as MB (10^6 bytes), or as MiB (2^20) where the user prefers that."""
    unit = preferences.current().sizes
    return f"{size / (1 << 20 if unit == 'MiB' else 1e6):.1f} {unit}"


def ratio(larger: float, smaller: float) -> str:
    """How many times as much: `3.4 times`."""
    return f"{larger / smaller:.1f} times" if smaller else NONE


def seconds(duration_s: float) -> str:
    """A duration in its two largest units: `42 s`, `3 min 20 s`, `2 h 5 min`."""
    whole = max(int(duration_s), 0)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def since(moment: datetime, now: datetime | None = None) -> str:
    """How long ago: `3 min ago`. A time without zone is UTC."""
    age_s = ((now or datetime.now(UTC)) - in_utc(moment)).total_seconds()
    return "just now" if age_s < 10 else f"{seconds(age_s - age_s % 60 if age_s >= 60 else age_s).removesuffix(' 0 s')} ago"


def in_utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def task(name: str) -> str:
    """A task's short name: of a user's own file, the file name without folders and options; of several tasks theirs."""
    parts = (each.partition("?") for each in part_names(name))
    return " + ".join(path.rsplit("/", 1)[-1] if options or "/" in path else path for path, _, options in parts)


def plural(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def with_code(text: str) -> str:
    """`markdown`, but for what stands between backticks, which stays a command to copy."""
    return "`".join(part if place % 2 else markdown(part) for place, part in enumerate(text.split("`")))


def markdown(text: str) -> str:
    """Text made safe to stand inside Markdown: nothing in it becomes a link, a tag, or emphasis."""
    return "".join(f"\\{character}" if character in "\\`*_{}[]<>()#+!|~$:-" else character for character in text)
