"""This machine's fp32 fused multiply-add peak, measured: what a latency is a share of."""

import hashlib
import subprocess
import tempfile
from pathlib import Path

from compiler.quiet import ShouldStop, never, quiet
from compiler.zig import RUNTIME, link_native
from data.errors import MeasureError
from data.home import subfolder

SOURCE = RUNTIME / "peak.c"
SECONDS = 0.4


def peak_gflops(threads: int, should_stop: ShouldStop = never) -> float:
    """GFLOP/s of `threads` cores doing nothing but independent multiply-adds in registers, each core's best.

    Raises:
        CompileError: the measuring program could not be built.
        MeasureError: it could not be run.
    """
    program = _program()
    with quiet(should_stop):
        done = subprocess.run([program, str(threads), str(SECONDS)], capture_output=True, text=True)
    if done.returncode:
        raise MeasureError(f"the peak could not be measured: {done.stderr.strip() or f'exit status {done.returncode}'}")
    return float(done.stdout)


def _program() -> Path:
    """Built once for each version of its source."""
    folder = subfolder("cache", "peak")
    program = folder / hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:16]
    if not program.exists():
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            part = Path(scratch) / "peak"
            link_native([SOURCE], part)
            part.replace(program)
    return program
