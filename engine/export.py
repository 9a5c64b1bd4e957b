"""From a model to what the compiler takes: a `torch.export` program or an ONNX file, and samples with its own answers."""

import logging
import warnings
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import _trace

from compiler.peers import PEERS, Exported
from data.errors import ModelError
from engine.architecture import Architecture, architecture_of
from engine.encoder import Encoder, Pooling
from engine.family import RelativeEncoder, load_relative, relative_encoder
from engine.onnx_model import OnnxModel, is_onnx, onnx_answers, onnx_tokenizer
from engine.relatives import is_relative
from engine.search import architecture_of_fields
from engine.teacher import load_teacher, model_folder, read_tokenizer
from engine.tokens import Batch, Row, collate, encode, pad_id

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SAMPLES = 16
REFERENCE_TEXTS = (
    "A man is playing a large flute.",
    "The stock market fell sharply after the central bank raised interest rates for the third time this year.",
    "History is the study of the past as it is described in written documents.",
    "no",
)
PRETRAINED_PRESETS = {"minilm-l6": "minilm"}  # presets whose published weights are at hand, and the teacher that has them


@dataclass(frozen=True)
class Reference:
    """A model without a task, and its tokenizer. A torch one answers with its pooled sentence vector, an ONNX file as it does."""

    name: str
    architecture: Architecture | OnnxModel
    encoder: Encoder | RelativeEncoder | None  # None for an ONNX file
    tokenizer: "Tokenizer"


