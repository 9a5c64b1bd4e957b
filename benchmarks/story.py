"""The whole story by mouse alone, on real parts: a search is started on the page, watched, a candidate is dropped, two are compared, the reason
why one was dropped is read, its fusion looked at, a sentence tried, the bundle downloaded, unzipped and run.

    python -m benchmarks.story                         a small search: some minutes
    python -m benchmarks.story --task stsb --pictures story/

Starts `pocketformer serve` on a free port and a state folder of its own, and drives Debian's chromium with mouse clicks; the only key presses
are those of the sentence. Prints each step with its time; the first that fails ends it with status 1.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from benchmarks.browsing import browser_tab, served, settled
from data.errors import PocketformerError, exit_status_of

if TYPE_CHECKING:
    from playwright.sync_api import Page

SEARCH_S = 1800.0
ROW_PX = 36  # of the table of trials, its header too
SMALL = {
    "latency_ms": "200", "distil_seconds": "4", "final_epochs": "1", "seq_len": "32", "depths": "1,2", "ffn_sizes": "384",
}  # fmt: skip
SENTENCES = {
    "acceptability": ("The old sailor was praised by the quiet teacher.",),
    "paraphrase": ("The dog chased the cat.", "The cat was chased by the dog."),
    "stsb": ("A plane is taking off.", "An air plane is leaving."),
}


class Story:
    """One browser tab, and the steps that were taken in it."""

    def __init__(self, page: "Page", address: str, task: str, trials: int, pictures: Path | None) -> None:
        self.page, self.address, self.task, self.trials, self.pictures = page, address, task, trials, pictures
        self.steps: list[tuple[str, float]] = []
        self.run_id, self.dropped = "", 0

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Raises PocketformerError, with the step's title, when what is in it fails."""
        began = time.monotonic()
        try:
            yield
        except Exception as error:
            reason = " ".join(str(error).split())[:300]
            raise PocketformerError(f"{title}: {reason}") from error
        self.steps.append((title, time.monotonic() - began))
        print(f"{self.steps[-1][1]:7.1f} s  {title}", flush=True)
        if self.pictures is not None:
            self.pictures.mkdir(parents=True, exist_ok=True)
            self.page.screenshot(path=str(self.pictures / f"{len(self.steps):02d}-{re.sub('[^a-z]+', '-', title.lower())}.png"))

    def tell(self, folder: Path) -> None:
        page = self.page
        with self.step("open the Search page"):
            page.goto(f"{self.address}/search?{urlencode({'task': self.task, 'trials': self.trials, **SMALL})}")
            page.get_by_role("heading", name=re.compile("^Search")).wait_for()
            settled(page)
        with self.step("start a search"):
            page.get_by_role("button", name="Start", exact=True).click()
            page.wait_for_url("**/run?run=*")
            self.run_id = re.search(r"run=([\w-]+)", page.url)[1]  # type: ignore[index]
        with self.step("watch it until the first accuracy"):
            page.get_by_text(re.compile(r"early accuracy \d")).first.wait_for(timeout=SEARCH_S * 1000)
        self.drop()
        with self.step("watch it to its end"):
            page.get_by_role("button", name=re.compile("Download bundle")).wait_for(timeout=SEARCH_S * 1000)
            settled(page)
        self.read_why()
        self.compare()
        with self.step("see its fusion"):
            page.get_by_role("link", name="Its fusion").first.click()
            page.get_by_role("heading", name="The graph").wait_for(timeout=300_000)
            settled(page)
            page.locator("svg[aria-label*='kernels after']").wait_for()
        self.try_and_ship(folder)

    def drop(self) -> None:
        page = self.page
        with self.step("drop a candidate"):
            page.get_by_role("button", name=re.compile("^Drop this")).click()
            page.get_by_role("button", name="Yes, drop it").click()
            said = page.get_by_text(re.compile(r"^Dropping trial \d+")).first
            said.wait_for()
            self.dropped = int(re.findall(r"\d+", said.inner_text())[0])
            settled(page)

    def read_why(self) -> None:
        """Click the row of the candidate that was dropped: without a latency it is no mark of the chart."""
        page = self.page
        with self.step("read why one was dropped"):
            grid = page.get_by_test_id("stDataFrame").filter(visible=True).first  # those before it are folded away
            grid.scroll_into_view_if_needed()
            box = grid.bounding_box()
            assert box is not None
            page.mouse.click(box["x"] + ROW_PX / 2, box["y"] + ROW_PX * (self.dropped + 0.5))
            why = page.get_by_text(re.compile("^Why it"))
            why.wait_for(timeout=20_000)
            settled(page)
            print(f"           {why.inner_text()} {why.locator('..').inner_text().removeprefix(why.inner_text()).strip()}")

    def compare(self) -> None:
        page = self.page
        with self.step("compare two"):
            page.get_by_test_id("stMain").get_by_role("link", name="Compare").click()
            page.get_by_role("heading", name=re.compile("^Compare")).wait_for()
            page.get_by_text("In numbers").wait_for()
            settled(page)
            page.go_back()
            page.wait_for_url("**/run?run=*")
            settled(page)

    def try_and_ship(self, folder: Path) -> None:
        page = self.page
        with self.step("open Models"):
            page.get_by_role("button", name="Ship").click()
            page.get_by_role("menuitem", name="Models").click()
            page.get_by_role("heading", name=re.compile("^Models")).wait_for()
            settled(page)
        with self.step("try a sentence"):
            boxes = page.get_by_test_id("stForm").get_by_role("textbox")
            for place, sentence in enumerate(SENTENCES.get(self.task, ())):
                boxes.nth(place).fill(sentence)
            page.get_by_role("button", name="Answer").click()
            page.get_by_text("Median of 11 runs").first.wait_for(timeout=180_000)
            settled(page)
        with self.step("download the bundle"):
            with page.expect_download() as download:
                page.get_by_role("button", name=re.compile("^Bundle")).click()
            path = folder / download.value.suggested_filename
            download.value.save_as(path)
        with self.step("unzip it, check it and run it"):
            self.ship(path, folder / "model")

    def ship(self, path: Path, unpacked: Path) -> None:
        with zipfile.ZipFile(path) as archive:
            archive.extractall(unpacked)
        subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=unpacked, check=True)
        (unpacked / "bench").chmod(0o755)
        timed = subprocess.run(["./bench", "--weights", "weights.bin"], cwd=unpacked, check=True, capture_output=True)
        words = ["--text", *SENTENCES[self.task][:1]] + (
            ["--pair", SENTENCES[self.task][1]] if len(SENTENCES[self.task]) > 1 else []
        )
        command = [sys.executable, "-m", "app.cli", "run", str(path), *words, "--json"]
        answer = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        print(f"           {json.loads(timed.stdout)['median_ms']:.2f} ms; {answer['scores']}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="acceptability", choices=sorted(SENTENCES))
    parser.add_argument("--trials", type=int, default=4)
    parser.add_argument("--home", type=Path, help="state folder, kept; without it a temporary one")
    parser.add_argument("--pictures", type=Path, metavar="FOLDER", help="a screenshot after each step")
    options = parser.parse_args()
    sys.exit(exit_status_of("story", lambda: run(options)))


def run(options: argparse.Namespace) -> None:
    """
    Raises:
        PocketformerError: a step failed; the message names it.
    """
    with tempfile.TemporaryDirectory() as scratch:
        home = options.home or Path(scratch) / "home"
        os.environ["POCKETFORMER_HOME"] = str(home)
        with served(home) as address, browser_tab() as page:
            story = Story(page, address, options.task, options.trials, options.pictures)
            story.tell(Path(scratch))
            total = sum(seconds for _, seconds in story.steps)
    print(f"{total:7.1f} s  in all, {len(story.steps)} steps, no error in the browser's console")


if __name__ == "__main__":
    main()
