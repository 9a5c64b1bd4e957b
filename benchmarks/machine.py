"""What a benchmark's figures were taken on, and how its report is kept."""

import json
import platform
import time
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from compiler.isa import cores, host


def facts(packages: Sequence[str]) -> dict[str, Any]:
    """Processor, cores, instruction set and the versions of packages; the day."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    processor = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
    return {
        "processor": processor,
        "cores": cores(),
        "isa": host().name,
        "day": time.strftime("%Y-%m-%d"),
        "versions": {name: _version(name) for name in packages},
    }


def keep(report: dict[str, Any], path: Path | None) -> None:
    """Write a report as JSON, whole or not at all."""
    if path:
        part = path.with_name(f".{path.name}.part")
        part.write_text(json.dumps(report, indent=1) + "\n")
        part.replace(path)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