def export_encoder(
    encoder: Encoder | RelativeEncoder, rows: Sequence[Row], pad: int, seq_len: int, out: Path, shorter: Sequence[int] = ()
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
    exported, arrays = _program(encoder, _samples(rows, seq_len, shorter), pad, seq_len)
    torch.export.save(exported, program)
    np.savez(samples, **arrays)
    return program, samples


def untrained_program(
    architecture: Mapping[str, Any],
    outputs: int,
    pooling: Pooling,
    seed: int,
    rows: Sequence[Sequence[list[int]]],
    pad: int,
    seq_len: int,
) -> tuple[torch.export.ExportedProgram, dict[str, Any]]:
    """A candidate of a search with random weights, and samples as `export_encoder` has them: for a `compiler.build.ProgramMaker`.

    Args:
        architecture: its fields (`engine.search.fields_of_architecture`).
        rows: the fields of `Row` of each sentence.
    """
    encoder = Encoder(architecture_of_fields(architecture), outputs, pooling, seed)
    return _program(encoder, _samples([Row(*row) for row in rows], seq_len, ()), pad, seq_len)


def _program(
    encoder: Encoder | RelativeEncoder, rows: Sequence[Row], pad: int, seq_len: int
) -> tuple[torch.export.ExportedProgram, dict[str, Any]]:
    encoder.eval().requires_grad_(False)
    batch = collate(rows, pad, seq_len)
    with torch.no_grad():
        expected = encoder(*batch)
        exported = _traced(encoder, tuple(tensor[:1] for tensor in batch))
    return exported, {**{name: tensor.numpy() for name, tensor in batch._asdict().items()}, "expected": expected.numpy()}


def _traced(model: nn.Module, inputs: tuple[Tensor, ...]) -> torch.export.ExportedProgram:
    """`torch.export.export`, which leaves the backends of this process as they are.

    In torch 2.13 it turns oneDNN, NNPACK and cuDNN off while it traces (torch/export/_trace.py, `_ignore_backend_decomps`), for all threads: a
    candidate that trains in another one would go on with other kernels, more slowly and to other numbers. The operators that this is
    about, convolutions and recurrent layers, no encoder has.
    """
    _trace._ignore_backend_decomps = nullcontext  # type: ignore[assignment]
    return torch.export.export(model, inputs)


def reference_model(model: str, seed: int = 0, seq_len: int = 128) -> Reference:
    """A preset, a written architecture, a Hugging Face folder or an ONNX file. `minilm-l6` and a folder have their own weights, any
    other preset or written architecture random ones.

    Args:
        seq_len: that an ONNX file is read at.

    Raises:
        ModelError: none of these, or one that cannot be read.
        CompileError: an ONNX file has operators that are not supported.
    """
    if is_onnx(model):
        file = OnnxModel(Path(model).expanduser(), seq_len)
        return Reference(model, file, None, onnx_tokenizer(file, seq_len))
    folder = Path(model).expanduser()
    relative = load_relative(folder) if folder.is_dir() else None
    if relative is not None:
        return Reference(model, relative.architecture, relative.eval().requires_grad_(False), read_tokenizer(folder, model))
    if model in PRETRAINED_PRESETS or folder.is_dir():
        teacher = load_teacher(PRETRAINED_PRESETS.get(model, model))
        return Reference(model, teacher.architecture, teacher.encoder, teacher.tokenizer)
    architecture = architecture_of(model)
    encoder = random_encoder(architecture, seed)
    return Reference(model, architecture, encoder, read_tokenizer(model_folder("minilm"), model))


def random_encoder(architecture: Architecture, seed: int = 0) -> Encoder | RelativeEncoder:
    """With random weights, in evaluation mode, pooled by the mean."""
    encoder = relative_encoder(architecture, seed) if is_relative(architecture) else Encoder(architecture, seed=seed)
    return encoder.eval().requires_grad_(False)


def export_reference(reference: Reference, seq_len: int, out: Path, shorter: Sequence[int] = ()) -> tuple[Path, Path]:
    """As `export_encoder`, on a few plain sentences and pairs of them; an ONNX file is its own program."""
    pairs = [(first, second) for first in REFERENCE_TEXTS for second in REFERENCE_TEXTS[:3]]
    rows = encode(reference.tokenizer, [*REFERENCE_TEXTS, *pairs], seq_len)
    pad = pad_id(reference.tokenizer)
    if isinstance(reference.architecture, OnnxModel):
        return _export_onnx_file(reference.architecture, collate(_samples(rows, seq_len, shorter), pad, seq_len), out)
    assert reference.encoder is not None
    vocabulary = reference.architecture.vocab_size  # ALBERT's random weights have fewer rows than BERT's tokenizer has tokens
    rows = [row._replace(ids=[index % vocabulary for index in row.ids]) for row in rows]
    return export_encoder(reference.encoder, rows, pad, seq_len, out, shorter)


def _samples(rows: Sequence[Row], seq_len: int, shorter: Sequence[int]) -> list[Row]:
    """At least `SAMPLES` rows, and one that fills each sequence length to its last token where there are several."""
    lengths = sorted({*shorter, seq_len}) if shorter else []
    return [*islice(cycle(rows), max(SAMPLES, len(rows))), *(_filling(rows[0], length) for length in lengths)]


def _filling(row: Row, tokens: int) -> Row:
    """A sentence of exactly so many tokens: the given one, over and over."""
    return Row(*(list(islice(cycle(values), tokens)) for values in row))


def export_for_peers(reference: Reference, seq_len: int, peers: Sequence[str], out: Path) -> Exported:
    """The model in the forms that these runtimes read, in the folder `out`.

    Raises:
        ModelError: more tokens than the model has positions, or an ONNX file for a runtime that reads none.
    """
    others = [name for name in peers if PEERS[name].reads != "onnx"]
    if isinstance(reference.architecture, OnnxModel) and others:
        raise ModelError(f"{reference.name} cannot be read by {', '.join(others)}; compare it with runtimes that read ONNX")
    program, samples = export_reference(reference, seq_len, out)
    reads_onnx = any(PEERS[name].reads == "onnx" for name in peers)
    return Exported(samples, program, export_onnx(reference, seq_len, out / "model.onnx") if reads_onnx else None)


def _export_onnx_file(model: OnnxModel, batch: Batch, out: Path) -> tuple[Path, Path]:
    out.mkdir(parents=True, exist_ok=True)
    arrays = {name: tensor.numpy() for name, tensor in batch._asdict().items()}
    answers = onnx_answers(model, list(arrays.values()), list(arrays), batch.input_ids.shape[1])
    samples = out / "samples.npz"
    np.savez(samples, **arrays, expected=answers)
    return model.path, samples


def export_onnx(reference: Reference, seq_len: int, path: Path) -> Path:
    """The model as ONNX, batch 1 and `seq_len` tokens, for other runtimes; inputs are named as `Batch`'s fields. An ONNX file is
    taken as it is."""
    if isinstance(reference.architecture, OnnxModel):
        return reference.architecture.path
    assert reference.encoder is not None
    rows = encode(reference.tokenizer, REFERENCE_TEXTS[:1], seq_len)
    batch = collate(rows, pad_id(reference.tokenizer), seq_len)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it warns of torchvision, which nothing here needs
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        names = list(batch._fields)
        torch.onnx.export(reference.encoder, tuple(batch), str(path), input_names=names, dynamo=True, verbose=False)
    return path
