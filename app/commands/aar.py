"""`pocketformer aar`: a phone's bundle as one file for an Android app."""

from argparse import Namespace
from pathlib import Path
from typing import Any

from compiler.aar import write_aar
from compiler.bundle import read_bundle
from data.errors import UsageError


def run(args: Namespace) -> dict[str, Any]:
    path = Path(args.output)
    if path.suffix != ".aar":
        raise UsageError(f"Android's build takes files named .aar; write -o {path.with_suffix('.aar')}")
    bundle = read_bundle(Path(args.bundle))
    write_aar(bundle, path)
    return {"aar": str(path), "bytes": path.stat().st_size, "architecture": bundle.model["architecture"]}


def render(result: dict[str, Any]) -> str:
    name = Path(result["aar"]).name
    return f"""{result["aar"]}: {result["architecture"]}, {result["bytes"] / 1e6:.1f} MB

Put it into the app's folder libs/ and into its build.gradle.kts:
    dependencies {{ implementation(files("libs/{name}")) }}

The bundle's README has the lines of Kotlin and Java that call it."""
