"""Numbers as 8-bit integers times a scale, symmetric about zero: what `--precision int8` computes with.

Weights have a scale for each output channel, activations one for each token, taken from the token itself while the model runs
(dynamic quantization: Zafrir et al. 2019, "Q8BERT"; the scale by token as in Yao et al. 2022, "ZeroQuant").
"""

import numpy as np

STEP = 4  # numbers of a row that one word of activations holds, and one step of a matmul takes
LARGEST = 127  # -128 is left out, so that x and -x are equally far from zero
LEAST = 1e-30  # stands for the largest of nothing but zeros


def quantized(x: np.ndarray, axis: int, largest: int = LARGEST) -> tuple[np.ndarray, np.ndarray]:
    """Integers, as float32, in [-largest, largest], and the scale by which each vector along `axis` is multiplied to get near x again."""
    top = np.maximum(np.abs(x).max(axis=axis, keepdims=True), np.float32(LEAST)).astype(np.float32)
    return np.rint(x * (np.float32(largest) / top)), top * np.float32(1 / largest)


def rounded(x: np.ndarray, axis: int, largest: int = LARGEST) -> np.ndarray:
    """x as it is after it was quantized."""
    integers, scales = quantized(x, axis, largest)
    return (integers * scales).astype(np.float32)
