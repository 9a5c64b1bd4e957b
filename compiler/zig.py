"""The C compiler and linker: zig, from its wheel, for every target and with no toolchain on the machine."""

import os
import subprocess
import tempfile
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
ANDROID_LIBRARY = "libpocketformer.so"
ANDROID_PAGE_BYTES = 16384  # https://developer.android.com/guide/practices/page-sizes
EMPTY_PROGRAM = "int main(void) { return 0; }\n"


def link_shared(
    inputs: Sequence[Path], output: Path, isa: Isa, name: str = ANDROID_LIBRARY, *, opens_libraries: bool = False
) -> None:
    """A shared library for the libc of `isa`; its own names win over equal ones in the process that loads it. Android knows it by `name`.

    Args:
        opens_libraries: while it runs, which takes `libdl` beside libc.
    """
    if isa.android:
        options = [*_shared(isa), f"-Wl,-soname,{name}"]
        _link_for_android(inputs, output, isa, options, ["libc.so", *(["libdl.so"] if opens_libraries else [])])
    else:
        _run([*_shared(isa), *map(str, inputs), "-lpthread", "-lm", *(["-ldl"] if opens_libraries else [])], output)


def link_packed(folder: Path, output: Path, isa: Isa) -> None:
    """A shared library of the folder's weights.bin and tokenizer.bin, as runtime/packed.c says. What is compiled on the way is as large as they
    are and of no further use: it lies in the folder, not in zig's cache."""
    packed = folder / "packed.o"
    source = str(RUNTIME / "packed.c")
    _run(["-target", isa.zig_shared, "-fPIC", f"-I{folder}", "-c", source], packed, kept_objects=folder / "objects")
    link_shared([packed], output, isa, output.name)


def link_program(inputs: Sequence[Path], output: Path, isa: Isa) -> None:
    """A program that can open shared libraries: one that is not static, for the libc of `isa`."""
    if isa.android:
        # A library that names the dynamic linker and where to begin: position-independent programs are nothing else.
        options = [*_shared(isa), "-Wl,-e,_start"]
        _link_for_android([*inputs, RUNTIME / "android_start.c"], output, isa, options, ["libc.so", "libdl.so"])
    else:
        _run(["-target", isa.zig_shared, "-s", *map(str, inputs), "-lpthread", "-lm", "-ldl"], output)


def _link_for_android(inputs: Sequence[Path], output: Path, isa: Isa, options: list[str], libraries: Sequence[str]) -> None:
    """Android's libc has no headers here. The runtime is compiled with musl's, whose types are the kernel's as Android's are, and linked
    with nothing but the names of the libraries that the phone has."""
    with tempfile.TemporaryDirectory(prefix="pocketformer-libc-") as folder:
        empty = Path(folder) / "empty.c"
        empty.write_text("")
        for name in libraries:
            _run([*_shared(isa), "-nostdlib", f"-Wl,-soname,{name}", str(empty)], Path(folder) / name)
        objects = []
        for number, source in enumerate(inputs):
            if source.suffix == ".c":  # without a libc to link there would be no headers either
                objects.append(Path(folder) / f"{number}.o")
                _run(["-target", isa.zig_shared, "-fPIC", "-fno-builtin-bcmp", "-c", str(source)], objects[-1])
            else:
                objects.append(source)
        android = ["-nostdlib", "-s", f"-Wl,-z,max-page-size={ANDROID_PAGE_BYTES}", "-Wl,--no-as-needed"]
        _run([*options, *android, *map(str, objects), *(str(Path(folder) / name) for name in libraries)], output)


def _shared(isa: Isa) -> list[str]:
    return ["-target", isa.zig_shared, "-shared", "-fPIC", "-Wl,-Bsymbolic"]


def link_static(inputs: Sequence[Path], output: Path, isa: Isa) -> None:
    """A static program that any Linux kernel of the architecture starts."""
    _run(["-target", isa.zig_static, "-static", "-s", *map(str, inputs), "-lpthread", "-lm"], output)


def link_native(inputs: Sequence[Path], output: Path, *options: str) -> None:
    """A program for this very processor, optimised for it: what measures the machine itself."""
    _run(["-O3", "-march=native", "-ffp-contract=fast", *options, *map(str, inputs), "-lpthread"], output)


def link_plugin(inputs: Sequence[Path], output: Path) -> None:
    """A shared library for a program of this machine, which has what the library lacks."""
    _run(["-shared", "-fPIC", *map(str, inputs)], output)


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


def _run(arguments: list[str], output: Path, kept_objects: Path | None = None) -> None:
    kept = subfolder("cache", "zig")
    environment = {**os.environ, "ZIG_GLOBAL_CACHE_DIR": str(kept), "ZIG_LOCAL_CACHE_DIR": str(kept_objects or kept)}
    command = [str(_zig()), "cc", *FLAGS, f"-I{RUNTIME}", *arguments, "-o", str(output)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "error" in line] or done.stderr.splitlines() or ["no message"]
        raise CompileError(f"linking {output.name} failed: {lines[0].strip()[:300]}")
