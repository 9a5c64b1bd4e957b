"""Latency of a compiled model by one protocol: warm-up, at least 100 runs, median with p10 and p90, on a quiet machine."""

import json
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from compiler.devices import HOST, check_device
from compiler.isa import cores
from compiler.process import module_environment
from compiler.quiet import ShouldStop, never, quiet
from data.errors import Cancelled, MeasureError

PAUSES_S = (0.0, 0.2, 0.5, 1.0, 2.0, 3.0)  # before each attempt
AGREEING = 1.05  # ratio of two medians up to which they say the same
UNSTABLE_SPREAD = 0.35  # (p90 - p10) / median above which a measurement is taken again
MOST_WAITED = 0.3  # share of the time that others had the cores; with two pages open on this machine, up to 0.2
POLL_S = 0.1
BENCH_TIMEOUT_S = 300
MEASURED = "measured"
EMULATED = "emulated"


@dataclass(frozen=True)
class Conditions:
    """What a phone was like before and after its runs.

    Attributes:
        phone: model and Android version.
        cores: that threads were pinned to, one each; none where the phone does not tell their clocks.
        temperature_c: of its warmest core, or of its battery where it does not tell; None where it tells neither.
        allowed_mhz: the highest clock that the fastest of these cores was allowed.
    """

    phone: str
    cores: tuple[int, ...]
    temperature_c: tuple[float | None, float | None]
    allowed_mhz: tuple[int | None, int | None]


@dataclass(frozen=True)
class Latency:
    """Milliseconds of one inference, batch 1.

    Attributes:
        source: `MEASURED` on the device itself; or `EMULATED`, which is no latency, where `POCKETFORMER_EMULATED=1` allows it.
        cv: coefficient of variation, standard deviation / mean.
        waited: share of the time in which its threads were ready to run but other programs had their cores.
        gflops: 2 x multiply-accumulates a second, in 10^9, at the median; None where the model's FLOPs are not known.
        load_ms: until the model was ready, its weights mapped, not read; None of other runtimes.
        peak_memory_mb: resident memory of its process, mapped weights included, the most there was; None of other runtimes.
        conditions: of a phone.
        calls_us: microseconds of each kernel call, in order, the median of up to 1000 runs; where `measure` was asked for them.
    """

    median_ms: float
    p10_ms: float
    p90_ms: float
    runs: int
    source: str
    threads: int
    cv: float
    gflops: float | None = None
    waited: float = 0.0
    load_ms: float | None = None
    peak_memory_mb: float | None = None
    conditions: Conditions | None = None
    calls_us: tuple[float, ...] | None = None

    @property
    def spread(self) -> float:
        """(p90 - p10) / median: unlike `cv`, not moved by a single interrupted run."""
        return (self.p90_ms - self.p10_ms) / self.median_ms


def measure(
    folder: Path,
    device: str = "host",
    threads: int | None = None,
    runs: int | None = None,
    warmup: int = 3,
    should_stop: ShouldStop = never,
    tokens: int | None = None,
    profile: bool = False,
) -> Latency:
    """Time what `compiler.build.build` made, with nothing of ours running beside it; on a phone, over adb.

    Args:
        tokens: of the sentence, which takes the shortest sequence length that it fits; None: the model's longest.
        threads: None takes the physical cores that this process may use, of a phone those that are not its slowest.
        runs: None takes as many as two seconds do, and at least 100.
        profile: also time each kernel call.

    Raises:
        UsageError: unknown device.
        MeasureError: the program fails, the sentence is too long for the model, or latency stays unstable after several attempts; no
            phone that is the device is connected, or it went away and did not come back.
        Cancelled: `should_stop()` turned true.
    """
    check_device(device)
    options: list[object] = ["--warmup", warmup]
    options += [] if runs is None else ["--runs", runs]
    options += ["--profile"] if profile else []
    facts = json.loads((folder / "plan.json").read_text())
    flops = facts["flops"]
    if tokens is not None and "programs" in facts:  # before there were several lengths, every sentence took the whole one
        options += ["--tokens", tokens]
        flops = next((each["flops"] for each in facts["programs"] if each["seq_len"] >= tokens), flops)
    if device != HOST:
        from compiler.phone.timing import measure_on_phone

        return measure_on_phone(folder, device, threads, options, flops, should_stop)
    command = [folder / "bench", "--weights", folder / "weights.bin", "--threads", threads or cores(), *options]
    return steadiest(lambda: _once([str(word) for word in command], flops, should_stop), should_stop)


