"""`pocketformer run`: the compiled model's answer to a sentence, or to token ids."""

import os
import time
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.answers import INPUTS, scores_of, tokenised
from app.terminal import table
from compiler.bundle import Bundle, read_bundle
from data.errors import ModelError, PocketformerError, UsageError

if TYPE_CHECKING:
    import numpy as np


def run(args: Namespace) -> dict[str, Any]:
    if (args.text is None) == (args.inputs is None):
        raise UsageError("give either --text SENTENCE or --inputs X.npz")
    if (args.inputs is None) != (args.outputs is None):
        raise UsageError("--inputs and --outputs belong together")
    bundle = read_bundle(Path(args.bundle))
    threads = args.threads or bundle.threads
    if args.text is not None:
        return _answer(bundle, tokenised(bundle, args.text, args.pair), threads, args.pair is not None)
    return _answer_file(bundle, Path(args.inputs), Path(args.outputs), threads)


def render(result: dict[str, Any]) -> str:
    if "scores" in result:
        rows = [(name, f"{value:.4f}") for name, value in result["scores"].items()]
        return f"{table(('label', 'score'), rows)}\n{_time(result)}"
    if "embedding" in result:
        return " ".join(f"{value:.5f}" for value in result["embedding"]) + f"\n{_time(result)}"
    return f"{result['rows']} rows written to {result['outputs']}"


def _answer(bundle: Bundle, tokens: dict[str, "np.ndarray"], threads: int, pair: bool) -> dict[str, Any]:
    from compiler.session import Session

    with Session(bundle.folder, threads) as session:
        start = time.perf_counter()
        outputs = session.run(*(tokens[name] for name in INPUTS))[0]
        latency_ms = (time.perf_counter() - start) * 1e3
        count = tokens[INPUTS[0]].shape[1]
        cost = {"tokens": count, "seq_len": session.length_for(count), "latency_ms": latency_ms}
    task = bundle.model.get("task")
    if not task:
        return {"embedding": outputs.tolist(), **cost}
    return {"scores": scores_of(outputs, task, pair), "logits": outputs.tolist(), **cost}


def _time(result: dict[str, Any]) -> str:
    return f"{result['latency_ms']:.2f} ms for {result['tokens']} tokens, at sequence length {result['seq_len']}"


def _answer_file(bundle: Bundle, inputs: Path, outputs: Path, threads: int) -> dict[str, Any]:
    import numpy as np

    from compiler.session import Session

    try:
        with np.load(inputs, allow_pickle=False) as file:
            tokens = [np.asarray(file[name], dtype=np.int64) for name in INPUTS]
    except FileNotFoundError as error:
        raise UsageError(f"no file {inputs}") from error
    except (KeyError, ValueError, OSError) as error:
        raise ModelError(
            f"{inputs} needs the integer arrays {', '.join(INPUTS)}, each [n, S], S at most {bundle.seq_len} ({error})"
        ) from error
    shape = tokens[0].shape
    if len(shape) != 2 or not 1 <= shape[1] <= bundle.seq_len or any(array.shape != shape for array in tokens):
        shapes = ", ".join(f"{name} {list(array.shape)}" for name, array in zip(INPUTS, tokens, strict=True))
        raise ModelError(f"{inputs} has {shapes}; each must be [n, S], S at most {bundle.seq_len} tokens")
    with Session(bundle.folder, threads) as session:
        start = time.perf_counter()
        answers = session.run(*tokens)
        latency_ms = (time.perf_counter() - start) * 1e3 / max(len(answers), 1)
    part = outputs.with_name(f".{outputs.name}.part.npz")
    try:
        np.savez(part, outputs=answers)
        os.replace(part, outputs)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise PocketformerError(f"cannot write {outputs}: {error.strerror}; choose another place") from error
    return {"outputs": str(outputs), "rows": len(answers), "latency_ms": latency_ms}
