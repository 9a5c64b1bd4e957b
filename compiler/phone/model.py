"""A compiled model's answers on a phone."""

import tempfile
from pathlib import Path

import numpy as np

from compiler.emulation import write_sentences
from compiler.phone.choose import find_phone
from compiler.phone.files import FOLDER, put
from compiler.phone.running import alone, persistently, run_program
from compiler.quiet import ShouldStop, never
from compiler.targets import threads_of


class PhoneModel:
    """A compiled model that answers on the connected phone that `device` means.

    Args:
        folder: what `compiler.build.build` made.

    Raises:
        MeasureError: no such phone is connected.
    """

    def __init__(self, folder: Path, device: str, threads: int | None = None) -> None:
        self._folder = folder
        self._phone = find_phone(device).phone
        self._threads = threads or threads_of(device)

    def run(
        self, input_ids: np.ndarray, token_type_ids: np.ndarray, attention_mask: np.ndarray, should_stop: ShouldStop = never
    ) -> np.ndarray:
        """Integers (n, S) each -> float32 (n, N), each sentence at the shortest sequence length that holds S.

        Raises:
            MeasureError: the program fails, or the phone went away and did not come back.
            Cancelled: `should_stop()` turned true.
        """
        with tempfile.TemporaryDirectory(prefix="pocketformer-phone-") as scratch, alone(self._phone, should_stop):
            inputs, outputs = Path(scratch) / "inputs", Path(scratch) / "outputs"
            write_sentences(inputs, input_ids, token_type_ids, attention_mask)
            persistently(self._phone, lambda: self._answer(inputs, outputs, should_stop), should_stop)
            return np.fromfile(outputs, np.float32).reshape(len(input_ids), -1)

    def _answer(self, inputs: Path, outputs: Path, should_stop: ShouldStop) -> None:
        bench, weights, asked = put(self._phone, [self._folder / "bench", self._folder / "weights.bin", inputs], should_stop)
        answered = f"{FOLDER}/outputs.part"
        words = [bench, "--weights", weights, "--threads", self._threads, "--inputs", asked, "--outputs", answered]
        run_program(self._phone, words, should_stop=should_stop)
        self._phone.pull(answered, outputs, should_stop)
        self._phone.shell(f"rm -f {asked} {answered}")
