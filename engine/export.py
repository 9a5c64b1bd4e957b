"""From a torch encoder to what the compiler takes: a `torch.export` program and samples with torch's own answers."""

import logging
import warnings
from collections.abc import Sequence
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import torch

from compiler.peers import PEERS, Exported
from data.errors import ModelError
from engine.architecture import architecture_of
from engine.encoder import Encoder
from engine.teacher import Teacher, load_teacher, model_folder, read_tokenizer
from engine.tokens import Row, collate, encode, pad_id

SAMPLES = 16
REFERENCE_TEXTS = (
    "A man is playing a large flute.",
    "The stock market fell sharply after the central bank raised interest rates for the third time this year.",
    "History is the study of the past as it is described in written documents.",
    "no",
)
PRETRAINED_PRESETS = {"minilm-l6": "minilm"}  # presets whose published weights are at hand, and the teacher that has them


def export_encoder(
    encoder: Encoder, rows: Sequence[Row], pad: int, seq_len: int, out: Path, shorter: Sequence[int] = ()
) -> tuple[Path, Path]:
    """Write `program.pt2` (batch 1, `seq_len` tokens) and `samples.npz` into the folder `out`, made where missing.

    The samples hold int64 (n, S) `input_ids`, `token_type_ids`, `attention_mask`, and float32 (n, N) `expected`, n >= 16; fewer
    rows are repeated. About two seconds, most of them torch.export's.

    Args:
        shorter: sequence lengths that the program is to be compiled for besides; a sample fills each of them to its last token.

    Raises:
        ModelError: more tokens than the model has positions.
    """
    if seq_len > encoder.architecture.max_positions:
        raise ModelError(f"sequence length {seq_len} is beyond the model's {encoder.architecture.max_positions} positions")
    out.mkdir(parents=True, exist_ok=True)
    program, samples = out / "program.pt2", out / "samples.npz"
    encoder.eval().requires_grad_(False)
    filling = [_filling(rows[0], length) for length in sorted({*shorter, seq_len})] if shorter else []
    batch = collate([*islice(cycle(rows), max(SAMPLES, len(rows))), *filling], pad, seq_len)
    with torch.no_grad():
        expected = encoder(*batch)
        exported = torch.export.export(encoder, tuple(tensor[:1] for tensor in batch))
    torch.export.save(exported, program)
    np.savez(samples, **{name: tensor.numpy() for name, tensor in batch._asdict().items()}, expected=expected.numpy())
    return program, samples


def reference_model(model: str, seed: int = 0) -> Teacher:
    """A model without a task, which answers with its pooled sentence vector (1, H): `minilm-l6` and a Hugging Face folder with
    their own weights, any other preset or written architecture with random ones.

    Raises:
        ModelError: not a preset, an architecture or a model folder.
    """
    if model in PRETRAINED_PRESETS or Path(model).expanduser().is_dir():
        return load_teacher(PRETRAINED_PRESETS.get(model, model))
    architecture = architecture_of(model)
    folder = model_folder("minilm")  # its vocabulary is BERT's, as every preset's
    encoder = Encoder(architecture, seed=seed).eval().requires_grad_(False)
    return Teacher(model, folder, encoder, read_tokenizer(folder, model), encoder.pooling, f"random-{seed}")


def export_reference(reference: Teacher, seq_len: int, out: Path, shorter: Sequence[int] = ()) -> tuple[Path, Path]:
    """As `export_encoder`, on a few plain sentences and pairs of them."""
    pairs = [(first, second) for first in REFERENCE_TEXTS for second in REFERENCE_TEXTS[:3]]
    rows = encode(reference.tokenizer, [*REFERENCE_TEXTS, *pairs], seq_len)
    return export_encoder(reference.encoder, rows, pad_id(reference.tokenizer), seq_len, out, shorter)


def _filling(row: Row, tokens: int) -> Row:
    """A sentence of exactly so many tokens: the given one, over and over."""
    return Row(*(list(islice(cycle(values), tokens)) for values in row))


def export_for_peers(reference: Teacher, seq_len: int, peers: Sequence[str], out: Path) -> Exported:
    """The model in the forms that these runtimes read, in the folder `out`.

    Raises:
        ModelError: more tokens than the model has positions.
    """
    program, samples = export_reference(reference, seq_len, out)
    reads_onnx = any(PEERS[name].reads == "onnx" for name in peers)
    return Exported(samples, program, export_onnx(reference, seq_len, out / "model.onnx") if reads_onnx else None)


def export_onnx(reference: Teacher, seq_len: int, path: Path) -> Path:
    """The model as ONNX, batch 1 and `seq_len` tokens, for other runtimes; inputs are named as `Batch`'s fields."""
    rows = encode(reference.tokenizer, REFERENCE_TEXTS[:1], seq_len)
    batch = collate(rows, pad_id(reference.tokenizer), seq_len)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it warns of torchvision, which nothing here needs
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        names = list(batch._fields)
        torch.onnx.export(reference.encoder, tuple(batch), str(path), input_names=names, dynamo=True, verbose=False)
    return path
