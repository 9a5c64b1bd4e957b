"""A runtime's own process, started by `compiler.peers`.

`python -m compiler.peers.worker convert NAME SOURCE SAMPLES OUT` writes the file that the runtime reads.
`python -m compiler.peers.worker time NAME FILE SAMPLES --threads N --runs N --warmup N` times it and prints one JSON object.
"""

import argparse
import importlib
import json
import os
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np

from compiler.check import SHARES
from compiler.peers import INPUTS, PEERS, Answer

LEAST_RUNS, LEAST_MS = 100, 2000.0  # where the number of runs is not given, as in runtime/bench.c
# Of the largest answer. In fp32 runtimes stay under 1e-5, bf16 is at 1e-2; integers are held to what our own are.
LARGEST_ERROR = {"fp32": 1e-3, **SHARES}
CORES_SLACK = 0.25  # that a runtime may use beyond its threads, by its processor time
CLOCK_S = 0.1  # how far processor time may be off, as kernels count it in ticks


def main() -> None:
    # Only this function writes to the caller's pipe; what a runtime prints goes to standard error.
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    # Pocketformer's own processes let OpenMP spin for less than it is used to; a peer gets what its users have.
    os.environ.pop("GOMP_SPINCOUNT", None)
    parser = argparse.ArgumentParser()
    parser.add_argument("action", choices=("convert", "time"))
    parser.add_argument("name", choices=PEERS)
    parser.add_argument("file", type=Path)
    parser.add_argument("samples", type=Path)
    parser.add_argument("out", type=Path, nargs="?")
    for option in ("--threads", "--runs", "--warmup"):
        parser.add_argument(option, type=int, default=0)
    options = parser.parse_args()
    try:
        runtime = importlib.import_module(f"compiler.peers.{PEERS[options.name].module}")
        if options.action == "convert":
            runtime.convert(options.file, options.samples, options.out)
        else:
            facts = measured(runtime.load(options.file, options.threads), options, PEERS[options.name].precision)
            print(json.dumps(facts), file=out, flush=True)
    except Exception as error:
        lines = str(error).strip().splitlines()  # the first says what went wrong, those after it where
        sys.exit(f"{type(error).__name__}: {lines[0] if lines else 'no message'}")


def measured(answer: Answer, options: argparse.Namespace, precision: str) -> dict[str, float]:
    """What is printed. Ends the process when the runtime did not do what it was asked to."""
    check(answer, options.samples, precision)
    facts = timed(answer, options.samples, options.runs, options.warmup)
    if facts["processor_s"] > (options.threads + CORES_SLACK) * facts["elapsed_s"] + CLOCK_S:
        cores = facts["processor_s"] / facts["elapsed_s"]
        sys.exit(f"it used {cores:.2f} cores, though it was given {options.threads} threads")
    return {**facts, "waited": facts["waited"] / options.threads, "threads": options.threads}


def check(answer: Answer, samples: Path, precision: str) -> None:
    """Ends the process when the answer on the shortest sentence, the one with most padding, is not torch's."""
    with np.load(samples) as arrays:
        row = int(arrays["attention_mask"].sum(axis=1).argmin())
        tokens = {name: arrays[name][row : row + 1].astype(np.int64) for name in INPUTS}
        expected = arrays["expected"][row : row + 1]
    answered = answer(tokens)
    if answered.shape != expected.shape:
        sys.exit(f"it answers with shape {answered.shape}, torch with {expected.shape}")
    error = float(np.abs(answered - expected).max() / np.abs(expected).max())
    if not error <= LARGEST_ERROR[precision]:
        sys.exit(f"its answer differs from torch's by {error:.2g} of the largest number: it does not compute in {precision}")


def timed(answer: Answer, samples: Path, runs: int, warmup: int) -> dict[str, float]:
    """Milliseconds of a run on tokens of full length, and what processor time all of them took, and how long threads waited for a core."""
    with np.load(samples) as arrays:
        tokens = {name: np.zeros((1, arrays[name].shape[1]), np.int64) for name in INPUTS}
    tokens["attention_mask"][:] = 1
    for _ in range(warmup):
        answer(tokens)
    times_ms: list[float] = []
    begin, begin_processor, begin_waiting_s = time.perf_counter(), time.process_time(), waiting_s()
    while len(times_ms) < (runs or LEAST_RUNS) or (not runs and sum(times_ms) < LEAST_MS):
        start = time.perf_counter()
        answer(tokens)
        times_ms.append((time.perf_counter() - start) * 1e3)
    waited_s, processor_s = waiting_s() - begin_waiting_s, time.process_time() - begin_processor
    elapsed_s = time.perf_counter() - begin
    p10, median, p90 = np.quantile(times_ms, (0.1, 0.5, 0.9))
    return {
        "median_ms": float(median),
        "p10_ms": float(p10),
        "p90_ms": float(p90),
        "cv": float(np.std(times_ms) / np.mean(times_ms)),
        "runs": len(times_ms),
        "elapsed_s": elapsed_s,
        "processor_s": processor_s,
        "waited": waited_s / elapsed_s,
    }


def waiting_s() -> float:
    """Seconds that this process's threads were ready to run while others had their cores; 0 where the kernel does not tell."""
    total_ns = 0
    for schedule in Path("/proc/self/task").glob("*/schedstat"):
        with suppress(OSError, ValueError, IndexError):  # a thread that has ended meanwhile
            total_ns += int(schedule.read_text().split()[1])
    return total_ns / 1e9


if __name__ == "__main__":
    main()
