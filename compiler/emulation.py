"""Running another processor's models under QEMU's user-mode emulation: it shows that code is right, never how fast it is."""

import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from compiler.isa import Isa
from data.errors import CompileError

EMULATOR = "qemu-aarch64"
PACKAGE = "qemu-user"
LIBC = Path("/usr/aarch64-linux-gnu")  # of emulated programs that are not static; it stands in for Android's, too
LIBC_PACKAGE = "libc6-arm64-cross"
MOST_FLOPS = 3e9  # of a sequence length's sentences: half a minute
TIMEOUT_S = 600
ANY_CPU = "max"


def emulator(isa: Isa) -> str | None:
    """The program that runs code of `isa` here; None where it is not installed."""
    return shutil.which(EMULATOR) if isa.triple.startswith("aarch64") else None


class EmulatedModel:
    """A compiled model whose `bench` program answers.

    Args:
        folder: what `compiler.build.build` made.
        flops: of one sentence, by sequence length.
        cpu: that is emulated, as QEMU names it.
    """

    def __init__(self, folder: Path, flops: Mapping[int, int], outputs: int, cpu: str = ANY_CPU) -> None:
        self._folder, self._flops, self._outputs, self._cpu = folder, flops, outputs, cpu

    @property
    def seq_lens(self) -> tuple[int, ...]:
        return tuple(sorted(self._flops))

    def most(self, seq_len: int) -> int | None:
        return max(1, int(MOST_FLOPS / self._flops[seq_len]))

    def run(
        self, input_ids: np.ndarray, token_type_ids: np.ndarray, attention_mask: np.ndarray, *, trim: bool = True
    ) -> np.ndarray:
        """Integers (n, S) each -> float32 (n, N), each sentence at the shortest sequence length that holds S.

        Raises:
            CompileError: the program fails, as where the emulated processor lacks an instruction.
        """
        with tempfile.TemporaryDirectory(prefix="pocketformer-emulation-") as scratch:
            inputs, outputs = Path(scratch) / "inputs", Path(scratch) / "outputs"
            write_sentences(inputs, input_ids, token_type_ids, attention_mask)
            words = ["--weights", self._folder / "weights.bin", "--inputs", inputs, "--outputs", outputs]
            command = [EMULATOR, "-cpu", self._cpu, self._folder / "bench", *words]
            try:
                done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=TIMEOUT_S)
            except subprocess.TimeoutExpired:
                raise CompileError(f"the emulated model did not answer within {TIMEOUT_S} s") from None
            if done.returncode:
                lines = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
                raise CompileError(f"the emulated model failed on {self._cpu}: {lines[-1][:300]}")
            return np.fromfile(outputs, np.float32).reshape(len(input_ids), self._outputs)


def write_sentences(path: Path, *arrays: np.ndarray) -> None:
    """Token ids, types and mask (n, S) as `bench --inputs` reads them."""
    with path.open("wb") as file:
        file.write(np.array(arrays[0].shape, np.int32).tobytes())
        for array in arrays:
            file.write(np.ascontiguousarray(array, np.int32).tobytes())
