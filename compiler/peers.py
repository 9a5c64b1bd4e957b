"""Other runtimes on the same model, by the same protocol, each in a process of its own: spinning threads disturb each other.

`python -m compiler.peers MODEL.onnx --seq-len S --threads N --runs N --warmup N` is that process.
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from compiler.isa import cores
from compiler.measure import Latency, latency_of, run_timed, steadiest
from compiler.process import module_command
from compiler.quiet import ShouldStop, never
from data.errors import UsageError

INPUTS = ("input_ids", "token_type_ids", "attention_mask")
PEERS = ("onnxruntime",)
LEAST_RUNS, LEAST_MS = 100, 2000.0  # where the number of runs is not given, as in runtime/bench.c


def measure_peer(
    name: str,
    onnx_file: Path,
    *,
    seq_len: int,
    threads: int | None = None,
    runs: int | None = None,
    warmup: int = 3,
    flops: int | None = None,
    should_stop: ShouldStop = never,
) -> Latency:
    """Latency of an ONNX file (inputs input_ids, token_type_ids, attention_mask: int64 (1, S)) in another runtime.

    Raises:
        UsageError: unknown peer.
        MeasureError: it cannot run the file, or stays unstable.
        Cancelled: `should_stop()` turned true.
    """
    check_peers((name,))
    sizes = {"--seq-len": seq_len, "--threads": threads or cores(), "--runs": runs or 0, "--warmup": warmup}
    options = [str(word) for pair in sizes.items() for word in pair]
    command = module_command("compiler.peers", str(onnx_file.resolve()), *options)
    return steadiest(lambda: latency_of(json.loads(run_timed(command, should_stop)), flops), should_stop)


def check_peers(names: Sequence[str]) -> None:
    """
    Raises:
        UsageError: a runtime that is not known here; the message lists them.
    """
    for name in names:
        if name not in PEERS:
            raise UsageError(f"unknown runtime '{name}'; take {', '.join(PEERS)}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    for option in ("--seq-len", "--threads", "--runs", "--warmup"):
        parser.add_argument(option, type=int, required=True)
    options = parser.parse_args()
    run = _onnxruntime(options.model, options.seq_len, options.threads)
    for _ in range(options.warmup):
        run()
    times_ms: list[float] = []
    while len(times_ms) < (options.runs or LEAST_RUNS) or (not options.runs and sum(times_ms) < LEAST_MS):
        start = time.perf_counter()
        run()
        times_ms.append((time.perf_counter() - start) * 1e3)
    p10, median, p90 = np.quantile(times_ms, (0.1, 0.5, 0.9))
    facts = {"median_ms": median, "p10_ms": p10, "p90_ms": p90, "cv": float(np.std(times_ms) / np.mean(times_ms))}
    print(json.dumps({**facts, "runs": len(times_ms), "threads": options.threads}))


def _onnxruntime(model: str, seq_len: int, threads: int) -> Callable[[], object]:
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    settings.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, settings, providers=["CPUExecutionProvider"])
    tokens = {name: np.zeros((1, seq_len), np.int64) for name in INPUTS}
    tokens["attention_mask"][:] = 1
    taken = {item.name: tokens[item.name] for item in session.get_inputs()}
    return lambda: session.run(None, taken)


if __name__ == "__main__":
    main()
