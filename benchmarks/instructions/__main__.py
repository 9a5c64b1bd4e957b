"""What an inference executes on an emulated phone's processor: instructions, multiply-adds, dot products, loads, modelled cache misses.

    python -m benchmarks.instructions --json instructions.json
    python -m benchmarks.instructions --models tinybert-4 --precisions fp32,int8 --against litert,onnxruntime,onnxruntime-int8

Counts are exact and repeatable; they are work, and never a latency. One thread, batch 1, the second inference of a process. The other
runtimes run from their AArch64 wheels, on an AArch64 Python (`benchmarks.instructions.aarch64`), in the same run. QEMU tells programs the
emulated processor's identity where they read it from its registers; what they read from /proc and /sys is a Cortex-A76's.
It needs the Debian packages qemu-user and libc6-arm64-cross.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from app.terminal import Progress, table
from benchmarks import machine
from benchmarks.instructions import aarch64
from compiler import arm, zig
from compiler.build import BuildRequest, build
from compiler.emulation import EMULATOR, LIBC, LIBC_PACKAGE, PACKAGE
from compiler.peers import PEERS, check_peers, prepare_peer
from compiler.precisions import PRECISIONS
from data.errors import MeasureError, UsageError, exit_status_of
from data.home import subfolder
from engine.architecture import DEFAULT_SEQ_LEN, architecture_of

FOLDER = Path(__file__).parent
DEVICE = "raspberry-pi-5"  # AArch64 with the GNU libc, as the emulated programs have
CPU = "cortex-a76"
TIMEOUT_S = 3600
OURS = "pocketformer {}"
LANES = {"fp32": 4, "fp16": 8, "int8": 16}  # products of one instruction
Counts = dict[str, int]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="tinybert-4,minilm-l6", metavar="NAMES", help="presets or architectures")
    parser.add_argument("--precisions", default=",".join(PRECISIONS), metavar="NAMES", help="of ours")
    parser.add_argument("--against", default="", metavar="NAMES", help=f"of {', '.join(aarch64.RUNTIMES)}")
    parser.add_argument("--cpu", default=CPU, help="that is emulated, as QEMU names it")
    parser.add_argument("--seq-len", type=int, default=DEFAULT_SEQ_LEN, metavar="TOKENS")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where figures are kept, after each count")
    options = parser.parse_args()
    sys.exit(exit_status_of("instructions", lambda: run(options)))


def run(options: argparse.Namespace) -> None:
    """
    Raises:
        UsageError: an unknown model, precision or runtime, or a missing package.
        MeasureError: an emulated program fails.
    """
    models, precisions, against = (_names(text) for text in (options.models, options.precisions, options.against))
    for name in models:
        architecture_of(name)
    _check(precisions, against)
    report: dict[str, Any] = {
        **machine.facts(("apache-tvm", "onnxruntime", "ai-edge-litert")),
        "cpu": options.cpu,
        "seq_len": options.seq_len,
        "rows": [],
    }
    progress = Progress()
    with tempfile.TemporaryDirectory(dir=subfolder("scratch")) as scratch:
        tools = Tools(Path(scratch) / "tools", options.cpu)
        python = aarch64.python(progress.log) if against else None
        for name in models:
            for runtime, counts in _counted(name, precisions, against, python, tools, options, Path(scratch) / name, progress):
                report["rows"].append({"model": name, "runtime": runtime, **counts})
                machine.keep(report, options.json)
    progress.close()
    print(render(report))


def _counted(
    name: str,
    precisions: list[str],
    against: list[str],
    python: Path | None,
    tools: "Tools",
    options: argparse.Namespace,
    scratch: Path,
    progress: Progress,
) -> Any:
    """(runtime, counts) of a model, one after the other."""
    from engine.export import export_for_peers, reference_model

    exported = export_for_peers(reference_model(name), options.seq_len, against, scratch / "export")
    assert exported.program is not None
    for precision in precisions:
        progress.log(f"compiling {name} in {precision}")
        request = BuildRequest(exported.program, exported.samples, DEVICE, precision)
        folder = build(request, scratch / precision).folder
        progress.log(f"counting {name} in {precision}")
        yield OURS.format(precision), tools.count_ours(folder, options.seq_len)
    for runtime in against:
        progress.log(f"converting {name} for {runtime}")
        assert python is not None
        file = prepare_peer(runtime, exported, scratch)
        progress.log(f"counting {name} on {runtime}")
        yield runtime, tools.count_peer(python, PEERS[runtime].module, file, options.seq_len)


class Tools:
    """The counting plugin, and what starts programs under it."""

    def __init__(self, folder: Path, cpu: str) -> None:
        folder.mkdir(parents=True)
        isa = arm.aarch64(set(), "linux")
        self._cpu, self._plugin, self._answer = cpu, folder / "count.so", folder / "answer"
        zig.link_plugin([FOLDER / "count.c"], self._plugin)
        zig.link_program([FOLDER / "answer.c"], self._answer, isa)

    def count_ours(self, folder: Path, seq_len: int) -> Counts:
        return self._count(LIBC, [self._answer, folder / "model.so", folder / "weights.bin", seq_len])

    def count_peer(self, python: Path, module: str, file: Path, seq_len: int) -> Counts:
        return self._count(python, [python / aarch64.PROGRAM, FOLDER / "answer.py", FOLDER.parents[1], module, file, seq_len])

    def _count(self, root: Path, program: list[object]) -> Counts:
        command = [EMULATOR, "-cpu", self._cpu, "-L", root, "-plugin", f"file={self._plugin}", *program]
        # More threads would lose counts.
        settings = [word for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS") for word in ("-E", f"{name}=1")]
        command[1:1] = settings
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=TIMEOUT_S)
        marks = [json.loads(line) for line in done.stderr.splitlines() if line.startswith('{"instructions"')]
        if done.returncode or len(marks) != 2:
            lines = [line for line in done.stderr.splitlines() if line and not line.startswith("{")] or ["no message"]
            raise MeasureError(f"{Path(str(program[0])).name} failed on {self._cpu}: {lines[-1][:300]}")
        return {name: after - marks[0][name] for name, after in marks[1].items()}


def render(report: dict[str, Any]) -> str:
    """Millions of each, and what our own stand to the others of the same model."""
    rows = []
    for row in report["rows"]:
        multiply_adds = architecture_of(row["model"]).flops(report["seq_len"]) / 2
        precision = row["runtime"].split()[-1] if row["runtime"].startswith("pocketformer") else _precision_of(row["runtime"])
        share = multiply_adds / LANES[precision] / row["instructions"]
        kinds = ("instructions", "fp32_fma", "fp16_fma", "dot", "matrix", "loads", "stores", "l1_misses")
        rows.append((row["model"], row["runtime"], *(f"{row[kind] / 1e6:.1f}" for kind in kinds), f"{share:.0%}"))
    header = (
        "model",
        "runtime",
        "instructions",
        "fp32 fma",
        "fp16 fma",
        "dot",
        "matrix",
        "loads",
        "stores",
        "L1 misses",
        "in products",
    )
    title = f"millions an inference on an emulated {report['cpu']}, {report['seq_len']} tokens, one thread; never a latency"
    return f"{title}\n{table(header, rows)}"


def _precision_of(runtime: str) -> str:
    return PEERS[runtime].precision


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


def _check(precisions: list[str], against: list[str]) -> None:
    unknown = [name for name in precisions if name not in PRECISIONS]
    if unknown:
        raise UsageError(f"unknown precision '{unknown[0]}'; take {', '.join(PRECISIONS)}")
    unknown = [name for name in against if name not in aarch64.RUNTIMES]
    if unknown:
        raise UsageError(f"'{unknown[0]}' has no AArch64 wheel here; take {', '.join(aarch64.RUNTIMES)}")
    check_peers(tuple(against))
    if shutil.which(EMULATOR) is None:
        raise UsageError(f"{EMULATOR} is missing: install the package {PACKAGE}")
    if not LIBC.is_dir():
        raise UsageError(f"{LIBC} is missing: install the package {LIBC_PACKAGE}")


if __name__ == "__main__":
    main()
