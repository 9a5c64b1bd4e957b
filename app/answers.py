"""A compiled model's answer to a sentence: text to tokens, outputs to scores by label. For the command and for the page's own process."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from compiler.bundle import TOKENIZER, Bundle
from data.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from tokenizers import Tokenizer

INPUTS = ("input_ids", "token_type_ids", "attention_mask")


def check_texts(bundle: Bundle, pair: str | None) -> None:
    """
    Raises:
        UsageError: one sentence for a task on two, or two for a task on one.
    """
    task = bundle.model.get("task") or {}
    takes = pairs_taken(task)
    if takes == {True} and pair is None:
        raise UsageError(f"the task {task['name']} takes two sentences; add --pair SENTENCE")
    if takes == {False} and pair is not None:
        raise UsageError(f"the task {task['name']} takes one sentence; leave --pair away")


def pairs_taken(task: Mapping[str, Any]) -> set[bool]:
    """Whether a bundle's task takes two sentences: True, False, or both, where parts of a joint task differ; an embedding is of either."""
    return {bool(part["pairs"]) for part in task.get("parts") or [task]} if task else {True, False}


def tokenizer_of(bundle: Bundle) -> "Tokenizer":
    """Cuts what is too long for the model, and pads nothing."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(bundle.folder / TOKENIZER))
    tokenizer.enable_truncation(bundle.seq_len)
    tokenizer.no_padding()
    return tokenizer


def tokenised(bundle: Bundle, text: str, pair: str | None) -> dict[str, "np.ndarray"]:
    """The model's inputs, int64 (1, S) each.

    Raises:
        UsageError: as `check_texts`.
    """
    import numpy as np

    check_texts(bundle, pair)
    encoding = tokenizer_of(bundle).encode(text, pair)
    return {
        name: np.array([ids], dtype=np.int64)
        for name, ids in zip(INPUTS, (encoding.ids, encoding.type_ids, encoding.attention_mask), strict=True)
    }


def scores_of(outputs: "np.ndarray", task: Mapping[str, Any], pair: bool) -> dict[str, float]:
    """Softmax probabilities by label; a regression's one value as it is, in the task's scaled units. Of a joint task those of each part that takes
    what was given, one sentence or a pair, with its name before the label's."""
    import numpy as np

    if "parts" in task:
        given = [part for part in task["parts"] if bool(part["pairs"]) == pair]
        return {
            f"{part['name']}: {label}": value
            for part in given
            for label, value in scores_of(outputs[slice(*part["outputs"])], part, pair).items()
        }

    if task["kind"] == "regression":
        return {"score": float(outputs[0])}
    exponents = np.exp(outputs - outputs.max())
    return dict(zip(task["label_names"], (exponents / exponents.sum()).tolist(), strict=True))
