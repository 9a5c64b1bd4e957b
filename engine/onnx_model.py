"""An ONNX file as a model: its figures, its tokenizer, and ONNX Runtime's answers to check the compiled one against."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from compiler.onnx.program import OnnxProgram, import_onnx, onnx_inputs
from data.errors import ModelError
from engine.architecture import DEFAULT_SEQ_LEN
from engine.teacher import model_folder, read_tokenizer

if TYPE_CHECKING:
    from tokenizers import Tokenizer

TOKENIZER_FILES = ("tokenizer.json", "vocab.txt")
QUIET = 4  # ONNX Runtime's log level: fatal errors only


@dataclass(frozen=True)
class OnnxModel:
    """Figures of an ONNX file, read from its graph at `seq_len` tokens; they go by the names that `Architecture` gives them."""

    path: Path
    seq_len: int = DEFAULT_SEQ_LEN

    def __str__(self) -> str:
        return self.path.stem

    def program(self, seq_len: int) -> OnnxProgram:
        """
        Raises:
            ModelError, CompileError: as `compiler.onnx.program.import_onnx`.
        """
        return _program(self.path, seq_len)

    @property
    def layers(self) -> int:
        return self.program(self.seq_len).layers

    def parameters(self) -> int:
        return self.program(self.seq_len).parameters

    def mult_adds(self, seq_len: int = DEFAULT_SEQ_LEN) -> int:
        return self.program(seq_len).mult_adds

    def flops(self, seq_len: int = DEFAULT_SEQ_LEN) -> int:
        """2 x multiply-accumulates of matmuls and convolutions."""
        return 2 * self.mult_adds(seq_len)


def is_onnx(model: str) -> bool:
    """Whether a model's name is an ONNX file's."""
    return Path(model).suffix == ".onnx"


def onnx_tokenizer(model: OnnxModel, seq_len: int) -> "Tokenizer":
    """The tokenizer beside the file, or in the folder above a folder `onnx`; else BERT's, which most of the family share.

    Raises:
        ModelError: there is none and the model's vocabulary is another, or it does not fit.
    """
    folder = model.path.resolve().parent
    candidates = [folder, *([folder.parent] if folder.name == "onnx" else [])]
    found = next((place for place in candidates if any((place / name).is_file() for name in TOKENIZER_FILES)), None)
    words = model.program(seq_len).words
    tokenizer = read_tokenizer(found or model_folder("minilm"), str(model.path))
    if tokenizer.get_vocab_size() > words:
        whose = f"the tokenizer in {found}" if found else "BERT's tokenizer"
        raise ModelError(
            f"{model.path.name} knows {words} tokens, {whose} has {tokenizer.get_vocab_size()}; "
            f"put the model's own tokenizer.json or vocab.txt beside it"
        )
    return tokenizer


def onnx_answers(model: OnnxModel, batch: Sequence[np.ndarray], names: Sequence[str], seq_len: int) -> np.ndarray:
    """ONNX Runtime's answers, sentence by sentence: integers (n, S) for each name -> float32 (n, N).

    Raises:
        ModelError: ONNX Runtime cannot run the file.
    """
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = QUIET
    wanted = onnx_inputs(model.path)
    output = model.program(seq_len).output
    try:
        session = onnxruntime.InferenceSession(str(model.path), settings, providers=["CPUExecutionProvider"])
        types = {item.name: np.int32 if "int32" in item.type else np.int64 for item in session.get_inputs()}
        rows = []
        for row in range(len(batch[0])):
            tokens = {
                name: item[row : row + 1].astype(types[name]) for name, item in zip(names, batch, strict=True) if name in wanted
            }
            rows.append(np.asarray(session.run([output], tokens)[0], np.float32).reshape(1, -1))
    except Exception as error:  # its errors share no base but Exception
        reason = " ".join(str(error).split())[:160]
        raise ModelError(f"ONNX Runtime cannot run {model.path.name}: {reason}") from error
    return np.concatenate(rows)


@lru_cache(maxsize=2)
def _program(path: Path, seq_len: int) -> OnnxProgram:
    return import_onnx(path, seq_len)
