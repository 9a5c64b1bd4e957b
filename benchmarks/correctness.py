"""Every preset against torch, here or on emulated processors of a phone.

    python -m benchmarks.correctness [--fusion none] [--precision int8] [-o FILE.json]
    python -m benchmarks.correctness --device galaxy-s20 --precision fp16 --models minilm-l6 --sentences 50
    POCKETFORMER_OPENCL_DEVICE=any python -m benchmarks.correctness --gpu --models minilm-l6       OpenCL, on PoCL too, which is no GPU

Whole models with random weights answer tokenised sentences and pairs of several lengths, padded; the compiled model's largest
absolute difference is printed for 1 and 2 threads, or for each emulated processor (package qemu-user). Sentences are GLUE's MRPC where
POCKETFORMER_GLUE_DIR is set, else those of the generated paraphrase task. Exit status 1 where a model differs by 1e-4 or more; in fp16
by a fiftieth of the largest answer, in int8 by a tenth; on a GPU in fp32 by 1e-3.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from app.terminal import table
from compiler.build import FUSIONS, BuildRequest, Built, build
from compiler.check import INPUTS
from compiler.devices import HOST
from compiler.emulation import EmulatedModel
from compiler.lengths import USUAL_SEQ_LENS
from compiler.precisions import FP16, FP32, INT8, PRECISIONS
from compiler.session import Session
from data.tasks import load_task
from engine.architecture import PRESETS
from engine.export import REFERENCE_TEXTS, export_encoder, random_encoder
from engine.teacher import model_folder, read_tokenizer
from engine.tokens import Row, encode, pad_id

LARGEST_ERROR = 1e-4
LARGEST_ERROR_OF_GPU = 1e-3
LARGEST_SHARES = {FP16: 0.02, INT8: 0.1}  # of the largest answer
SENTENCES = 16
THREADS = (1, 2)
CPUS = ("cortex-a72", "cortex-a76", "max")  # without dot products and arithmetic on float16; with them; with i8mm besides
SPREAD = 0.1  # of norms and biases, which start as ones and zeros and would hide a mistake


def main() -> int:
    parser = argparse.ArgumentParser(description="Largest difference of every compiled preset from torch.")
    parser.add_argument("--models", default=",".join(PRESETS), help="presets, with commas between them")
    parser.add_argument("--device", default=HOST, help="host, or a phone, whose processors are emulated")
    parser.add_argument("--cpus", default=",".join(CPUS), help="that are emulated, as QEMU names them")
    parser.add_argument("--seq-len", type=int, default=128)
    parser.add_argument("--sentences", type=int, default=SENTENCES)
    parser.add_argument("--fusion", default="lp", choices=FUSIONS)
    parser.add_argument("--precision", default=FP32, choices=PRECISIONS)
    parser.add_argument("--gpu", action="store_true", help="this machine's, in fp32 and fp16")
    parser.add_argument("-o", "--output", type=Path, help="write the rows here as JSON")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for name in options.models.split(","):
        for row in measure(name, options):
            rows.append(row)
            if options.output:
                options.output.write_text(json.dumps(rows, indent=1))
        print(
            table(("model", "on", "sentences", "largest answer", "largest difference"), [_cells(row) for row in rows]),
            flush=True,
        )
    return int(any(not row["max_abs_error"] < _allowed(row) for row in rows))


def measure(name: str, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """One row for each number of threads, or each emulated processor."""
    architecture = PRESETS[name]
    encoder = random_encoder(architecture)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in encoder.parameters():
            if parameter.ndim == 1:
                parameter.add_(torch.randn(parameter.shape, generator=generator) * SPREAD)
    tokens, pad = sentences(architecture.vocab_size, options.seq_len, options.sentences)
    with TemporaryDirectory() as folder:
        scratch = Path(folder)
        program, samples = export_encoder(encoder, tokens, pad, options.seq_len, scratch / "export")
        del encoder
        with np.load(samples) as arrays:
            inputs = [arrays[field] for field in INPUTS]
            expected = arrays["expected"]
        shortest = inputs[2].sum(axis=1).argmin()
        few = {field: array[shortest : shortest + 1] for field, array in zip(INPUTS, inputs, strict=True)}
        np.savez(
            scratch / "few.npz", **few, expected=expected[shortest : shortest + 1]
        )  # the build's own check need not take long
        shorter = tuple(length for length in USUAL_SEQ_LENS if length < options.seq_len) if options.device != HOST else ()
        request = BuildRequest(
            program,
            scratch / "few.npz",
            options.device,
            options.precision,
            float("inf"),
            shorter,
            options.fusion,
            gpu=options.gpu,
        )
        built = build(request, scratch / "model", timeout_s=1200)
        for where, answers in _answers(built, options, inputs):
            yield {
                "model": name,
                "fusion": options.fusion,
                "precision": FP16 if where.endswith(FP16) else options.precision,
                "gpu": options.gpu,
                "on": where,
                "seq_len": options.seq_len,
                "sentences": len(expected),
                "lengths": sorted({int(mask.sum()) for mask in inputs[2]}),
                "kernels": built.kernels,
                "largest_answer": float(np.abs(expected).max()),
                "max_abs_error": float(np.abs(answers - expected).max()),
            }


def _answers(built: Built, options: argparse.Namespace, inputs: Sequence[np.ndarray]) -> Iterator[tuple[str, np.ndarray]]:
    if options.gpu:
        with Session(built.folder) as session:
            for precision in (FP32, FP16):
                yield session.use_gpu(precision), session.run(*inputs)
        return
    if options.device == HOST:
        for threads in THREADS:
            with Session(built.folder, threads) as session:
                yield f"{threads} threads", session.run(*inputs)
        return
    facts = json.loads((built.folder / "plan.json").read_text())
    flops = {each["seq_len"]: each["flops"] for each in facts["programs"]}
    lengths = inputs[2].sum(axis=1)
    for cpu in options.cpus.split(","):
        model = EmulatedModel(built.folder, flops, facts["outputs"], cpu)
        # One by one: together they would all be as long as the longest.
        rows = [model.run(*(array[[row], : lengths[row]] for array in inputs)) for row in range(len(lengths))]
        yield cpu, np.concatenate(rows)


def _allowed(row: dict[str, Any]) -> float:
    if row["precision"] in LARGEST_SHARES:
        return LARGEST_SHARES[row["precision"]] * row["largest_answer"]
    return LARGEST_ERROR_OF_GPU if row["gpu"] else LARGEST_ERROR


def sentences(vocab_size: int, seq_len: int, count: int = SENTENCES) -> tuple[Sequence[Row], int]:
    """Tokenised pairs and single sentences, and the padding's id. Tokens that a smaller vocabulary lacks become others."""
    tokenizer = read_tokenizer(model_folder("minilm"), "minilm")
    dev = load_task("mrpc" if os.environ.get("POCKETFORMER_GLUE_DIR") else "paraphrase").dev.select(range(count))
    texts: list[str | tuple[str, str]] = [*REFERENCE_TEXTS, *zip(dev["text_a"], dev["text_b"], strict=True)]
    rows = encode(tokenizer, texts[:count], seq_len)
    return [row._replace(ids=[index % vocab_size for index in row.ids]) for row in rows], pad_id(tokenizer)


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    numbers = f"{row['largest_answer']:.2f}", f"{row['max_abs_error']:.1e}"
    return row["model"], row["on"], str(row["sentences"]), *numbers


if __name__ == "__main__":
    sys.exit(main())