def measure_lengths(
    folder: Path,
    seq_lens: Sequence[int],
    device: str = "host",
    threads: int | None = None,
    should_stop: ShouldStop = never,
    log: Callable[[str], None] | None = None,
) -> list[dict[str, Any]]:
    """Latency at several of a model's sequence lengths, as bundles list it: `seq_len` (tokens) and the fields of `Latency`.

    One that stays unstable is left out: a compiled model is worth keeping on a machine that is busy now.

    Raises:
        Cancelled: `should_stop()` turned true.
    """
    latencies = []
    for tokens in seq_lens:
        if log:
            log(f"timing sentences of {tokens} tokens")
        try:
            latency = measure(folder, device, threads, should_stop=should_stop, tokens=tokens)
            latencies.append({"seq_len": tokens, **asdict(latency)})
        except MeasureError as error:
            if log:
                log(f"no latency for {tokens} tokens: {error}")
    return latencies


def steadiest(
    attempt: Callable[[], Latency],
    should_stop: ShouldStop = never,
    alone: Callable[[ShouldStop], AbstractContextManager[None]] = quiet,
    where: str = "this machine",
) -> Latency:
    """The first steady attempt, each on a quiet machine (or what else `alone` holds, and messages call `where`). Where programs or, on a virtual machine, other guests interrupt runs at
    random, the spread widens but the fastest medians hardly move: when the two lowest agree, the lower one is taken, spread and
    all. An attempt during which others had the cores for more than `MOST_WAITED` never counts, as it may be slow and steady.

    Raises:
        MeasureError: neither came about.
    """
    seen: list[Latency] = []
    waited = 0.0
    for pause_s in PAUSES_S:
        time.sleep(pause_s)
        with alone(should_stop):
            latency = attempt()
        waited = max(waited, latency.waited)
        if latency.waited > MOST_WAITED:
            continue
        if latency.spread <= UNSTABLE_SPREAD:
            return latency
        seen = sorted([*seen, latency], key=lambda each: each.median_ms)
        if len(seen) >= 3 and seen[1].median_ms <= AGREEING * seen[0].median_ms:
            return seen[0]
    if not seen:
        raise MeasureError(f"other programs had the cores {waited:.0%} of the time; end them, or measure later")
    medians = ", ".join(f"{each.median_ms:.2f}" for each in seen)
    raise MeasureError(f"latency is unstable: medians of {medians} ms in {len(seen)} attempts; end other programs on {where}")


def latency_of(facts: dict[str, Any], flops: int | None) -> Latency:
    """From the JSON that a benchmark prints."""
    return Latency(
        median_ms=facts["median_ms"],
        p10_ms=facts["p10_ms"],
        p90_ms=facts["p90_ms"],
        runs=facts["runs"],
        source=MEASURED,
        threads=facts["threads"],
        cv=facts["cv"],
        waited=facts.get("waited", 0.0),
        load_ms=facts.get("load_ms"),
        peak_memory_mb=facts.get("peak_memory_mb"),
        gflops=None if flops is None else flops / facts["median_ms"] / 1e6,
        calls_us=tuple(facts["calls_us"]) if "calls_us" in facts else None,
    )


def run_timed(command: list[str], should_stop: ShouldStop, timeout_s: float = BENCH_TIMEOUT_S, name: str = "") -> str:
    """Standard output of a benchmark's process; `name` is what messages call it, by default its program.

    Raises:
        MeasureError: it cannot be started, fails, or does not end.
        Cancelled: `should_stop()` turned true; the process is ended.
    """
    name = name or Path(command[0]).name
    try:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=module_environment())
    except OSError as error:
        raise MeasureError(f"cannot start {name}: {error.strerror}") from error
    waited_s = 0.0
    with process:
        while True:
            try:
                output, trouble = process.communicate(timeout=POLL_S)
                break
            except subprocess.TimeoutExpired:
                waited_s += POLL_S
                if should_stop() or waited_s > timeout_s:
                    process.kill()
                    if should_stop():
                        raise Cancelled("measurement was stopped") from None
                    raise MeasureError(f"{name} did not end within {timeout_s:g} s") from None
    if process.returncode:
        lines = [line for line in trouble.splitlines() if line.strip()] or [f"status {process.returncode}"]
        raise MeasureError(f"{name} failed: {lines[-1][:300]}")
    return output


def _once(command: list[str], flops: int, should_stop: ShouldStop) -> Latency:
    return latency_of(json.loads(run_timed(command, should_stop)), flops)
