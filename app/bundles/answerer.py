"""The process that answers on the Models page: `python -m app.bundles.answerer`, started by `app.bundles.trying`. Compiled models are native
code and the teacher is torch, so neither is run in the page's own process.

Standard input is a line of JSON a question, `{"who": "model" | "teacher", "bundle": PATH, "text", "pair"}` and of the teacher `settings`
(task, teacher, seq_len, seed). Standard output is a line a question: `{"scores" | "embedding", "latency_ms", …}`, or `{"error"}`, or of a
teacher that is not fine-tuned on the task `{"untuned": true}`. It ends with its standard input.
"""

import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.answers import INPUTS, scores_of, tokenised
from compiler.bundle import Bundle, read_bundle
from compiler.isa import cores
from compiler.quiet import quiet
from compiler.session import Session
from data.errors import PocketformerError

if TYPE_CHECKING:
    import numpy as np

WARM_UP, RUNS = 3, 11
SHOWN_NUMBERS = 8  # of an embedding


def main() -> None:
    # Only this function writes to the caller's pipe; what a library prints goes to standard error.
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    for line in sys.stdin:
        out.write(json.dumps(answered(json.loads(line))) + "\n")


def answered(question: dict[str, Any]) -> dict[str, Any]:
    """The answer as it is written out; an error becomes its line."""
    try:
        bundle = read_bundle(Path(question["bundle"]))
        if question["who"] == "teacher":
            return _teacher_answer(bundle, question)
        return _model_answer(bundle, question["text"], question.get("pair"))
    except PocketformerError as error:
        return {"error": " ".join(str(error).split())}
    except Exception as error:  # the page shows it in a line; the process goes on
        return {"error": f"{type(error).__name__}: {error}".splitlines()[0]}


def _model_answer(bundle: Bundle, text: str, pair: str | None) -> dict[str, Any]:
    tokens = tokenised(bundle, text, pair)
    session = _session(str(bundle.folder), min(bundle.threads, cores()))
    outputs, latency_ms = timed(lambda: session.run(*(tokens[name] for name in INPUTS))[0])
    count = tokens[INPUTS[0]].shape[1]
    return {**_said(outputs, bundle, pair), "latency_ms": latency_ms, "tokens": count, "seq_len": session.length_for(count)}


def _teacher_answer(bundle: Bundle, question: dict[str, Any]) -> dict[str, Any]:
    import torch

    settings = question["settings"]
    tuned = _tuned(settings["task"], settings["teacher"], settings["seq_len"], settings["seed"])
    if tuned is None:
        return {"untuned": True}
    encoder, metrics = tuned
    tokens = tokenised(bundle, question["text"], question.get("pair"))
    batch = [torch.from_numpy(tokens[name]) for name in INPUTS]
    with torch.no_grad():
        outputs, latency_ms = timed(lambda: encoder(*batch)[0].numpy())
    return {
        **_said(outputs, bundle, question.get("pair")),
        "latency_ms": latency_ms,
        "architecture": str(encoder.architecture),
        "metrics": dict(metrics),
    }


def timed(answer: Callable[[], "np.ndarray"]) -> tuple["np.ndarray", float]:
    """The answer, and the median milliseconds of `RUNS` runs after `WARM_UP`, with nothing of ours running beside."""
    times = []
    with quiet():
        for number in range(WARM_UP + RUNS):
            start = time.perf_counter()
            outputs = answer()
            if number >= WARM_UP:
                times.append((time.perf_counter() - start) * 1e3)
    return outputs, statistics.median(times)


def _said(outputs: "np.ndarray", bundle: Bundle, pair: str | None) -> dict[str, Any]:
    task = bundle.model.get("task")
    return {"scores": scores_of(outputs, task, pair is not None)} if task else {"embedding": outputs.tolist()[:SHOWN_NUMBERS]}


@lru_cache(maxsize=4)
def _session(folder: str, threads: int) -> Session:
    return Session(Path(folder), threads)


def _tuned(task: str, teacher: str, seq_len: int, seed: int) -> tuple[Any, Mapping[str, float]] | None:
    """The fine-tuned teacher and its metrics; None, to be asked again later, where there is none yet."""
    from engine.tuned_teacher import kept_teacher

    known, problem = _problem(task, teacher, seq_len)
    return kept_teacher(known, problem, seed)


@lru_cache(maxsize=2)
def _problem(task: str, teacher: str, seq_len: int) -> Any:
    from data.tasks import load_task
    from engine.problem import Problem
    from engine.teacher import load_teacher

    known = load_teacher(teacher)
    return known, Problem(load_task(task), known.tokenizer, seq_len)


if __name__ == "__main__":
    main()
