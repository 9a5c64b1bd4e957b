"""A compiled model's answers held against torch's, at every sequence length."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from compiler.isa import cores
from compiler.quantization import INT8
from compiler.session import Session, real_tokens
from data.errors import CompileError

FP32_DIFFERENCE = 1e-3
INT8_SHARE = 0.25  # of the largest answer
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
        return cls(inputs, expected, np.array([real_tokens(mask) for mask in inputs[-1]]))


def allowed(precision: str, samples: Samples) -> float:
    """The absolute difference from the original's answers that a precision brings: rounding, but no mistake."""
    if precision == INT8:
        return INT8_SHARE * float(np.abs(samples.expected).max(initial=0.0))
    return FP32_DIFFERENCE


def check(folder: Path, samples: Samples, tolerance: float, original: str = "torch") -> float:
    """Largest absolute difference from the original's answers, of every sequence length on the sentences that fit it. It has run them at
    the longest: a short sentence gets the same answer from each.

    Raises:
        CompileError: it is over the tolerance, or not a number.
    """
    largest = 0.0
    with Session(folder, threads=cores()) as session:
        for seq_len in session.seq_lens:
            fits = samples.tokens <= seq_len
            answers = session.run(*(item[fits, :seq_len] for item in samples.inputs), trim=False)
            expected = samples.expected[fits]
            if answers.shape != expected.shape:
                raise CompileError(f"the compiled model answers with shape {answers.shape}, {original} with {expected.shape}")
            difference = float(np.abs(answers - expected).max(initial=0.0))
            if not difference <= tolerance:
                message = f"the compiled model differs from {original} by {difference:.3g}, more than the {tolerance:g} allowed"
                if seq_len < session.seq_len:
                    message += f", at {seq_len} tokens only; compile it for one length: --seq-len {session.seq_len}"
                raise CompileError(message)
            largest = max(largest, difference)
    return largest
