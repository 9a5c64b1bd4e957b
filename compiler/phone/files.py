"""Files on a phone, named by their content: what is there already is not pushed again, and half a push is never used.

Only who holds the phone's lock (`compiler.phone.running.alone`) may call these.
"""

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from compiler.phone.adb import Phone
from compiler.quiet import ShouldStop, never
from data.errors import DeviceLost

FOLDER = "/data/local/tmp/pocketformer-cache"  # the one place that a shell may both write to and start programs from
KEPT_BYTES = 1 << 30  # on the phone; the longest unused go first


def put(phone: Phone, paths: Sequence[Path], should_stop: ShouldStop = never) -> list[str]:
    """Where these files are on the phone, pushed as far as they were not there.

    Raises:
        MeasureError: the phone has no space.
        DeviceLost: it went away, or what arrived is not what was sent.
        Cancelled: `should_stop()` turned true.
    """
    names = {_digest(path, path.stat().st_mtime_ns): path for path in paths}
    there = _listing(phone, list(names))
    missing = {name: path for name, path in names.items() if there.get(name, (0, -1))[1] != path.stat().st_size}
    if missing:
        _make_room(phone, there, names, sum(path.stat().st_size for path in missing.values()))
    for name, path in missing.items():
        part = f"{FOLDER}/{name}.part"
        phone.push(path, part, should_stop)
        arrived = phone.shell(f"sha256sum {part}", should_stop=should_stop).split()
        if arrived[:1] != [name]:
            raise DeviceLost(f"{phone.serial} got {path.name} damaged; take another cable")
        phone.shell(f"chmod 755 {part} && mv {part} {FOLDER}/{name}")
    return [f"{FOLDER}/{name}" for name in names]


def _listing(phone: Phone, used: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Time of last use (s) and bytes of each file. Those `used` count as used now; leftover parts are gone."""
    output = phone.shell(
        f"mkdir -p {FOLDER} && cd {FOLDER} && rm -f *.part && touch -c {' '.join(used)} && "
        "for file in *; do if [ -f $file ]; then stat -c '%n %Y %s' $file; fi; done"
    )
    rows = (line.split() for line in output.splitlines())
    return {name: (int(time), int(size)) for name, time, size in rows}


def _make_room(phone: Phone, there: dict[str, tuple[int, int]], wanted: dict[str, Path], more: int) -> None:
    kept = sum(size for _, size in there.values()) + more
    for name in sorted(there, key=lambda each: there[each][0]):
        if kept <= KEPT_BYTES:
            return
        if name not in wanted:
            phone.shell(f"rm -f {FOLDER}/{name}")
            kept -= there[name][1]


@lru_cache(maxsize=64)
def _digest(path: Path, _changed_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
