"""A compiled model's answers held against torch's, at every sequence length."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from compiler.precisions import FP16, INT8
from compiler.session import real_tokens
from data.errors import CompileError

FP32_DIFFERENCE = 1e-3
SHARES = {FP16: 0.03, INT8: 0.25}  # of the largest answer
INPUTS = ("input_ids", "token_type_ids", "attention_mask")


@dataclass(frozen=True)
class Samples:
    """`inputs` int (n, S) each, `expected` torch's answers float32 (n, N), `tokens` int (n,) of each sentence."""

    inputs: tuple[np.ndarray, ...]
    expected: np.ndarray
    tokens: np.ndarray

    @classmethod
    def read(cls, path: Path) -> "Samples":
        """
        Raises:
            CompileError: no such samples.
        """
        try:
            with np.load(path) as arrays:
                inputs = tuple(arrays[name] for name in INPUTS)
                expected = arrays["expected"]
        except (OSError, ValueError, KeyError) as error:
            raise CompileError(f"{path.name} does not hold samples: {error}") from error
        return cls.of(inputs, expected)

    @classmethod
    def of(cls, inputs: tuple[np.ndarray, ...], expected: np.ndarray) -> "Samples":
        return cls(inputs, expected, np.array([real_tokens(mask) for mask in inputs[-1]]))


def allowed(precision: str, samples: Samples) -> float:
    """The absolute difference from the original's answers that a precision brings: rounding, but no mistake."""
    if precision in SHARES:
        return SHARES[precision] * float(np.abs(samples.expected).max(initial=0.0))
    return FP32_DIFFERENCE


class Model(Protocol):
    """A compiled model that can be run: `compiler.session.Session`, or `compiler.emulation.EmulatedModel`."""

    @property
    def seq_lens(self) -> tuple[int, ...]: ...

    def run(
        self, input_ids: np.ndarray, token_type_ids: np.ndarray, attention_mask: np.ndarray, *, trim: bool = True
    ) -> np.ndarray:
        """Integers (n, S) each -> float32 (n, N)."""

    def most(self, seq_len: int) -> int | None:
        """Sentences that it can be asked at this sequence length in a reasonable time; None: any number."""


def check(model: Model, samples: Samples, tolerance: float, original: str = "torch") -> float:
    """Largest absolute difference from the original's answers, of every sequence length on the sentences that fit it. It has run them at
    the longest: a short sentence gets the same answer from each.

    Raises:
        CompileError: it is over the tolerance, or not a number.
    """
    largest, longest = 0.0, model.seq_lens[-1]
    for seq_len in model.seq_lens:
        fits = np.flatnonzero(samples.tokens <= seq_len)[: model.most(seq_len)]
        answers = model.run(*(item[fits, :seq_len] for item in samples.inputs), trim=False)
        expected = samples.expected[fits]
        if answers.shape != expected.shape:
            raise CompileError(f"the compiled model answers with shape {answers.shape}, {original} with {expected.shape}")
        difference = float(np.abs(answers - expected).max(initial=0.0))
        if not difference <= tolerance:
            message = f"the compiled model differs from {original} by {difference:.3g}, more than the {tolerance:g} allowed"
            if seq_len < longest:
                message += f", at {seq_len} tokens only; compile it for one length: --seq-len {longest}"
            raise CompileError(message)
        largest = max(largest, difference)
    return largest
