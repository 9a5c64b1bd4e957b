"""`pocketformer devices check`: is a device of the catalogue connected, is it what the catalogue says, is it fit to be timed."""

from typing import Any

from compiler.arm import aarch64, levels
from compiler.devices import find_device
from compiler.phone.choose import Connected, differences, find_phone
from compiler.phone.heat import read_heat
from compiler.precisions import PRECISIONS
from compiler.targets import threads_of
from data.errors import MeasureError


def check(device: str) -> dict[str, Any]:
    """What was found: `reachable`, `ready` (to be timed now), `findings` (name and a line each), and the numbers behind them.

    Raises:
        UsageError: no such device.
    """
    find_device(device)
    try:
        found = find_phone(device)
        return {"name": device, "reachable": True, **_checked(device, found)}
    except MeasureError as error:
        return {"name": device, "reachable": False, "ready": False, "findings": [{"name": "reachable", "line": f"no: {error}"}]}


def _checked(device: str, found: Connected) -> dict[str, Any]:
    facts, described = found.facts, find_device(device)
    heat = read_heat(found.phone)
    cores = facts.fastest(threads_of(device)) or tuple(core.number for core in facts.cores)
    trouble, unlike = heat.trouble(cores), differences(described, facts)
    temperature = "unknown" if heat.temperature_c is None else f"{heat.temperature_c:.0f} °C"
    has = set(aarch64(set(facts.features)).needs)
    taken = {each: next(isa.name for isa in levels(each) if set(isa.needs) <= has) for each in PRECISIONS}
    lines = {
        "reachable": f"yes: {found.title}{', an emulator: its time is no latency' if facts.is_emulated else ''}",
        "chip": facts.soc or "unknown",
        "cores": _cores(found),
        "as the catalogue says": f"no: {unlike}" if unlike else "yes" if any(core.cpu for core in facts.cores) else "unknown",
        "instructions": ", ".join(f"{level} for {precision}" for precision, level in taken.items())
        if facts.features
        else "unknown: /proc/cpuinfo names no features",
        "ABI": ", ".join(facts.abis) or "unknown",
        "timed on": f"cores {', '.join(map(str, cores))}",
        "heat": f"{temperature}, {f'too hot or held back: {trouble}' if trouble else 'fit to be timed'}",
        "free memory": f"{facts.free_memory_mb} MB",
        "free space": f"{facts.free_space_mb} MB in /data/local/tmp",
    }
    return {
        "ready": not trouble,
        "serial": found.phone.serial,
        "model": facts.model,
        "soc": facts.soc,
        "android": facts.android,
        "emulated": facts.is_emulated,
        "abis": list(facts.abis),
        "features": sorted(facts.features),
        "instructions": taken if facts.features else None,
        "cores": [{"number": core.number, "cpu": core.cpu, "mhz": core.mhz} for core in facts.cores],
        "differences": unlike or None,
        "temperature_c": heat.temperature_c,
        "thermal_status": heat.status,
        "trouble": trouble or None,
        "free_memory_mb": facts.free_memory_mb,
        "free_space_mb": facts.free_space_mb,
        "findings": [{"name": name, "line": line} for name, line in lines.items()],
    }


def _cores(found: Connected) -> str:
    kinds: dict[str, list[int]] = {}
    for core in sorted(found.facts.cores, key=lambda core: (-core.mhz, core.number)):
        kinds.setdefault(f"{core.cpu or 'core'} {core.mhz / 1000:.2f} GHz", []).append(core.number)
    return "; ".join(f"{len(numbers)} x {kind} ({', '.join(map(str, numbers))})" for kind, numbers in kinds.items())
