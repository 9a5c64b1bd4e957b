"""What is known of an architecture, from its sizes, the predictors, the store and the published figures: nothing here draws."""

from collections.abc import Sequence

import streamlit as st

from app import source, wording
from app.compare.entries import Entry
from app.compare.figures import Latency, Score
from compiler.devices import HOST
from compiler.profiles import Profile, kept
from data.errors import UsageError
from data.explore import Explorer
from data.home import home
from engine.architecture import DEFAULT_SEQ_LEN
from engine.prediction.kernels import kernels_of
from engine.prediction.many import KernelTime
from engine.prediction.predict import predict
from engine.prediction.published import published_for

BYTES = {"fp32": 4, "fp16": 2, "int8": 1}
UNFUSED = "Kernels without fusion"


def sizes(entries: Sequence[Entry]) -> list[dict[str, str]]:
    """A row for each quantity, a column for each architecture."""
    rows: dict[str, dict[str, str]] = {}
    for entry in entries:
        model = entry.architecture
        works = kernels_of(model, DEFAULT_SEQ_LEN)
        kinds = [work.kind for work in works]
        ffn = sorted(set(model.ffn_sizes))
        facts = {
            "Layers": str(model.layers),
            "Hidden size": str(model.hidden_size),
            "Attention heads": f"{model.heads} of {model.head_size}",
            "FFN size": str(ffn[0]) if len(ffn) == 1 else f"{ffn[0]} to {ffn[-1]}",
            "Parameters": wording.count(model.parameters()),
            f"FLOPs, {DEFAULT_SEQ_LEN} tokens": wording.count(model.flops()),
            "Weights, fp32": wording.megabytes(model.weight_bytes()),
            "Weights, int8": wording.megabytes(model.weight_bytes(1)),
            "Kernels, fused": f"{len(works)} ({kinds.count('attention')} attention)",
            UNFUSED: _unfused(entry),
            "Intermediate results": wording.megabytes(sum(work.activation_bytes for work in works)),
            "Largest kernel's memory": wording.megabytes(max(work.activation_bytes for work in works)),
        }
        for name, value in facts.items():
            rows.setdefault(name, {"": name})[entry.title] = value
    return list(rows.values())


def _unfused(entry: Entry) -> str:
    try:
        return str(len(kernels_of(entry.architecture, DEFAULT_SEQ_LEN, "none")))
    except UsageError:
        return wording.NONE


def scores(entries: Sequence[Entry]) -> list[Score]:
    """Means and deviations over the store's trials of the same architecture, early-stage and final."""
    rows = []
    for entry in entries:
        for each in _scores(entry.written, str(home())):
            task = wording.task(each.task) + (" (supernet)" if each.accuracy_by == "supernet" else "")
            rows.append(Score(entry.title, task, "early-stage", each.accuracy, each.deviation, each.trials))
            if each.final_accuracy is not None:
                rows.append(Score(entry.title, task, "final", each.final_accuracy, each.final_deviation, each.finals))
    return rows


@st.cache_resource(show_spinner=False, ttl=5, max_entries=64)
def _scores(architecture: str, folder: str) -> list:
    return Explorer(source.store()).scores(architecture)


def latencies(entries: Sequence[Entry], devices: Sequence[str], precision: str) -> list[Latency]:
    """Of each architecture on each device: the newest measured one, the predicted one, and what was published.

    Raises:
        UsageError: a damaged calibration.
    """
    rows = []
    for device in devices:
        for entry in entries:
            found = predict(entry.architecture, device, precision=precision)
            rows.append(
                Latency(
                    entry.title, device, found.source, found.latency_ms, found.low_ms, found.high_ms, f"{found.threads} threads"
                )
            )
            rows += _measured(entry, device, precision)
            if device != HOST:
                rows += [
                    Latency(
                        entry.title,
                        device,
                        "published",
                        each.latency_ms,
                        None,
                        None,
                        f"{each.engine}, {each.target}: {each.source}",
                    )
                    for each in published_for(device, entry.architecture, DEFAULT_SEQ_LEN)
                    if each.precision == precision
                ]
    return rows


def _measured(entry: Entry, device: str, precision: str) -> list[Latency]:
    every = _measurements(entry.written, device, str(home()))
    newest = next((each for each in every if each.source == "measured" and each.precision == precision), None)
    if newest is None or newest.seq_len != DEFAULT_SEQ_LEN:
        return []
    return [
        Latency(
            entry.title,
            device,
            "measured",
            newest.median_ms,
            newest.p10_ms,
            newest.p90_ms,
            f"{newest.threads} threads, {newest.runs} runs",
        )
    ]


@st.cache_resource(show_spinner=False, ttl=5, max_entries=128)
def _measurements(architecture: str, device: str, folder: str) -> list:
    return source.store().measurements(architecture, device, limit=20)


def profile(entry: Entry, device: str, precision: str) -> list[KernelTime] | None:
    """Measured time by kind of kernel, where `bench --profile` was run; None elsewhere."""
    found = kept(entry.written, device, precision)
    return None if found is None else by_kind(found)


def by_kind(profile: Profile) -> list[KernelTime]:
    """A profile's calls, named `layers.3.attention` and so on, as the predictor's kinds."""
    kinds: dict[str, KernelTime] = {}
    for name, us in profile.calls:
        last = name.rpartition(".")[2]
        kind = next(
            (kind for kind in ("attention", "embedding", "readout", "quantize", "half") if last.startswith(kind)), "linear"
        )
        if last.startswith("attention_"):
            kind = "linear"  # the attention's output projection
        before = kinds.get(kind, KernelTime(kind, 0, 0.0))
        kinds[kind] = KernelTime(kind, before.calls + 1, before.ms + us / 1e3)
    return sorted(kinds.values(), key=lambda each: -each.ms)
