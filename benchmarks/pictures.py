"""The README's pictures, taken from the running page on a store with a real search.

    python -m benchmarks.pictures                      the newest run that is done, of this POCKETFORMER_HOME; else a small search first
    python -m benchmarks.pictures --run RUN --out docs

Writes a PNG of each state below into `--out`, in as few colours as keep it under 150 kB. Needs Debian's chromium.
"""

import argparse
import io
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.browsing import WIDE, browser_tab, served, settled
from compiler.process import PROJECT, module_command
from data.errors import PocketformerError, exit_status_of
from data.home import home
from data.store import open_store

LARGEST_BYTES = 150_000
COLOURS = (256, 128, 64, 32)
SMALL = ("--task", "paraphrase", "--latency-ms", "4", "--trials", "8")
WAIT_S = 300


@dataclass(frozen=True)
class Picture:
    """A page as it is shown: `{run}` in its path is the run's id; `ready` is text that is there when it is drawn."""

    name: str
    path: str
    ready: str
    height: int = WIDE[1]


PICTURES = (
    Picture("run", "/run?run={run}", "Trials", 1180),
    Picture("fusion", "/fusion?model=minilm-l6", "The graph", 1300),
    Picture("devices", "/devices?device=galaxy-s20", "Latency estimator", 1320),
    Picture("models", "/models", "Call it", 1180),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", help="the run to show; without it the newest that is done")
    parser.add_argument("--out", type=Path, default=PROJECT / "docs", metavar="FOLDER")
    parser.add_argument("--only", default=",".join(each.name for each in PICTURES), metavar="NAMES")
    options = parser.parse_args()
    sys.exit(exit_status_of("pictures", lambda: run(options)))


def run(options: argparse.Namespace) -> None:
    """
    Raises:
        PocketformerError: no such run, no browser, or a picture that cannot be made small.
    """
    wanted = [each for each in PICTURES if each.name in options.only.split(",")]
    run_id = options.run or newest() or searched()
    options.out.mkdir(parents=True, exist_ok=True)
    with served(home(), workers=False) as address:
        for each in wanted:
            with browser_tab(size=(WIDE[0], each.height)) as page:
                page.goto(address + each.path.format(run=run_id))
                page.get_by_role("heading", name=each.ready).first.wait_for(timeout=WAIT_S * 1000)
                settled(page)
                page.wait_for_timeout(1000)  # fonts, and Plotly's last touch
                picture = small(page.screenshot(), each.name)
            path = options.out / f"{each.name}.png"
            path.write_bytes(picture)
            print(f"{path}: {len(picture) / 1000:.0f} kB")


def newest() -> str | None:
    """The newest run that is done."""
    with open_store() as store:
        return next((each.run_id for each in store.runs() if each.status == "done"), None)


def searched() -> str:
    """A run made now."""
    subprocess.run(module_command("app.cli", "search", *SMALL), check=True)
    found = newest()
    if found is None:
        raise PocketformerError("the search ended without a model; see its log above")
    return found


def small(png: bytes, name: str) -> bytes:
    """The picture in a palette, the largest that is small enough.

    Raises:
        PocketformerError: none is.
    """
    from PIL import Image

    picture = Image.open(io.BytesIO(png)).convert("RGB")
    for colours in COLOURS:
        out = io.BytesIO()
        picture.quantize(colours, dither=Image.Dither.NONE).save(out, "PNG", optimize=True)
        if out.tell() <= LARGEST_BYTES:
            return out.getvalue()
    raise PocketformerError(f"{name}.png has {out.tell() / 1000:.0f} kB in {COLOURS[-1]} colours; make its window smaller")


if __name__ == "__main__":
    main()
