"""Every preset against torch: `python -m benchmarks.correctness [--fusion none] [--precision int8] [-o FILE.json]`.

Whole models with random weights answer tokenised sentences and pairs of several lengths, padded; the compiled model's largest
absolute difference is printed for 1 and 2 threads. Sentences are GLUE's MRPC where POCKETFORMER_GLUE_DIR is set, else those of the
generated paraphrase task. Exit status 1 where a model differs by 1e-4 or more; in int8, by a tenth of the largest answer.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from app.terminal import table
from compiler.build import FUSIONS, BuildRequest, build
from compiler.devices import HOST
from compiler.precisions import INT8
from compiler.session import Session
from compiler.targets import precisions_of
from data.tasks import load_task
from engine.architecture import PRESETS
from engine.export import REFERENCE_TEXTS, export_encoder, random_encoder
from engine.teacher import model_folder, read_tokenizer
from engine.tokens import Row, encode, pad_id

LARGEST_ERROR = 1e-4
LARGEST_INT8_SHARE = 0.1
PAIRS = 12
THREADS = (1, 2)
SPREAD = 0.1  # of norms and biases, which start as ones and zeros and would hide a mistake


def main() -> int:
    parser = argparse.ArgumentParser(description="Largest difference of every compiled preset from torch.")
    parser.add_argument("--models", default=",".join(PRESETS), help="presets, with commas between them")
    parser.add_argument("--seq-len", type=int, default=128)
    parser.add_argument("--fusion", default="lp", choices=FUSIONS)
    parser.add_argument("--precision", default="fp32", choices=precisions_of(HOST))
    parser.add_argument("-o", "--output", type=Path, help="write the rows here as JSON")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for name in options.models.split(","):
        rows += measure(name, options.seq_len, options.fusion, options.precision)
        print(
            table(("model", "threads", "sentences", "largest answer", "largest difference"), [_cells(row) for row in rows]),
            flush=True,
        )
        if options.output:
            options.output.write_text(json.dumps(rows, indent=1))
    largest = {"fp32": lambda row: LARGEST_ERROR, INT8: lambda row: LARGEST_INT8_SHARE * row["largest_answer"]}[
        options.precision
    ]
    return int(any(not row["max_abs_error"] < largest(row) for row in rows))


def measure(name: str, seq_len: int, fusion: str, precision: str) -> list[dict[str, Any]]:
    """One row for each number of threads."""
    architecture = PRESETS[name]
    encoder = random_encoder(architecture)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in encoder.parameters():
            if parameter.ndim == 1:
                parameter.add_(torch.randn(parameter.shape, generator=generator) * SPREAD)
    rows, pad = sentences(architecture.vocab_size, seq_len)
    with TemporaryDirectory() as scratch:
        program, samples = export_encoder(encoder, rows, pad, seq_len, Path(scratch) / "export")
        del encoder
        request = BuildRequest(program, samples, precision=precision, tolerance=float("inf"), fusion=fusion)
        built = build(request, Path(scratch) / "model", timeout_s=1200)
        with np.load(samples) as arrays:
            inputs = [arrays[field] for field in ("input_ids", "token_type_ids", "attention_mask")]
            expected = arrays["expected"]
        found = []
        for threads in THREADS:
            with Session(built.folder, threads) as session:
                error = float(np.abs(session.run(*inputs) - expected).max())
            found.append(
                {
                    "model": name,
                    "fusion": fusion,
                    "precision": precision,
                    "threads": threads,
                    "seq_len": seq_len,
                    "sentences": len(expected),
                    "lengths": sorted({int(mask.sum()) for mask in inputs[2]}),
                    "kernels": built.kernels,
                    "largest_answer": float(np.abs(expected).max()),
                    "max_abs_error": error,
                }
            )
    return found


def sentences(vocab_size: int, seq_len: int) -> tuple[Sequence[Row], int]:
    """Tokenised pairs and single sentences, and the padding's id. Tokens that a smaller vocabulary lacks become others."""
    tokenizer = read_tokenizer(model_folder("minilm"), "minilm")
    dev = load_task("mrpc" if os.environ.get("POCKETFORMER_GLUE_DIR") else "paraphrase").dev.select(range(PAIRS))
    texts: list[str | tuple[str, str]] = [*REFERENCE_TEXTS, *zip(dev["text_a"], dev["text_b"], strict=True)]
    rows = encode(tokenizer, texts, seq_len)
    return [row._replace(ids=[index % vocab_size for index in row.ids]) for row in rows], pad_id(tokenizer)


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    numbers = f"{row['largest_answer']:.2f}", f"{row['max_abs_error']:.1e}"
    return row["model"], str(row["threads"]), str(row["sentences"]), *numbers


if __name__ == "__main__":
    sys.exit(main())
