"""What a user prefers on all pages of this machine: kept in `preferences.json` of the state folder, so that no browser loses it."""

import json
import os
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path

from data.errors import PocketformerError
from data.home import home

SIZES = ("MB", "MiB")  # 10^6 or 2^20 bytes
PICTURES = ("svg", "png")


@dataclass(frozen=True)
class Preferences:
    """sizes: the unit of bytes; pictures: what a figure is saved as."""

    sizes: str = "MB"
    pictures: str = "svg"


def current() -> Preferences:
    """As last kept; the defaults where nothing, or nothing readable, is kept. Costs a look at one file's time."""
    path = home() / "preferences.json"
    try:
        return _read(path, path.stat().st_mtime_ns)
    except OSError:
        return Preferences()


@lru_cache(maxsize=8)
def _read(path: Path, _changed: int) -> Preferences:
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return Preferences()
    found = Preferences()
    for name, known in (("sizes", SIZES), ("pictures", PICTURES)):
        if isinstance(kept, dict) and kept.get(name) in known:
            found = replace(found, **{name: kept[name]})
    return found


def keep(preferences: Preferences) -> None:
    """
    Raises:
        PocketformerError: the file cannot be written.
    """
    path = home() / "preferences.json"
    part = path.with_suffix(f".{os.getpid()}.part")
    try:
        part.write_text(json.dumps(asdict(preferences)), encoding="utf-8")
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise PocketformerError(f"cannot keep preferences in {path}: {error.strerror}") from None
