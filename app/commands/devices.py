"""`pocketformer devices`: the catalogue, and adding to it."""

from argparse import Namespace
from pathlib import Path
from typing import Any

from app.terminal import table
from compiler.devices import HOST, Cluster, Device, add_device, device_names, find_device
from data.errors import UsageError


def run(args: Namespace) -> list[dict[str, Any]]:
    if args.action == "add":
        if not args.file:
            raise UsageError("devices add: give the device's TOML file")
        return [_facts(add_device(Path(args.file)))]
    if args.file:
        raise UsageError(f"devices list takes no file; `pocketformer devices add {args.file}` keeps one")
    return [_facts(find_device(name)) for name in device_names() if name != HOST]


def render(devices: list[dict[str, Any]]) -> str:
    rows = [
        (
            each["name"],
            each["title"],
            each["soc"],
            ", ".join(each["cores"]),
            " ".join(each["features"]) or "-",
            each["gpu"] or "-",
        )
        for each in devices
    ]
    return table(("device", "what it is", "chip", "cores", "beyond Armv8.0", "GPU"), rows)


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
