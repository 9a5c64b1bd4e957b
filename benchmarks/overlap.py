"""What compiling and measuring add to a search's wall time: `python -m benchmarks.overlap --task stsb [--trials 20] [--json FILE]`.

A search is carried out twice with the same seed, each time in a state folder of its own with nothing kept from before but the linker's libc,
which a machine makes once, up to its last trial: as it is; and with compilation and measurement answered at once, from the first's latencies. CANAO (section 3.3) hides the two behind training.
Then each architecture of the first is measured three times more, with nothing else running, and held against what its search measured. Idle
measurements differ too, on a machine that is shared with others: the report says by how much.

`--device phone-double` is an emulated phone on adb (Debian's packages adb and qemu-user): a remote device, but one whose work this machine's
cores do.

Training must be real for this to mean anything: one core trains while another compiles. On a machine with one core nothing is hidden.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.terminal import Progress, table
from benchmarks import machine, phone_double
from compiler import zig
from compiler.devices import HOST
from compiler.emulation import EMULATOR, PACKAGE
from compiler.targets import isas_of
from data.errors import MeasureError, PocketformerError, exit_status_of
from data.home import subfolder
from data.records import Event
from engine.settings import Settings

if TYPE_CHECKING:
    from jobs.work import Job, Work

LATENCY_MS = 1000.0  # all candidates are within it: one that is over is trained the less, the sooner that is known
MOST_ADDED, MOST_APART = 0.05, 0.03
OVER = "the search is over"
SIZES = ("depths", "hidden_sizes", "ffn_sizes")
SET = ("task", "device", "trials", "seed", "distil_tokens", *SIZES)
IDLE_ROUNDS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default=Settings().task)
    parser.add_argument("--device", default=Settings.device)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--distil-tokens", type=int, default=Settings.distil_tokens)
    for name in SIZES:
        parser.add_argument(f"--{name.replace('_', '-')}", type=_sizes, default=())
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--arm", type=Path, help=argparse.SUPPRESS)  # one of the two searches: its state folder
    options = parser.parse_args()
    sys.exit(exit_status_of("overlap", lambda: _search(options) if options.arm else run(options)))


def run(options: argparse.Namespace) -> None:
    """
    Raises:
        PocketformerError: a search did not come to its end.
    """
    progress = Progress()
    with tempfile.TemporaryDirectory(dir=subfolder("scratch")) as scratch:
        whole, answered = Path(scratch) / "whole", Path(scratch) / "answered"
        progress.log("the search as it is")
        first = _arm(whole, options, {})
        progress.log(f"{first['seconds']:.0f} s; the same, with latencies that are known")
        second = _arm(answered, options, first["latencies"])
        progress.log(f"{second['seconds']:.0f} s")
    progress.close()
    rounds = {name: (first["latencies"][name]["latency_ms"], idle_ms) for name, idle_ms in first["idle_ms"].items()}
    report = {
        **machine.facts(("torch", "apache-tvm")),
        **{name: getattr(options, name) for name in SET},
        "seconds": first["seconds"],
        "seconds_without": second["seconds"],
        "added": first["seconds"] / second["seconds"] - 1,
        "same_trials": first["trials"] == second["trials"],
        "apart": {name: in_search / statistics.median(idle) - 1 for name, (in_search, idle) in rounds.items()},
        "idle_apart": {name: max(idle) / statistics.median(idle) - 1 for name, (_, idle) in rounds.items()},
    }
    machine.keep(report, options.json)
    print(render(report))


def render(report: Mapping[str, Any]) -> str:
    sizes = sorted(abs(each) for each in report["apart"].values())
    idle = list(report["idle_apart"].values())
    rows = [
        ("with compiling and measuring", f"{report['seconds']:.0f} s", ""),
        ("without", f"{report['seconds_without']:.0f} s", ""),
        ("added", f"{report['added']:.1%}", f"at most {MOST_ADDED:.0%}"),
        ("the same trials", "yes" if report["same_trials"] else "no", "yes"),
    ]
    if sizes:
        within = sum(each <= MOST_APART for each in sizes)
        rows += [
            ("latency in the search against idle", f"median {statistics.median(sizes):.1%}, most {sizes[-1]:.1%} apart", ""),
            (
                "the slowest of three idle ones against their median",
                f"median {statistics.median(idle):.1%}, most {max(idle):.1%} apart",
                "",
            ),
            (f"within {MOST_APART:.0%}", f"{within} of {len(sizes)}", "all"),
        ]
    return table((f"{report['trials']} trials of {report['task']} on {report['device']}", "", "asked"), rows)


def _arm(home: Path, options: argparse.Namespace, latencies: Mapping[str, Any]) -> dict[str, Any]:
    home.mkdir()
    (home / "latencies.json").write_text(json.dumps(latencies))
    words = [f"--{name.replace('_', '-')}={_word(getattr(options, name))}" for name in SET]
    command = [sys.executable, "-m", "benchmarks.overlap", *words, "--arm", str(home)]
    with _phone(home) if options.device == phone_double.NAME else nullcontext():
        done = subprocess.run(command, env={**os.environ, "POCKETFORMER_HOME": str(home)})
    if done.returncode:
        raise PocketformerError(f"a search ended with status {done.returncode}")
    found: dict[str, Any] = json.loads((home / "found.json").read_text())
    return found


@contextmanager
def _phone(home: Path) -> Iterator[None]:
    """An emulated phone on adb, known to the search of this state folder."""
    if missing := [name for name in ("adb", EMULATOR) if not shutil.which(name)]:
        raise PocketformerError(f"no {' and no '.join(missing)}; Debian's packages are adb and {PACKAGE}")
    os.environ["POCKETFORMER_EMULATED"] = "1"
    with (
        phone_double.serving_adb(str(shutil.which("adb")), home),
        phone_double.plugged_in(home / "phone", home / "devices"),
    ):
        yield


def _search(options: argparse.Namespace) -> None:
    """One of the two searches, up to its last trial."""
    from data.store import open_store
    from jobs.driver import start_run
    from jobs.local import run_local
    from jobs.work import WORK

    known = json.loads((options.arm / "latencies.json").read_text())
    work: dict[str, Work] = {**WORK, "final_train": _over, **({"compile": _nothing, "measure": _from(known)} if known else {})}
    settings = Settings(**{name: getattr(options, name) for name in SET}, latency_ms=LATENCY_MS)
    zig.prepare(isas_of(settings.device, settings.precision)[0], options.arm)
    progress = Progress()
    began = time.monotonic()
    with open_store() as store:
        run_id = start_run(store, settings)
        ended = run_local(store, run_id, lambda event: _tell(progress, event), work=work)
        seconds, trials = time.monotonic() - began, store.trials(run_id)
    if OVER not in (ended.error or ""):
        raise PocketformerError(f"the search failed: {ended.error}")
    latencies = {
        each.architecture: {
            "latency_ms": each.latency_ms,
            "p10_ms": each.latency_p10_ms,
            "p90_ms": each.latency_p90_ms,
            "source": "measured",
        }
        for each in trials
        if each.latency_ms is not None
    }
    found = {
        "seconds": seconds,
        "latencies": latencies,
        "trials": [each.architecture for each in trials],
        "idle_ms": _measured_again(options.arm, settings, latencies) if not known and options.device == HOST else {},
    }
    (options.arm / "found.json").write_text(json.dumps(found))


def _over(job: "Job") -> dict[str, Any]:
    """The final training is not timed: the run ends here."""
    raise PocketformerError(OVER)


def _nothing(job: "Job") -> dict[str, Any]:
    return {}


def _from(latencies: Mapping[str, Any]) -> "Work":
    def measured(job: "Job") -> dict[str, Any]:
        name = str(job.architecture)
        if name not in latencies:
            raise MeasureError(f"the first search did not try {name}")
        return dict(latencies[name])

    return measured


def _measured_again(home: Path, settings: Settings, architectures: Iterable[str]) -> dict[str, list[float]]:
    """Median milliseconds of each round by architecture, of a search that is over; its kernels are kept."""
    from benchmarks.search.table import build_untrained, measure_built
    from engine.architecture import architecture_of

    names = list(architectures)
    for name in names:
        build_untrained(architecture_of(name), settings, home / "again" / name)
    rounds = [{name: measure_built(home / "again" / name, settings).median_ms for name in names} for _ in range(IDLE_ROUNDS)]
    return {name: [each[name] for each in rounds] for name in names}


def _tell(progress: Progress, event: Event) -> None:
    """What a trial came to, as it does."""
    if event.trial is not None and not event.data:
        progress.log(event.message)


def _sizes(text: str) -> tuple[int, ...]:
    return tuple(int(word) for word in text.split(",") if word)


def _word(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


if __name__ == "__main__":
    main()
