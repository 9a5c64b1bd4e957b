"""A bundle's model card (Mitchell et al. 2019): what the model does, how well that is known, and what it was made from. Written from the facts
of `model.json` alone, so that the two cannot differ; a fact that is not there is said to be unknown, not left out.
"""

from collections.abc import Mapping
from typing import Any

CARD = "MODEL_CARD.md"
UNKNOWN = "not recorded"


def model_card(model: Mapping[str, Any]) -> str:
    """Markdown, from the content of `model.json`."""
    sections = {
        "Task": _task(model),
        "Accuracy": _accuracy(model),
        "Training": _training(model),
        "Latency": _latency(model),
        "Limits": _limits(model),
    }
    body = "\n".join(f"## {title}\n" + "".join(f"- {line}\n" for line in lines) for title, lines in sections.items())
    return f"# Model card: {model['architecture']} for {model['device']}\n\n{body}"


def _task(model: Mapping[str, Any]) -> list[str]:
    task = model.get("task")
    if not task:
        return ["none: the model answers with an embedding"]
    input_ = "two sentences" if task.get("pairs") else "one sentence"
    labels = ", ".join(task.get("label_names") or ()) or "one number"
    return [f"{task['name']} ({task.get('kind', UNKNOWN)})", f"reads {input_}; answers {labels}"]


def _accuracy(model: Mapping[str, Any]) -> list[str]:
    accuracy = model.get("accuracy")
    if not accuracy:
        return ["not scored"]
    lines = []
    by_seed = accuracy.get("seeds") or {}
    for number, (name, value) in enumerate(accuracy.get("metrics", {}).items()):
        lines.append(
            f"{name} {value:.4f}{' (the main metric)' if number == 0 else ''}: this compiled model, on the {accuracy['split']} split"
        )
        found = by_seed.get(name)
        if found and found["deviation"] is not None:
            lines.append(f"{name} over {found['seeds']} seeds: mean {found['mean']:.4f}, deviation {found['deviation']:.4f}")
    if not any((each or {}).get("deviation") is not None for each in by_seed.values()):
        lines.append("one seed: how much another would differ is not known (`--final-seeds 3` tells)")
    for name, value in (accuracy.get("teacher") or {}).items():
        lines.append(f"{name} of the teacher, fine-tuned on the same rows: {value:.4f}")
    if accuracy.get("early") is not None:
        lines.append(f"on held-out training rows, by which it was chosen: {accuracy['early']:.4f}")
    return lines


def _training(model: Mapping[str, Any]) -> list[str]:
    facts = model.get("training") or {}
    lines = [f"teacher: {model.get('teacher', UNKNOWN)}"]
    if not facts:
        return [*lines, f"data, losses and epochs: {UNKNOWN}"]
    lines.append(
        f"fine-tuned for {facts['epochs']} epochs on {facts['train_rows']:,} rows of the train split, seed {facts['seed']}"
    )
    if facts["losses"]:
        text = facts["text"] or "the task's own sentences and generated ones"
        lines.append(
            f"distilled by {', '.join(facts['losses'])}; body on {facts['distil_tokens']:,} tokens at most, twice; text: {text}"
        )
    if facts.get("logits_teacher"):
        lines.append(f"learned the answers of {facts['logits_teacher']} on the train split beside the labels")
    if not facts["losses"] and not facts.get("logits_teacher"):
        lines.append("not distilled")
    lines.append(
        f"the {facts['dev_rows']:,} rows of the dev split took no part in training or in any choice; {_overlap(facts)}"
    )
    return lines


def _overlap(facts: Mapping[str, Any]) -> str:
    shared = facts["dev_rows_in_train"]
    return (
        f"{shared:,} of them stand in the train split too, word for word"
        if shared
        else "none of them stands in the train split"
    )


def _latency(model: Mapping[str, Any]) -> list[str]:
    latency = model.get("latency")
    if not latency:
        return ["not measured"]
    lines = [
        f"{latency['median_ms']:.2f} ms, {latency['source']}, on {model['device']}: batch 1, {model['seq_len']} tokens, "
        f"{latency['threads']} threads, {model['precision']}"
    ]
    for each in model.get("latency_by_length", ()):
        if each["seq_len"] != model["seq_len"]:
            source = f"{each['source']}, " if "source" in each else ""
            lines.append(f"{each['median_ms']:.2f} ms, {source}at {each['seq_len']} tokens")
    return lines


def _limits(model: Mapping[str, Any]) -> list[str]:
    lines = [f"text beyond {model['seq_len']} tokens is cut"]
    if model.get("task"):
        lines.append("scored on its task's own dev split alone: other text, domains and languages were not tried")
    lines.append("what its teacher learned from its own training data, biases included, was not examined")
    latency = model.get("latency") or {}
    if latency.get("source") == "predicted":
        lines.append("its latency is a prediction: measure it on the phone before relying on it")
    compiled_for = (model.get("accuracy") or {}).get("compiled_for")
    if compiled_for and compiled_for != model["device"]:
        lines.append(f"scored as compiled for {compiled_for}, not on {model['device']}")
    return lines
