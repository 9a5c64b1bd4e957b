"""Small encoders that take text, as bundles."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from compiler.build import BuildRequest, build
from compiler.bundle import write_bundle

SEQ_LENS = (16, 32)


def tokenizer() -> Any:
    """BERT's kind, with fewer tokens than the tests' encoders have rows."""
    from tokenizers import BertWordPieceTokenizer

    letters = "abcdefghijklmnopqrstuvwxyz"
    pieces = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        "plane",
        "?",
        ".",
        "-",
        *letters,
        *(f"##{each}" for each in letters),
    ]
    made = BertWordPieceTokenizer({piece: number for number, piece in enumerate(pieces)})
    made.add_special_tokens(["[CLS]", "[SEP]"])
    return made._tokenizer


def description(device: str, system: str | None) -> dict[str, Any]:
    facts = {"architecture": "tiny", "task": None, "device": device, "system": system, "precision": "fp32", "outputs": 2}
    return facts | {"seq_len": SEQ_LENS[-1], "seq_lens": list(SEQ_LENS)}


def bundled(request_of: Callable[..., BuildRequest], folder: Path, device: str, system: str | None) -> Path:
    request = replace(request_of(seq_len=SEQ_LENS[-1], count=6), device=device, seq_lens=SEQ_LENS[:1])
    built = build(request, folder / "built")
    return write_bundle(built.folder, folder / "model.zip", description(device, system), tokenizer().to_str())


def tokens(texts: tuple[str, ...]) -> list[np.ndarray]:
    """By Hugging Face's tokenizer; Java replaces halves of pairs by question marks."""
    made = tokenizer()
    made.enable_truncation(SEQ_LENS[-1])
    found = made.encode(*(text.encode("utf-8", "replace").decode() for text in texts))
    return [np.array([each]) for each in (found.ids, found.type_ids, found.attention_mask)]
