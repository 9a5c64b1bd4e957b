"""`pocketformer devices`: the catalogue and the connected phones, a look at one of them, and adding to the catalogue."""

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.terminal import Progress, table
from compiler.devices import HOST, Cluster, Device, add_device, device_names, find_device
from data.errors import MeasureError, UsageError

if TYPE_CHECKING:
    from compiler.phone.choose import Connected

BEYOND = {"asimdhp", "asimddp", "i8mm"}  # features that the catalogue names, of the many in /proc/cpuinfo
UNKNOWN: dict[str, Any] = {"title": None, "system": "android", "soc": None, "year": None, "cores": [], "features": [],
                           "memory_gb_s": None, "gpu": None, "sources": [], "assumed": ""}  # fmt: skip


def run(args: Namespace) -> Any:
    if args.action == "check":
        if not args.which:
            raise UsageError("devices check: give the device's name")
        from compiler.phone.check import check

        return check(args.which)
    if args.action == "add":
        if not args.which:
            raise UsageError("devices add: give the device's TOML file")
        return [_facts(add_device(Path(args.which)))]
    if args.which:
        raise UsageError(f"devices list takes no file; `pocketformer devices add {args.which}` keeps one")
    return [*(_facts(find_device(name)) for name in device_names() if name != HOST), *_phones()]


def render(result: Any) -> str:
    if isinstance(result, dict):
        return table(("", result["name"]), [(each["name"], each["line"]) for each in result["findings"]])
    rows = [
        (
            each["name"],
            each["title"],
            each["soc"],
            ", ".join(each["cores"]),
            " ".join(each["features"]) or "-",
            each["gpu"] or "-",
        )
        for each in result
        if "state" not in each
    ]
    catalogue = table(("device", "what it is", "chip", "cores", "beyond Armv8.0", "GPU"), rows)
    phones = [(each["serial"], each["state"], each["title"], each["soc"], each["hint"]) for each in result if "state" in each]
    return f"{catalogue}\n\n{table(('connected', 'state', 'what it is', 'chip', ''), phones)}" if phones else catalogue


def _phones() -> list[dict[str, Any]]:
    """Connected phones in the catalogue's form, with `serial`, `state` and what to do next, `hint`."""
    from compiler.phone.choose import connected, remedy

    try:
        ready, others = connected()
    except MeasureError as error:
        Progress().log(f"connected phones are not shown: {error}")
        return []
    return [
        *(_phone(each) for each in ready),
        *(
            {**UNKNOWN, "name": phone.serial, "serial": phone.serial, "state": phone.state, "hint": remedy(phone)}
            for phone in others
        ),
    ]


def _phone(each: "Connected") -> dict[str, Any]:
    from compiler.phone.choose import recognised

    facts, serial = each.facts, each.phone.serial
    names = recognised(facts)
    return {
        **UNKNOWN,
        "name": f"{names[0]}@{serial}" if names else serial,
        "title": facts.title,
        "soc": facts.soc,
        "cores": [f"1 x {core.cpu or 'core'} {core.mhz / 1000:.2f} GHz" for core in facts.cores],
        "features": sorted(facts.features & BEYOND),
        "serial": serial,
        "state": "emulator" if facts.is_emulated else "ready",
        "hint": f"--device {' or '.join(names)}"
        if names
        else f"no device has its cores; --device NAME@{serial} takes it as NAME",
    }


def _facts(device: Device) -> dict[str, Any]:
    return {
        "name": device.name,
        "title": device.title,
        "system": device.system,
        "soc": device.soc,
        "year": device.year,
        "cores": [_cores(cluster) for cluster in device.clusters],
        "features": sorted(device.features),
        "memory_gb_s": device.memory_gb_s,
        "gpu": device.gpu.name if device.gpu else None,
        "sources": list(device.sources),
        "assumed": device.assumed,
    }


def _cores(cluster: Cluster) -> str:
    return f"{cluster.cores} x {cluster.cpu} {cluster.mhz / 1000:.2f} GHz"
