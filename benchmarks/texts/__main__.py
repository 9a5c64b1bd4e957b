"""A phone's bundle as an app uses it, text in and scores out, on emulated processors, against torch.

    pocketformer compile minilm-l6 --device galaxy-s20 -o b.zip
    python -m benchmarks.texts b.zip --model minilm-l6 [--sentences 50] [--by-bench 10] [--cpus cortex-a72,cortex-a76,max]

All sentences go through the bundle's library, which a C program opens by path, and the first few through its `bench --text`, each in a process
of its own, which takes some seconds. Expected are the
answers of Hugging Face's tokenizer and of torch. Sentences are MRPC's of GLUE where POCKETFORMER_GLUE_DIR is set, else those of the generated
paraphrase task. Exit status 1 where an answer is off by 1e-4 or more; in fp16 by a fiftieth of the largest, in int8 by a tenth. It needs the
Debian packages qemu-user and libc6-arm64-cross, whose libc stands in for Android's.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from app.terminal import Progress, table
from benchmarks.correctness import CPUS, LARGEST_ERROR, LARGEST_SHARES
from compiler import zig
from compiler.arm import aarch64
from compiler.bundle import read_bundle
from compiler.emulation import EMULATOR, LIBC, LIBC_PACKAGE, PACKAGE
from data.errors import MeasureError, ModelError, UsageError, exit_status_of

FOLDER = Path(__file__).parent
TIMEOUT_S = 1200


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path, metavar="BUNDLE.zip")
    parser.add_argument("--model", required=True, help="that the bundle was compiled of, as `pocketformer compile` took it")
    parser.add_argument("--sentences", type=int, default=50)
    parser.add_argument("--by-bench", type=int, default=10, help="sentences that also go through bench --text")
    parser.add_argument("--cpus", default=",".join(CPUS), help="that are emulated, as QEMU names them")
    options = parser.parse_args()
    sys.exit(exit_status_of("texts", lambda: run(options)))


def run(options: argparse.Namespace) -> None:
    """
    Raises:
        UsageError, ModelError: no bundle for phones, an unknown model, or a missing package.
        MeasureError: an emulated program fails, or its answers are off.
    """
    bundle = read_bundle(options.bundle)
    if not bundle.model.get("system"):
        raise ModelError(f"{options.bundle} is not for a phone; compile with --device")
    for missing, package in ((shutil.which(EMULATOR) is None, PACKAGE), (not LIBC.is_dir(), LIBC_PACKAGE)):
        if missing:
            raise UsageError(f"install the package {package}")
    texts = _texts(options.sentences)
    expected = _expected(options.model, texts, bundle.model["seq_len"])
    largest = float(np.abs(expected).max())
    allowed = LARGEST_SHARES.get(bundle.model["precision"], 0) * largest or LARGEST_ERROR
    progress, rows, worst = Progress(), [], 0.0
    with tempfile.TemporaryDirectory() as scratch:
        folder = _unzipped(options.bundle, Path(scratch) / "bundle")
        app = App(Path(scratch))
        for cpu in options.cpus.split(","):
            for way, answers, count in (("library", app.answers, len(texts)), ("bench --text", _by_bench, options.by_bench)):
                progress.log(f"{len(texts[:count])} texts through {way} on {cpu}")
                error = float(np.abs(answers(folder, texts[:count], cpu) - expected[:count]).max(initial=0.0))
                worst = max(worst, error)
                rows.append((cpu, way, str(len(texts[:count])), f"{largest:.2f}", f"{error:.1e}"))
    progress.close()
    print(table(("on", "through", "texts", "largest answer", "largest difference"), rows))
    if worst >= allowed:
        raise MeasureError(f"answers differ by {worst:.1e} from torch's, where less than {allowed:.1e} is allowed")


def _unzipped(bundle: Path, folder: Path) -> Path:
    """As `unzip` does: the programs may be run."""
    with zipfile.ZipFile(bundle) as archive:
        archive.extractall(folder)
    (folder / "bench").chmod(0o755)
    return folder


def _texts(count: int) -> list[str]:
    from data.tasks import load_task

    dev = load_task("mrpc" if os.environ.get("POCKETFORMER_GLUE_DIR") else "paraphrase").dev
    return list(dict.fromkeys(dev["text_a"]))[:count]


def _expected(model: str, texts: Sequence[str], seq_len: int) -> np.ndarray:
    """Torch's answers (n, N)."""
    import torch

    from engine.export import reference_model
    from engine.tokens import collate, encode, pad_id

    reference = reference_model(model)
    if reference.encoder is None:
        raise UsageError("an ONNX file has no torch model to compare with")
    answers = []
    with torch.no_grad():
        for row in encode(reference.tokenizer, texts, seq_len):
            answers.append(reference.encoder(*collate([row], pad_id(reference.tokenizer))).numpy())
    return np.concatenate(answers)


def _by_bench(bundle: Path, texts: Sequence[str], cpu: str) -> np.ndarray:
    words = [
        bundle / "bench",
        "--weights",
        bundle / "weights.bin",
        "--tokenizer",
        bundle / "tokenizer" / "tokenizer.bin",
        "--text",
    ]
    return np.array([json.loads(_emulated(cpu, [*words, text]))["scores"] for text in texts], np.float32)


class App:
    """A program that opens a bundle's library, and what it needs of a phone's system, in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._program = folder, folder / "answer"
        zig.link_program([FOLDER / "answer.c"], self._program, aarch64(set(), "linux"))
        (folder / "libc.so").symlink_to(LIBC / "lib" / "libc.so.6")

    def answers(self, bundle: Path, texts: Sequence[str], cpu: str) -> np.ndarray:
        lines = self._folder / "texts"
        lines.write_text("".join(f"{text}\n" for text in texts))
        files = [bundle / name for name in ("libpocketformer.so", "weights.bin", "tokenizer/tokenizer.bin")]
        found = _emulated(cpu, ["-L", LIBC, "-E", f"LD_LIBRARY_PATH={self._folder}", self._program, *files, lines])
        return np.array([line.split() for line in found.splitlines()], np.float32)


def _emulated(cpu: str, words: Sequence[object]) -> str:
    command = [EMULATOR, "-cpu", cpu, *map(str, words)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        raise MeasureError(f"a program of the bundle did not end within {TIMEOUT_S} s on {cpu}") from None
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
        raise MeasureError(f"a program of the bundle failed on {cpu}: {lines[-1][:300]}")
    return done.stdout


if __name__ == "__main__":
    main()
