"""Measurements to calibrate on, taken now: a few small architectures that differ in all that latency depends on."""

import tempfile
from collections.abc import Callable
from itertools import cycle, islice
from pathlib import Path

from compiler.build import BuildRequest, build
from compiler.measure import measure
from data.errors import PocketformerError, UsageError
from data.home import subfolder
from engine.architecture import Architecture
from engine.export import export_reference, reference_model
from engine.prediction.calibration import Measured
from engine.prediction.kernels import kernels_of
from engine.prediction.machine import machine_of

# Wide and shallow, narrow and deep, long sentences and short: what tells arithmetic, memory and overhead apart. Then sizes in between.
PROBES = (
    ("L2-H768-A12-F3072", 128),
    ("L12-H128-A2-F512", 32),
    ("L4-H256-A4-F1024", 128),
    ("L2-H256-A4-F256", 384),
    ("L6-H384-A12-F1536", 64),
)
WIDTHS, FFN_RATIOS, LENGTHS = (128, 192, 256, 320, 384, 512, 640), (2, 4, 3, 1), (128, 64, 32, 256)


def probes(count: int) -> list[tuple[Architecture, int]]:
    """Architectures and sequence lengths, all different; the first ones tell most.

    Raises:
        UsageError: more than there are.
    """
    first = [(Architecture.parse(written), seq_len) for written, seq_len in PROBES]
    sizes = zip(cycle(WIDTHS), cycle(FFN_RATIOS), cycle(LENGTHS), range(len(WIDTHS) * 12))
    more = (
        (Architecture(width, width // 64, (ratio * width,) * (2 + number % 5)), seq_len)
        for width, ratio, seq_len, number in sizes
    )
    every = list(dict.fromkeys([*first, *more]))
    if count > len(every):
        raise UsageError(f"--budget {count}: there are {len(every)} architectures to measure; give at most that many")
    return list(islice(every, count))


def measure_architectures(
    device: str, count: int, threads: int | None, fusion: str, log: Callable[[str], None]
) -> list[Measured]:
    """Compile and time them; one that cannot be measured is left out.

    Raises:
        UsageError: more than there are.
        PocketformerError: none could be measured; the last one's reason.
    """
    found: list[Measured] = []
    problem: PocketformerError | None = None
    for number, (model, seq_len) in enumerate(probes(count), 1):
        log(f"{number} of {count}: compiling {model} at {seq_len} tokens")
        with tempfile.TemporaryDirectory(dir=subfolder("scratch")) as scratch:
            try:
                exported = export_reference(reference_model(str(model), seq_len=seq_len), seq_len, Path(scratch) / "export")
                request = BuildRequest(*exported, device, fusion=fusion, seq_len=seq_len)
                folder = build(request, Path(scratch) / "built").folder
                log(f"{number} of {count}: timing it")
                latency = measure(folder, device, threads)
            except PocketformerError as error:
                log(f"{model} is left out: {error}")
                problem = error
                continue
        machine = machine_of(device, latency.threads)
        works = kernels_of(model, seq_len, fusion)
        family = (model.hidden_size, model.heads, model.ffn_sizes[0])
        name = f"{model}, {seq_len} tokens"
        found.append(Measured(works, machine, latency.median_ms, family, fusion, name=name))
    if not found:
        assert problem is not None
        raise problem
    return found
