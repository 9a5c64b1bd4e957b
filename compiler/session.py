"""Runs a compiled model in this process: its shared library through ctypes; no torch, no TVM."""

import ctypes
from pathlib import Path
from types import TracebackType

import numpy as np

from data.errors import CompileError

_INT_POINTER = ctypes.POINTER(ctypes.c_int32)
_FLOAT_POINTER = ctypes.POINTER(ctypes.c_float)
LIBRARY = "model.so"
WEIGHTS = "weights.bin"


class Session:
    """A loaded model. Not to be shared between threads.

    Args:
        folder: what `compiler.build.build` made.
        threads: that one sentence is shared by.

    Raises:
        CompileError: the folder is no compiled model, or not one for this processor.
    """

    def __init__(self, folder: Path, threads: int = 1) -> None:
        self._model = None
        try:
            self._library = ctypes.CDLL(str(folder.resolve() / LIBRARY))
        except OSError as error:
            raise CompileError(f"{folder} holds no compiled model for this machine: {error}") from error
        self._declare()
        self._model = self._library.pf_load(str(folder / WEIGHTS).encode(), threads)
        if not self._model:
            raise CompileError(self._error())
        self.seq_lens: tuple[int, ...] = self._lengths()
        self.outputs: int = self._library.pf_outputs(self._model)

    @property
    def seq_len(self) -> int:
        """The most tokens that a sentence may have."""
        return self.seq_lens[-1]

    def most(self, seq_len: int) -> int | None:
        """Sentences that it can be asked in a reasonable time: any number."""
        return None

    def length_for(self, tokens: int) -> int:
        """The shortest compiled sequence length that holds a sentence of so many tokens."""
        return next(length for length in self.seq_lens if length >= tokens)

    def run(
        self, input_ids: np.ndarray, token_type_ids: np.ndarray, attention_mask: np.ndarray, *, trim: bool = True
    ) -> np.ndarray:
        """Integers (n, S) each, S up to `seq_len` -> float32 (n, N), one sentence after the other.

        Args:
            trim: each sentence takes the shortest compiled length that holds its real tokens; False: the shortest for S.

        Raises:
            CompileError: ids that the model has no rows for, or too many tokens.
        """
        inputs = [np.ascontiguousarray(item, np.int32) for item in (input_ids, token_type_ids, attention_mask)]
        shape = inputs[0].shape
        if len(shape) != 2 or not 1 <= shape[1] <= self.seq_len or any(item.shape != shape for item in inputs):
            shapes = ", ".join(str(item.shape) for item in inputs)
            raise CompileError(f"inputs have shapes {shapes}; this model takes (n, S) each, S from 1 to {self.seq_len} tokens")
        out = np.empty((len(input_ids), self.outputs), np.float32)
        for row, *sentence in zip(out, *inputs, strict=True):
            tokens = min(shape[1], self.length_for(real_tokens(sentence[2]))) if trim else shape[1]
            self._run_one(sentence, tokens, row)
        return out

    def _run_one(self, sentence: list[np.ndarray], tokens: int, out: np.ndarray) -> None:
        if self._one_length:
            sentence = [np.pad(item, (0, self.seq_len - len(item))) for item in sentence]
        pointers = [item.ctypes.data_as(_INT_POINTER) for item in sentence]
        length = [] if self._one_length else [tokens]
        if self._library.pf_run(self._model, *pointers, *length, out.ctypes.data_as(_FLOAT_POINTER)):
            raise CompileError(self._error())

    def _lengths(self) -> tuple[int, ...]:
        if self._one_length:
            return (self._library.pf_seq_len(self._model),)
        count = ctypes.c_int()
        lengths = self._library.pf_seq_lens(self._model, ctypes.byref(count))
        return tuple(lengths[: count.value])

    def use_gpu(self, precision: str = "fp32") -> str:
        """From now on the GPU answers, in `fp32` or `fp16`. Its name.

        Raises:
            CompileError: why it cannot; the CPU goes on.
        """
        if not hasattr(self._library, "pf_use_gpu"):
            raise CompileError("this model was compiled before models ran on GPUs: compile it again")
        if self._library.pf_use_gpu(self._model, precision.encode()):
            raise CompileError(self._error())
        return str(self._library.pf_instructions(self._model).decode())

    def close(self) -> None:
        if self._model:
            self._library.pf_free(self._model)
            self._model = None

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def _error(self) -> str:
        return str(self._library.pf_error().decode())

    def _declare(self) -> None:
        library = self._library
        library.pf_load.argtypes, library.pf_load.restype = [ctypes.c_char_p, ctypes.c_int], ctypes.c_void_p
        # Libraries from before models had several lengths take padded sentences and no length.
        self._one_length = not hasattr(library, "pf_seq_lens")
        length = [] if self._one_length else [ctypes.c_int]
        library.pf_run.argtypes = [ctypes.c_void_p, _INT_POINTER, _INT_POINTER, _INT_POINTER, *length, _FLOAT_POINTER]
        if not self._one_length:
            library.pf_seq_lens.argtypes = [ctypes.c_void_p, ctypes.POINTER(ctypes.c_int)]
            library.pf_seq_lens.restype = _INT_POINTER
        if hasattr(library, "pf_use_gpu"):
            library.pf_use_gpu.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
            library.pf_instructions.argtypes, library.pf_instructions.restype = [ctypes.c_void_p], ctypes.c_char_p
        library.pf_free.argtypes, library.pf_free.restype = [ctypes.c_void_p], None
        for name in ("pf_seq_len", "pf_outputs"):
            getattr(library, name).argtypes = [ctypes.c_void_p]
        library.pf_error.restype = ctypes.c_char_p


def real_tokens(attention_mask: np.ndarray) -> int:
    """Tokens of a sentence (S,) but for the masked ones at its end; all of them where every one is masked."""
    real = np.flatnonzero(attention_mask)
    return int(real[-1]) + 1 if len(real) else len(attention_mask)
