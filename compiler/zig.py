"""The C compiler and linker: zig, from its wheel, for every target and with no toolchain on the machine."""

import os
import subprocess
from collections.abc import Sequence
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from compiler.isa import Isa
from data.errors import CompileError
from data.home import subfolder

RUNTIME = Path(__file__).parent / "runtime"
FLAGS = ("-std=c11", "-O2", "-D_GNU_SOURCE", "-fvisibility=default", "-Wall", "-Wno-unused-command-line-argument", "-g0")
EMPTY_PROGRAM = "int main(void) { return 0; }\n"


def link_shared(inputs: Sequence[Path], output: Path, isa: Isa) -> None:
    """A shared library for this machine's libc; its own names win over equal ones in the process that loads it."""
    _run(["-target", isa.zig_shared, "-shared", "-fPIC", "-Wl,-Bsymbolic", *map(str, inputs), "-lpthread", "-lm"], output)


def link_static(inputs: Sequence[Path], output: Path, isa: Isa) -> None:
    """A static program that any Linux kernel of the architecture starts."""
    _run(["-target", isa.zig_static, "-static", "-s", *map(str, inputs), "-lpthread", "-lm"], output)


def link_native(inputs: Sequence[Path], output: Path, *options: str) -> None:
    """A program for this very processor, optimised for it: what measures the machine itself."""
    _run(["-O3", "-march=native", "-ffp-contract=fast", *options, *map(str, inputs), "-lpthread"], output)


def prepare(isa: Isa, folder: Path) -> None:
    """Build zig's libc once per machine (half a minute), ahead of the first link; nothing where that has been done."""
    targets = f"{isa.zig_shared}-{isa.zig_static}-{version('ziglang')}"
    done = subfolder("cache", "zig") / f"prepared-{targets}"
    if done.exists():
        return
    source = folder / "empty.c"
    source.write_text(EMPTY_PROGRAM)
    link_shared([source], folder / "empty.so", isa)
    link_static([source], folder / "empty", isa)
    done.touch()


@cache
def _zig() -> Path:
    """The program in its wheel: `python -m ziglang` starts an interpreter first, which takes a third of a link's time."""
    spec = find_spec("ziglang")
    if spec is None or spec.origin is None:
        raise CompileError("the linker is missing: pip install ziglang, of the version that requirements.txt names")
    return Path(spec.origin).with_name("zig")


def _run(arguments: list[str], output: Path) -> None:
    kept = str(subfolder("cache", "zig"))
    environment = {**os.environ, "ZIG_GLOBAL_CACHE_DIR": kept, "ZIG_LOCAL_CACHE_DIR": kept}
    command = [str(_zig()), "cc", *FLAGS, f"-I{RUNTIME}", *arguments, "-o", str(output)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "error" in line] or done.stderr.splitlines() or ["no message"]
        raise CompileError(f"linking {output.name} failed: {lines[0].strip()[:300]}")
