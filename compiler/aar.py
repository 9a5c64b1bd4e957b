"""An `.aar`: a bundle's model in one file that an Android app takes in, with a Java class that calls it.

Weights and tokenizer go in as a shared library (runtime/packed.c) and not as assets. An app's package keeps libraries uncompressed and at a
page's start without being told to, so that they are mapped where they lie, aligned as they were when latency was measured. Assets are deflated
unless the app's build is told not to, and begin at any multiple of four bytes.

Two of the same bundle, made with the same JDK, are equal byte for byte.
"""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from compiler import zig
from compiler.archive import write_archive
from compiler.arm import ANDROID, aarch64
from compiler.bundle import TOKENIZER_TABLE, Bundle
from compiler.isa import Isa
from compiler.session import LIBRARY, WEIGHTS
from data.errors import CompileError, ModelError, PocketformerError
from data.home import subfolder

PACKAGE = "default-jdk-headless"  # Debian's
JAVA = zig.RUNTIME / "Model.java"
WEIGHTS_LIBRARY = "libpocketformer_weights.so"
MODEL_JSON = "assets/pocketformer/model.json"
_ABI = "jni/arm64-v8a"
_MANIFEST = """<?xml version="1.0" encoding="utf-8"?>
<manifest xmlns:android="http://schemas.android.com/apk/res/android" package="io.pocketformer">
    <uses-sdk android:minSdkVersion="29" />
</manifest>
"""
_KEEP = "-keep class io.pocketformer.Model { *; }\n"  # the libraries know its methods by their names


def write_aar(bundle: Bundle, out_path: Path) -> Path:
    """The file appears whole or not at all. Its layout: https://developer.android.com/studio/projects/android-library#aar-contents

    Raises:
        ModelError: the bundle is not for Android, has no tokenizer for phones, or is from before there were such files.
        CompileError: there is no `javac`.
        PocketformerError: the disk is full or the place is not writable.
    """
    library, weights, table = (bundle.folder / name for name in (LIBRARY, WEIGHTS, TOKENIZER_TABLE))
    if bundle.model.get("system") != ANDROID:
        raise ModelError(
            f"an .aar takes a bundle for an Android phone, this one is for {bundle.model['device']}; "
            "`pocketformer compile MODEL --device galaxy-s20 -o FILE` makes one"
        )
    if not table.exists():
        raise ModelError(
            "an .aar takes text, and this bundle's tokenizer is not BERT's WordPiece; take the bundle's C library with token ids of your own"
        )
    if b"Java_io_pocketformer_Model_answer\0" not in library.read_bytes():
        raise ModelError("this bundle was made before its library could be called from Java; compile its model again")
    try:
        with tempfile.TemporaryDirectory(dir=subfolder("scratch")) as scratch:
            classes = write_classes(Path(scratch) / "classes.jar")
            packed = pack_weights(weights, table, Path(scratch), aarch64(set(), ANDROID))
            members: dict[str, bytes | Path] = {
                "AndroidManifest.xml": _MANIFEST.encode(),
                "R.txt": b"",
                "classes.jar": classes,
                "proguard.txt": _KEEP.encode(),
                MODEL_JSON: bundle.folder / "model.json",
                f"{_ABI}/{zig.ANDROID_LIBRARY}": library,
                f"{_ABI}/{WEIGHTS_LIBRARY}": packed,
            }
            return write_archive(out_path, members)
    except OSError as error:
        raise PocketformerError(f"cannot make {out_path}: {error.strerror}; free some space") from error


def pack_weights(weights: Path, table: Path, scratch: Path, isa: Isa) -> Path:
    """Both files as one shared library, in `scratch`."""
    (scratch / "weights.bin").symlink_to(weights.resolve())
    (scratch / "tokenizer.bin").symlink_to(table.resolve())
    zig.link_packed(scratch, scratch / WEIGHTS_LIBRARY, isa)
    return scratch / WEIGHTS_LIBRARY


def write_classes(path: Path) -> Path:
    """The Java class as a .jar that every Android and every Java from 8 on reads.

    Raises:
        CompileError: `javac` is not there, or fails.
    """
    javac = _javac()
    with tempfile.TemporaryDirectory(prefix="pocketformer-java-") as folder:
        options = ["--release", "8", "-Xlint:-options", "-proc:none", "-g:source,lines", "-parameters", "-encoding", "UTF-8"]
        done = subprocess.run([javac, *options, "-d", folder, str(JAVA)], capture_output=True, text=True)
        if done.returncode:
            lines = (done.stderr or done.stdout).splitlines() or ["no message"]
            raise CompileError(f"{javac} failed: {lines[0][:300]}; a JDK of 9 or newer is needed")
        classes = {str(each.relative_to(folder)): each for each in Path(folder).rglob("*.class")}
        return write_archive(path, classes)


def _javac() -> str:
    home = os.environ.get("JAVA_HOME")
    found = shutil.which("javac", path=f"{home}/bin") if home else shutil.which("javac")
    if not found:
        where = f"JAVA_HOME is {home}, which has none: set it to a JDK" if home else "set JAVA_HOME to a JDK"
        raise CompileError(f"an .aar takes a Java compiler, javac: install the package {PACKAGE}, or {where}")
    return found
