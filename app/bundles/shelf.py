"""The finished bundles of all runs: what each says of itself, read once from inside the file."""

import zipfile
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO, TYPE_CHECKING, Any

import streamlit as st

from app import source, wording
from compiler.bundle import description_of
from data.artifacts import Artifacts
from data.errors import PocketformerError
from data.home import home, subfolder
from data.records import ArtifactRef
from engine.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from data.store import Store

MOST = 200  # bundles listed, the newest
CARDS = ("MODEL_CARD.md", "README.md")
LARGEST_CARD_BYTES = 200_000


@dataclass(frozen=True)
class Shelved:
    """One bundle. `model` is its `model.json`; `problem` says why there is none."""

    artifact: ArtifactRef
    model: dict[str, Any]
    card: str = ""
    problem: str = ""

    @property
    def key(self) -> str:
        """Of the URL."""
        return self.artifact.sha256[:12]

    @property
    def task(self) -> str:
        return str((self.model.get("task") or {}).get("name", "none"))

    @property
    def device(self) -> str:
        return str(self.model.get("device", "unknown"))

    @property
    def metric(self) -> tuple[str, float] | None:
        """The main metric and its value, on the split that `model` names."""
        metrics = (self.model.get("accuracy") or {}).get("metrics") or {}
        main = str((self.model.get("task") or {}).get("metric"))
        return (main, float(metrics[main])) if main in metrics else next(iter(metrics.items()), None)

    @property
    def latency_ms(self) -> float | None:
        return (self.model.get("latency") or {}).get("median_ms")

    @property
    def source(self) -> str:
        return str((self.model.get("latency") or {}).get("source", ""))


def bundles() -> tuple[Shelved, ...]:
    """The newest, newest first; a bundle that two runs made is one.

    Raises:
        StoreError: the store cannot be read.
    """
    return _bundles(source.store(), str(home()))


@st.cache_resource(show_spinner=False, ttl=3.0)
def _bundles(_store: "Store", folder: str) -> tuple[Shelved, ...]:
    newest = {artifact.sha256: artifact for artifact in reversed(_store.artifacts_of_kind("bundle", MOST))}
    return tuple(_read(artifact, folder) for artifact in reversed(newest.values()))


@st.cache_resource(show_spinner=False, max_entries=2 * MOST)
def _read(artifact: ArtifactRef, folder: str) -> Shelved:
    """Its description and card, of a file that never changes; the rest is not read."""
    try:
        with Artifacts().open(artifact.sha256) as file:
            return Shelved(artifact, description_of(file), _card(file))
    except PocketformerError as error:
        return Shelved(artifact, {}, problem=f"{artifact.name}: {error}")


def _card(file: IO[bytes]) -> str:
    with zipfile.ZipFile(file) as archive:
        short = [info.filename for info in archive.infolist() if info.file_size <= LARGEST_CARD_BYTES]
        return next((archive.read(name).decode(errors="replace") for name in CARDS if name in short), "")


def row(each: Shelved) -> dict[str, Any]:
    """One line of the list."""
    metric = each.metric
    return {
        "Task": each.task,
        "Device": each.device,
        "Architecture": each.model.get("architecture", each.artifact.name),
        "Metric": wording.metric(metric[0]) if metric else None,
        "Score": metric[1] if metric else None,
        "Latency (ms)": each.latency_ms,
        "Source": each.source or None,
        "Precision": each.model.get("precision"),
        "Size (MB)": each.artifact.size / 1e6,
        "Made": each.artifact.created_at,
    }


def facts(each: Shelved) -> dict[str, str]:
    """The card's table: every number with its unit and where it is from."""
    model, latency = each.model, each.model.get("latency") or {}
    accuracy = model.get("accuracy") or {}
    found = {
        "Task": each.task,
        "Device": each.device,
        "Architecture": str(model.get("architecture")),
        "Teacher": str(model.get("teacher", wording.NONE)),
        "Precision": str(model.get("precision")),
    }
    for name, value in (accuracy.get("metrics") or {}).items():
        found[f"{wording.metric(name)}, {accuracy.get('split', 'split unknown')} split"] = wording.accuracy(value)
    for name, spread in (accuracy.get("seeds") or {}).items():
        if spread.get("deviation") is not None:
            text = f"{spread['mean']:.3f} ± {spread['deviation']:.3f}"
            found[f"{wording.metric(name)} over {spread['seeds']} seeds"] = text
    if latency:
        low, high = latency.get("low_ms", latency.get("p10_ms")), latency.get("high_ms", latency.get("p90_ms"))
        threads = wording.plural(int(latency.get("threads", 1)), "thread")
        found["Latency"] = f"{wording.latency(latency['median_ms'])}, {latency['source']}, {threads}"
        found[wording.interval(latency["source"])] = wording.spread(low, high) or wording.NONE
    else:
        found["Latency"] = "not measured"
    if lengths := model.get("latency_by_length"):
        found["By sequence length"] = ", ".join(f"{one['seq_len']}: {wording.latency(one['median_ms'])}" for one in lengths)
    found["Kernels"] = str((model.get("fusion") or {}).get("kernels", wording.NONE))
    error = model.get("max_abs_error")
    found["Largest difference from torch"] = wording.NONE if error is None else f"{error:.1e}"
    found["Size"] = wording.megabytes(each.artifact.size)
    return found


def settings_of(each: Shelved) -> Settings | None:
    """What the run that made it was asked for; None where the run is no longer in the store."""
    try:
        return Settings.from_dict(source.snapshot(each.artifact.run_id).run.settings)
    except PocketformerError:
        return None


def path_of(each: Shelved) -> "Path":
    """The bundle as a file of this machine, fetched once.

    Raises:
        ArtifactError: it is not there, or is damaged.
    """
    path = subfolder("cache", "shelf", each.artifact.sha256) / PurePosixPath(each.artifact.name).name
    return path if path.exists() else Artifacts().get(each.artifact.sha256, path)
