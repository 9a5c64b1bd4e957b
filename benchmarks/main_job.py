"""The main job, held against its promises: a search, then its bundle checked from outside.

    python -m benchmarks.main_job --task stsb --latency-ms 5 --trials 8 --text wiki.txt.gz     a new search
    python -m benchmarks.main_job --run RUN                                                     the bundle of an earlier one

Checks that the best latency keeps the limit, that the bundle's own `bench` agrees with it, that the bundle answers as torch does on the
task's dev sentences, and that the compiled model itself scores on the dev split what the run reports. Prints a table, and JSON to `--out`.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.commands.export import weights_of
from compiler.bundle import Bundle, read_bundle
from compiler.session import Session
from data.store import open_store
from data.tasks import evaluate, load_task

if TYPE_CHECKING:
    from torch import Tensor

LARGEST_LATENCY_RATIO = 1.2
LARGEST_ERROR = 1e-3
TORCH_SENTENCES = 64
COMMAND = [sys.executable, "-m", "app.cli"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", help="check the bundle of this run instead of starting one")
    parser.add_argument("--out", type=Path, help="also write the figures as JSON")
    options, search = parser.parse_known_args()
    report = check(options.run or found_by(search))
    for name, (value, promise, kept) in report.items():
        print(f"{'ok ' if kept else 'NO '} {name:<44} {value:>12}   {promise}")
    if options.out:
        options.out.write_text(json.dumps({name: value for name, (value, _, _) in report.items()}, indent=2) + "\n")
    return 0 if all(kept for _, _, kept in report.values()) else 1


def found_by(arguments: list[str]) -> str:
    """Runs a search with these arguments of `pocketformer search`; the run's id."""
    start = time.monotonic()
    done = subprocess.run([*COMMAND, "search", *arguments, "--json"], stdout=subprocess.PIPE, text=True, check=True)
    print(f"searched for {(time.monotonic() - start) / 60:.1f} minutes", file=sys.stderr)
    return str(json.loads(done.stdout)["run_id"])


def check(run_id: str) -> dict[str, tuple[str, str, bool]]:
    """Name of a figure -> (its value, what was promised, whether it holds)."""
    from safetensors.torch import load_file

    from data.artifacts import Artifacts

    with open_store() as store, tempfile.TemporaryDirectory() as scratch:
        run = store.run(run_id)
        artifact = next(each for each in store.artifacts(run_id) if each.kind == "bundle")
        best = next(each for each in store.trials(run_id) if each.trial == artifact.trial)
        bundle = read_bundle(Artifacts().get(artifact.sha256, Path(scratch) / artifact.name))
        weights = load_file(str(Artifacts().get(weights_of(store, artifact), Path(scratch) / "weights.safetensors")))
    assert best.latency_ms is not None
    assert best.final_accuracy is not None
    limit_ms = float(run.settings["latency_ms"])
    bench_ms = _bench(bundle)
    ratio = bench_ms / best.latency_ms
    error, scored = _answers(bundle, run.settings, weights)
    return {
        "architecture": (best.architecture, "", True),
        "best latency (ms)": (f"{best.latency_ms:.2f}", f"at most {limit_ms:g}", best.latency_ms <= limit_ms),
        "bundle's own bench (ms)": (
            f"{bench_ms:.2f}",
            "within 20 %",
            1 / LARGEST_LATENCY_RATIO <= ratio <= LARGEST_LATENCY_RATIO,
        ),
        "largest difference from torch": (f"{error:.1e}", f"under {LARGEST_ERROR:g}", error < LARGEST_ERROR),
        "dev score reported by the run": (f"{best.final_accuracy:.4f}", "", True),
        "dev score of the compiled model": (f"{scored:.4f}", "the same to 0.001", abs(scored - best.final_accuracy) < 1e-3),
    }


def _bench(bundle: Bundle) -> float:
    """Median of the bundle's own program, in milliseconds."""
    threads = str(bundle.threads)
    command: list[str | Path] = [bundle.folder / "bench", "--weights", bundle.folder / "weights.bin", "--threads", threads]
    return float(json.loads(subprocess.run(command, capture_output=True, check=True).stdout)["median_ms"])


def _answers(bundle: Bundle, settings: dict[str, Any], weights: dict[str, "Tensor"]) -> tuple[float, float]:
    """(largest absolute difference from torch, score on the dev split) of the compiled model on real sentences."""
    import torch

    from engine.architecture import Architecture
    from engine.encoder import Encoder
    from engine.problem import pooling_of, texts_of
    from engine.teacher import model_folder, read_tokenizer
    from engine.tokens import collate, encode, pad_id

    task = load_task(settings["task"])
    tokenizer = read_tokenizer(model_folder(settings["teacher"]), settings["teacher"])
    batch = collate(encode(tokenizer, texts_of(task, "dev"), bundle.seq_len), pad_id(tokenizer), bundle.seq_len)
    with Session(bundle.folder, bundle.threads) as session:
        compiled = session.run(*(tensor.numpy() for tensor in batch))
    encoder = Encoder(Architecture.parse(bundle.model["architecture"]), task.outputs, pooling_of(task)).eval()
    encoder.load_state_dict(weights)
    with torch.no_grad():
        expected = encoder(*(tensor[:TORCH_SENTENCES] for tensor in batch)).numpy()
    error = float(abs(compiled[:TORCH_SENTENCES] - expected).max())
    return error, next(iter(evaluate(task, compiled).values()))


if __name__ == "__main__":
    sys.exit(main())
