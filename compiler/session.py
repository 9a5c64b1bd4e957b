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
        self.seq_len: int = self._library.pf_seq_len(self._model)
        self.outputs: int = self._library.pf_outputs(self._model)

    def run(self, input_ids: np.ndarray, token_type_ids: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
        """Integers (n, S) each -> float32 (n, N), one sentence after the other.

        Raises:
            CompileError: ids that the model has no rows for, or another length.
        """
        inputs = [np.ascontiguousarray(item, np.int32) for item in (input_ids, token_type_ids, attention_mask)]
        if any(item.ndim != 2 or item.shape != (len(input_ids), self.seq_len) for item in inputs):
            raise CompileError(f"inputs have shapes {[item.shape for item in inputs]}; this model takes (n, {self.seq_len})")
        out = np.empty((len(input_ids), self.outputs), np.float32)
        for row, *sentence in zip(out, *inputs, strict=True):
            pointers = [item.ctypes.data_as(_INT_POINTER) for item in sentence]
            if self._library.pf_run(self._model, *pointers, row.ctypes.data_as(_FLOAT_POINTER)):
                raise CompileError(self._error())
        return out

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
        library.pf_run.argtypes = [ctypes.c_void_p, _INT_POINTER, _INT_POINTER, _INT_POINTER, _FLOAT_POINTER]
        library.pf_free.argtypes, library.pf_free.restype = [ctypes.c_void_p], None
        for name in ("pf_seq_len", "pf_outputs"):
            getattr(library, name).argtypes = [ctypes.c_void_p]
        library.pf_error.restype = ctypes.c_char_p
