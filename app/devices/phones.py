"""Connected phones, looked for in a thread of the server's: adb may take its time, and no page waits for it."""

import threading
import time
from dataclasses import dataclass

from data.errors import MeasureError

FRESH_S = 8.0
PACKAGE = "adb"


@dataclass(frozen=True)
class Seen:
    """One phone. `names`: devices of the catalogue that it may be; `heat` in words."""

    serial: str
    title: str
    state: str
    chip: str
    heat: str
    names: tuple[str, ...]
    hint: str


@dataclass(frozen=True)
class Look:
    """What the last look found; `problem` is why there was none."""

    phones: tuple[Seen, ...] = ()
    problem: str = ""
    at: float = 0.0


class Watch:
    """The newest look, and a thread that takes another when it is old and somebody asks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._look: Look | None = None
        self._looking = False

    def look(self) -> Look | None:
        """At once: the newest there is; None before the first is over."""
        with self._lock:
            old = self._look is None or time.monotonic() - self._look.at > FRESH_S
            if old and not self._looking:
                self._looking = True
                threading.Thread(target=self._take, daemon=True).start()
            return self._look

    def _take(self) -> None:
        look = Look(problem="the look for phones failed; the server's log says how", at=time.monotonic())
        try:
            look = take_look()
        finally:
            with self._lock:
                self._look, self._looking = look, False


def take_look() -> Look:
    """Ask adb now, which takes up to a minute where phones do not answer."""
    from compiler.phone.choose import connected, recognised, remedy

    try:
        ready, others = connected()
    except MeasureError as error:
        return Look(problem=str(error), at=time.monotonic())
    phones = [
        Seen(
            each.phone.serial,
            each.facts.title,
            "emulator: its time is no latency" if each.facts.is_emulated else "ready",
            each.facts.soc,
            _heat(each.phone),
            tuple(recognised(each.facts)),
            "" if recognised(each.facts) else "no device of the catalogue has its cores: add it below",
        )
        for each in ready
    ]
    phones += [Seen(each.serial, "", each.state, "", "", (), remedy(each)) for each in others]
    return Look(tuple(phones), at=time.monotonic())


def _heat(phone: "object") -> str:
    from compiler.phone.adb import Phone
    from compiler.phone.heat import STATUSES, read_heat

    assert isinstance(phone, Phone)
    try:
        heat = read_heat(phone)
    except MeasureError as error:
        return str(error)
    degrees = "temperature unknown" if heat.temperature_c is None else f"{heat.temperature_c:.0f} °C"
    return f"{degrees}, throttling {STATUSES[min(heat.status, len(STATUSES) - 1)]}"
