"""A device of the catalogue in words, and a user's own device from a form. Pure, but for reading the catalogue."""

import json
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from compiler.devices import Device, add_device
from compiler.devices.cpus import CPUS
from data.errors import UsageError
from data.home import subfolder

NAME = re.compile(r"[a-z0-9][a-z0-9.-]*")
LARGEST_TOML_BYTES = 100_000


def row(device: Device, kind: str) -> dict[str, Any]:
    """One line of the catalogue. `kind` says what is known of its latency: connected, calibrated, predicted."""
    return {
        "Device": device.name,
        "What it is": device.title,
        "Chip": device.soc,
        "Year": device.year,
        "Cores": ", ".join(f"{cluster.cores} x {cluster.cpu} {cluster.mhz / 1000:.2f} GHz" for cluster in device.clusters),
        "Beyond Armv8.0": ", ".join(sorted(device.features)) or None,
        "GPU": device.gpu.name if device.gpu else None,
        "Memory (GB/s)": device.memory_gb_s,
        "Latency": kind,
    }


def clusters(device: Device) -> list[dict[str, Any]]:
    """Its clusters, the fastest first; GFLOP/s at the highest clock, fp32."""
    return [
        {
            "Cores": cluster.cores,
            "CPU": cluster.cpu,
            "Clock (GHz)": cluster.mhz / 1000,
            "Features": ", ".join(sorted(cluster.facts.features)) or "Armv8.0",
            "fp32 GFLOP/s a core": cluster.mhz / 1000 * 8 * cluster.facts.fma_per_cycle,
            "L1 data (kB)": cluster.facts.l1_kb,
            "L2 (kB)": f"{cluster.l2_kb}{' shared' if cluster.l2_shared else ' a core'}",
        }
        for cluster in device.clusters
    ]


def facts(device: Device) -> dict[str, str]:
    """What is not the cores'."""
    gpu = device.gpu
    return {
        "System": device.system,
        "Chip": f"{device.soc}, {device.year}",
        "Shared cache (L3)": f"{device.l3_kb} kB" if device.l3_kb else "none",
        "Memory": f"{device.memory_gb_s:g} GB/s at its peak",
        "GPU": f"{gpu.name}, {gpu.mhz} MHz, {gpu.fp32_gflops:g} GFLOP/s{', OpenCL' if gpu.opencl else ''}" if gpu else "none",
        "Assumed": device.assumed or "nothing",
    }


def toml_of(form: Mapping[str, Any], clusters_given: Sequence[Mapping[str, Any]]) -> str:
    """The device's file.

    Raises:
        UsageError: a field that a device cannot be without; the message names it.
    """
    kept = [each for each in clusters_given if each.get("cpu")]
    if not kept:
        raise UsageError("a device has at least one cluster of cores; fill in a row of the table")
    sources = [line.strip() for line in str(form["sources"]).splitlines() if line.strip()]
    if not sources:
        raise UsageError("say where the facts are from: one source a line, such as the maker's page")
    lines = [f"{name} = {_written(form[name])}" for name in ("title", "system", "soc", "year", "memory_gb_s", "l3_kb")]
    lines.append(f"sources = {_written(sources)}")
    for cluster in kept:
        missing = [name for name in ("cores", "mhz", "l2_kb") if not cluster.get(name)]
        if missing:
            raise UsageError(f"the cluster of {cluster['cpu']} has no {missing[0]}; fill it in")
        lines += ["", "[[clusters]]", f"cpu = {_written(cluster['cpu'])}"]
        lines += [f"{name} = {int(cluster[name])}" for name in ("cores", "mhz", "l2_kb")]
        if cluster.get("l2_shared"):
            lines.append("l2_shared = true")
    return "\n".join(lines) + "\n"


def add(name: str, text: str) -> Device:
    """Keep a device of that name.

    Raises:
        UsageError: the name, or the text, is none of a device's.
    """
    if not NAME.fullmatch(name):
        raise UsageError(f"'{name}' is no name for a device; take small letters, digits and dashes, like my-phone")
    if len(text) > LARGEST_TOML_BYTES:
        raise UsageError(f"{name}.toml is too large to describe a device")
    with tempfile.TemporaryDirectory(dir=subfolder("scratch")) as folder:
        path = Path(folder) / f"{name}.toml"
        path.write_text(text, encoding="utf-8")
        try:
            return add_device(path)
        except UsageError as error:
            raise UsageError(str(error).replace(f"{folder}{os.sep}", "")) from None


def cpu_names() -> list[str]:
    return sorted(CPUS)


def _written(value: Any) -> str:
    """A value in TOML, whose strings, numbers and lists are JSON's."""
    return json.dumps(value, ensure_ascii=False)
