"""How well a supernet ranks: `python -m benchmarks.supernet --task stsb [--architectures 12] [--json FILE]`.

Architectures are drawn over the whole search space. Each gets its accuracy from the supernet, as a search with `--accuracy supernet`
takes it, and from full training: a body distilled for it alone, fine-tuned to the end, scored on the dev split. Kendall's tau compares the two
rankings. Interrupted, it goes on with the same arguments: what is trained is kept.
"""

import argparse
import dataclasses
import random
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from app.terminal import Progress, table
from benchmarks import machine
from data.errors import exit_status_of
from data.home import subfolder
from engine.architecture import Architecture
from engine.settings import SUPERNET, Settings
from engine.space import SearchSpace


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default=Settings().task)
    parser.add_argument("--teacher", default=Settings.teacher)
    parser.add_argument("--text", help="unlabelled text to distil on")
    parser.add_argument("--architectures", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--distil-tokens", type=int, default=Settings.distil_tokens)
    parser.add_argument("--distil-seconds", type=int, default=Settings.distil_seconds)
    parser.add_argument("--final-epochs", type=int, default=Settings.final_epochs)
    for name in ("depths", "hidden-sizes", "ffn-sizes"):
        parser.add_argument(f"--{name}", type=_sizes, default=())
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    sys.exit(exit_status_of("supernet", lambda: run(options)))


def run(options: argparse.Namespace) -> None:
    """
    Raises:
        UsageError: unknown task, teacher or text, or sizes that no student can have.
    """
    from engine.teacher import load_teacher

    names = (
        "task",
        "teacher",
        "text",
        "seed",
        "final_epochs",
        "depths",
        "hidden_sizes",
        "ffn_sizes",
        "distil_tokens",
        "distil_seconds",
    )
    settings = Settings(**{name: getattr(options, name) for name in names})
    teacher = load_teacher(settings.teacher).architecture
    space = SearchSpace.for_teacher(teacher, settings.depths, settings.hidden_sizes, settings.ffn_sizes)
    progress, rows = Progress(), []
    chosen = spread(space, options.architectures, options.seed)
    for number, architecture in enumerate(chosen, 1):
        progress.log(f"{number} of {len(chosen)}: {architecture}")
        rows.append(_row(architecture, settings, progress))
    progress.close()
    report = {**machine.facts(("torch",)), **settings.to_dict(), "rows": rows, "kendall_tau": tau(rows)}
    machine.keep(report, options.json)
    print(render(report))


def spread(space: SearchSpace, count: int, seed: int) -> list[Architecture]:
    """Different architectures by chance, depths and hidden sizes in turn, so that each is there."""
    rng, chosen = random.Random(seed), dict[str, Architecture]()
    bodies = [(depth, hidden) for hidden in range(len(space.hidden_sizes)) for depth in space.depths]
    rng.shuffle(bodies)
    for attempt in range(100 * count):
        if len(chosen) == count:
            break
        depth, hidden = bodies[attempt % len(bodies)]
        ffn_sizes = [rng.randrange(len(space.ffn_sizes)) for _ in range(depth)]
        architecture = space.architecture(2, (hidden, *ffn_sizes))
        chosen.setdefault(str(architecture), architecture)
    return list(chosen.values())


def tau(rows: Sequence[Mapping[str, Any]]) -> float | None:
    """Kendall's tau-b of the two accuracies; None where one of them does not vary."""
    from scipy.stats import kendalltau

    found = float(kendalltau([row["supernet"] for row in rows], [row["trained"] for row in rows]).statistic)
    return found if found == found else None


def _row(architecture: Architecture, settings: Settings, progress: Progress) -> dict[str, Any]:
    from engine.candidates import evaluate_candidate
    from engine.ground import ground_of
    from engine.supernet import member

    def tell(message: str, fraction: float | None = None, data: Mapping[str, Any] | None = None) -> None:
        progress.bar(message, fraction or 0.0)

    shared = dataclasses.replace(settings, accuracy=SUPERNET)
    member(
        ground_of(shared), architecture, tell, lambda: False
    )  # the network itself, which many candidates share, is not timed
    with tempfile.TemporaryDirectory(dir=subfolder("scratch")) as scratch:
        start = time.monotonic()
        quick = evaluate_candidate(architecture, shared, stage="early", workdir=Path(scratch), progress=tell)
        seconds = time.monotonic() - start
    workdir = subfolder("scratch") / f"trained-{settings.task}-{settings.seed}" / str(architecture)
    full = evaluate_candidate(architecture, settings, stage="final", workdir=workdir, progress=tell)
    return {
        "architecture": str(architecture),
        "supernet": quick.accuracy,
        "trained": full.accuracy,
        "supernet_s": seconds,
        "trained_s": full.seconds,
    }


def render(report: Mapping[str, Any]) -> str:
    rows = [
        [
            row["architecture"],
            f"{row['supernet']:.4f}",
            f"{row['trained']:.4f}",
            f"{row['supernet_s']:.1f}",
            f"{row['trained_s']:.0f}",
        ]
        for row in sorted(report["rows"], key=lambda row: -row["trained"])
    ]
    shown = table(["architecture", "supernet", "trained", "supernet s", "fine-tuning s"], rows)
    return f"{shown}\nKendall's tau: {'none' if report['kendall_tau'] is None else format(report['kendall_tau'], '.2f')}"


def _sizes(text: str) -> tuple[int, ...]:
    return tuple(int(size) for size in text.split(",") if size.strip())


if __name__ == "__main__":
    main()
