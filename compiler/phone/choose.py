"""Which connected phone a device of the catalogue means: never silently another one."""

import os
from collections import Counter
from dataclasses import dataclass

from compiler.devices import Device, device_names, find_device, split_serial
from compiler.phone.adb import Phone, phones
from compiler.phone.facts import Facts, read_facts
from data.errors import DeviceLost, MeasureError

EMULATED_VARIABLE = "POCKETFORMER_EMULATED"
CLOCK_TOLERANCE = 0.05  # sources round
ANDROID = "android"

_REMEDIES = {
    "unauthorized": "unlock it and allow USB debugging from this computer",
    "offline": "plug it in again",
    "no permissions": "install the package android-sdk-platform-tools-common, and plug it in again",
}


@dataclass(frozen=True)
class Connected:
    """A phone that takes commands, and what it says of itself."""

    phone: Phone
    facts: Facts

    @property
    def title(self) -> str:
        return f"{self.facts.title} ({self.phone.serial})"


def find_phone(device: str) -> Connected:
    """The connected phone that `--device` means: with NAME@SERIAL that one, else the only one whose cores are the device's.

    Raises:
        UsageError: no such device.
        DeviceLost: it is not connected, or not ready; what to do.
        MeasureError: it is not to be told from others, another phone, or an emulator; what to do.
    """
    described = find_device(device)
    if described.system != ANDROID:
        raise MeasureError(f"it runs {described.system}, and adb reaches Android; run the bundle's `bench` there")
    name, serial = split_serial(device)
    listed = phones()
    if serial:
        listed = [each for each in listed if each.serial == serial]
    ready = [each for each in listed if each.is_ready]
    if not ready:
        raise DeviceLost(_absent(listed, serial))
    known = [Connected(each, read_facts(each)) for each in ready]
    real = [each for each in known if may_be_timed(each.facts)]
    if not real:
        raise MeasureError(
            f"{known[0].title} is an emulator, and its time is no latency; connect a phone, or set {EMULATED_VARIABLE}=1 for "
            "numbers that are labelled emulated"
        )
    if serial:
        return real[0]
    alike = [each for each in real if not differences(described, each.facts)]
    if len(alike) > 1:
        choices = " or ".join(f"--device {name}@{each.phone.serial}" for each in alike)
        raise MeasureError(f"several connected phones could be it; take {choices}")
    if not alike:
        raise MeasureError(
            f"the connected {real[0].title} is another phone: {differences(described, real[0].facts)}; "
            f"describe it for `pocketformer devices add`, or take --device {name}@{real[0].phone.serial} all the same"
        )
    return alike[0]


def where(device: str) -> str:
    """The phone that `device` means, and in what it is another than the catalogue says, as a serial may ask for.

    Raises:
        MeasureError: as `find_phone`.
    """
    found = find_phone(device)
    unlike = differences(find_device(device), found.facts)
    return f"{found.title}, though {unlike}" if unlike else found.title


def connected() -> tuple[list[Connected], list[Phone]]:
    """Phones that take commands, and those that do not (yet).

    Raises:
        MeasureError: there is no `adb`, or it does not work.
    """
    ready, others = [], []
    for phone in phones():
        try:
            if phone.is_ready:
                ready.append(Connected(phone, read_facts(phone)))
            else:
                others.append(phone)
        except DeviceLost:
            others.append(Phone(phone.serial, "offline"))
    return ready, others


def recognised(facts: Facts) -> list[str]:
    """Devices of the catalogue that a phone may be: those with its cores. None where the phone does not tell."""
    if not any(core.cpu for core in facts.cores):
        return []
    named = (find_device(name) for name in device_names()[1:])
    return [each.name for each in named if each.system == ANDROID and not differences(each, facts)]


def differences(device: Device, facts: Facts) -> str:
    """Where a phone's cores are not the device's, in a line; empty where nothing speaks against it."""
    expected = sorted(((c.mhz, c.cpu) for c in device.clusters for _ in range(c.cores)), reverse=True)
    seen = sorted(((core.mhz, core.cpu) for core in facts.cores), reverse=True)
    unlike = len(seen) != len(expected) or any(
        (mhz and abs(mhz - catalogued) > CLOCK_TOLERANCE * catalogued) or (_is_known(cpu) and cpu != kind)
        for (mhz, cpu), (catalogued, kind) in zip(seen, expected, strict=True)
    )
    return f"it has {_written(seen)}, {device.name} {_written(expected)}" if unlike else ""


def may_be_timed(facts: Facts) -> bool:
    """A phone; an emulator only where `POCKETFORMER_EMULATED=1` asks for its times, and they are labelled."""
    return not facts.is_emulated or os.environ.get(EMULATED_VARIABLE) == "1"


def remedy(phone: Phone) -> str:
    """What to do about a phone that is not ready."""
    return next((text for state, text in _REMEDIES.items() if phone.state.startswith(state)), "plug it in again")


def _absent(listed: list[Phone], serial: str) -> str:
    if listed:
        return f"{listed[0].serial} is {listed[0].state.split(' (')[0]}; {remedy(listed[0])}"
    missing = f"no phone with serial {serial} is connected" if serial else "no phone is connected"
    return f"{missing}; plug it in and enable USB debugging in its developer options"


def _is_known(cpu: str) -> bool:
    return bool(cpu) and not cpu.startswith("0x")


def _written(cores: list[tuple[int, str]]) -> str:
    counts = Counter(f"{cpu or 'core'} {mhz / 1000:.2f} GHz" for mhz, cpu in cores)
    return " + ".join(f"{count} x {kind}" for kind, count in counts.items())
