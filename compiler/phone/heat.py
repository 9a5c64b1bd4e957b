"""Is a phone too warm to be timed: what Android says of its temperature, and the clocks that it still allows."""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass

from compiler.phone.adb import Phone
from compiler.quiet import ShouldStop
from data.errors import Cancelled, MeasureError

STATUSES = ("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")  # of Android's thermal service
HOT_STATUS = 2  # a light one does not slow programs down
HOT_BATTERY_C = 42.0
HELD_BACK = 0.95  # share of a core's highest clock below which it counts as held back
COOL_DOWN_S = 180.0
COOL_POLL_S = 5.0

_SCRIPT = """for core in /sys/devices/system/cpu/cpu[0-9]*; do
clocks=$core/cpufreq; echo core=${core##*cpu} $(cat $clocks/cpuinfo_max_freq $clocks/scaling_max_freq); done 2>/dev/null
for zone in /sys/class/thermal/thermal_zone*; do echo zone=$(cat $zone/temp) $(cat $zone/type); done 2>/dev/null
dumpsys battery 2>/dev/null
dumpsys thermalservice 2>/dev/null
true"""


@dataclass(frozen=True)
class Heat:
    """A phone now.

    Attributes:
        cpu_c: its warmest core, in °C; None where the phone does not tell.
        battery_c: likewise.
        status: what Android's thermal service does about it, an index of `STATUSES`.
        clocks_mhz: by core, its highest clock and the highest that is allowed now.
    """

    cpu_c: float | None
    battery_c: float | None
    status: int
    clocks_mhz: dict[int, tuple[int, int]]

    @property
    def temperature_c(self) -> float | None:
        return self.battery_c if self.cpu_c is None else self.cpu_c

    def allowed_mhz(self, cores: Sequence[int]) -> int | None:
        """Of the fastest of these cores."""
        return max((self.clocks_mhz[core][1] for core in cores if core in self.clocks_mhz), default=None)

    def held_back(self, cores: Sequence[int]) -> str:
        """Which of these cores may not run at its highest clock; empty where all may."""
        for core in cores:
            highest, allowed = self.clocks_mhz.get(core, (0, 0))
            if allowed < HELD_BACK * highest:
                return f"core {core} is held at {allowed / 1000:.2f} of {highest / 1000:.2f} GHz"
        return ""

    def trouble(self, cores: Sequence[int]) -> str:
        """Why these cores should not be timed now; empty where they may."""
        if self.status >= HOT_STATUS:
            return f"Android reports {STATUSES[min(self.status, len(STATUSES) - 1)]} thermal throttling"
        if self.battery_c is not None and self.battery_c >= HOT_BATTERY_C:
            return f"its battery is at {self.battery_c:.0f} °C"
        return self.held_back(cores)


def read_heat(phone: Phone) -> Heat:
    """
    Raises:
        DeviceLost: it went away.
    """
    return heat_of(phone.shell(_SCRIPT))


def heat_of(text: str) -> Heat:
    """From what the script above prints."""
    clocks = {
        int(core): (int(highest) // 1000, int(allowed) // 1000)
        for core, highest, allowed in re.findall(r"^core=(\d+) (\d+) (\d+)$", text, re.MULTILINE)
    }
    # The HAL's list has what is true now; one of cached events may come before it.
    now = text.partition("Current temperatures from HAL:")[2].partition("Current cooling devices")[0]
    cpu = [float(value) for value in re.findall(r"Temperature\{mValue=([-\d.]+), mType=0,", now)]
    cpu = cpu or [int(milli) / 1000 for milli in re.findall(r"^zone=(\d+) \S*cpu", text, re.MULTILINE)]
    battery = re.search(r"^\s*temperature: (\d+)", text, re.MULTILINE)
    status = re.search(r"^Thermal Status: (\d+)", text, re.MULTILINE)
    return Heat(
        cpu_c=max(cpu, default=None),
        battery_c=int(battery[1]) / 10 if battery else None,
        status=int(status[1]) if status else 0,
        clocks_mhz=clocks,
    )


def cool_down(phone: Phone, cores: Sequence[int], should_stop: ShouldStop) -> Heat:
    """The phone's heat once these cores may be timed.

    Raises:
        MeasureError: `COOL_DOWN_S` did not suffice.
        DeviceLost: it went away.
        Cancelled: `should_stop()` turned true.
    """
    deadline = time.monotonic() + COOL_DOWN_S
    while trouble := (heat := read_heat(phone)).trouble(cores):
        if time.monotonic() > deadline:
            raise MeasureError(
                f"{phone.serial} is not fit to be timed, for {COOL_DOWN_S:.0f} s now: {trouble}; let it cool, and turn battery saver off"
            )
        pause_over = time.monotonic() + COOL_POLL_S
        while time.monotonic() < pause_over:
            if should_stop():
                raise Cancelled("stopped while a phone cooled down")
            time.sleep(0.1)
    return heat
