"""What the pages read: the store, opened once per server, and snapshots of it that all browsers share.

A snapshot lives about a second, so that twenty browsers on one run cost the store what one does. Everything returned here is
frozen and may be shown by several sessions at once.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import streamlit as st

from app.summary import best_trial
from data.errors import StoreError
from data.home import home
from data.records import ArtifactRef, Command, DeviceLatency, Duration, Event, Run, Trial

if TYPE_CHECKING:
    from data.store import Store

FRESH_S = 1.0
LOG_LINES = 400  # newest lines of a log that a page shows
RECENT_RUNS = 8


@dataclass(frozen=True)
class Snapshot:
    """One run as it is now: `events` are the newest, oldest first; `working` the commands that a worker has."""

    run: Run
    trials: tuple[Trial, ...]
    front: tuple[Trial, ...]
    events: tuple[Event, ...]
    artifacts: tuple[ArtifactRef, ...]
    policies: tuple[Event, ...] = ()  # log entries with the policy's probabilities
    working: tuple[Command, ...] = ()
    timeline: tuple[Command, ...] = ()  # the newest that were begun, without payloads and results

    @property
    def devices(self) -> dict[str, float]:
        """The run's devices with their limits in ms, the first device first."""
        return self.run.limits

    @property
    def bundles(self) -> tuple[ArtifactRef, ...]:
        """The newest bundle, or of several devices the newest for each."""
        made = [artifact for artifact in self.artifacts if artifact.kind == "bundle"]
        newest = {self.device_of(each): each for each in made if each.trial == made[-1].trial}
        return tuple(newest.values())

    def device_of(self, bundle: ArtifactRef) -> str:
        """The device that a bundle's name says it is for."""
        return next((device for device in self.devices if f"-{device}@" in bundle.name), "")

    @property
    def bundle(self) -> ArtifactRef | None:
        """The newest bundle that the run made."""
        return next((artifact for artifact in reversed(self.artifacts) if artifact.kind == "bundle"), None)

    @property
    def best(self) -> Trial | None:
        """The trial in the bundle; before there is one, the most accurate within the target."""
        made = self.bundle.trial if self.bundle else None
        return next((trial for trial in self.trials if trial.trial == made), None) or best_trial(self.run, self.trials)


def store() -> "Store":
    """The store of this POCKETFORMER_HOME.

    Raises:
        StoreError: it cannot be opened or reached.
    """
    return _opened(os.environ.get("STORE_URL", ""), str(home()))


@st.cache_resource(show_spinner=False)
def _opened(url: str, folder: str) -> "Store":
    from data.store import open_store

    return open_store()


def snapshot(run_id: str) -> Snapshot:
    """One run with its trials, front, newest events, commands and artifacts: eight bounded queries, at most once in `FRESH_S`.

    Raises:
        StoreError: no such run, or the store cannot be reached.
    """
    return _snapshot(store(), run_id, str(home()))


@st.cache_resource(show_spinner=False, ttl=FRESH_S, max_entries=64)
def _snapshot(_store: "Store", run_id: str, folder: str) -> Snapshot:
    return Snapshot(
        run=(run := _store.run(run_id, with_state=False)),
        trials=tuple(_store.trials(run_id)),
        front=tuple(_store.pareto(run_id, feasible=True)),
        events=tuple(_store.last_events(run_id, LOG_LINES)),
        artifacts=tuple(_store.artifacts(run_id)),
        policies=tuple(_store.policies(run_id)),
        working=() if run.over else tuple(_store.commands(run_id, "running")),
        timeline=tuple(_store.timeline(run_id)),
    )


def snapshot_on(run_id: str, device: str) -> Snapshot:
    """The same run as one of its devices sees it: its latencies and front, and in the run's settings it and its limit.

    Raises:
        StoreError: as `snapshot`.
    """
    return _snapshot_on(store(), run_id, device, str(home()))


@st.cache_resource(show_spinner=False, ttl=FRESH_S, max_entries=64)
def _snapshot_on(_store: "Store", run_id: str, device: str, folder: str) -> Snapshot:
    view = _snapshot(_store, run_id, folder)
    found = {each.trial: each for each in _store.latencies(run_id, device)}
    trials = [_with_latency(trial, found.get(trial.trial)) for trial in view.trials]
    settings = {**view.run.settings, "device": device, "latency_ms": view.devices[device]}
    front = tuple(_store.pareto(run_id, feasible=True, device=device))
    return replace(view, run=replace(view.run, settings=settings), trials=tuple(trials), front=front)


def _with_latency(trial: Trial, own: DeviceLatency | None) -> Trial:
    if own is None:
        return replace(trial, latency_ms=None, latency_p10_ms=None, latency_p90_ms=None, latency_source=None)
    return replace(
        trial, latency_ms=own.latency_ms, latency_p10_ms=own.latency_p10_ms, latency_p90_ms=own.latency_p90_ms, latency_source=own.latency_source
    )  # fmt: skip


def compiled(run_id: str, trial: int) -> Mapping[str, Any] | None:
    """What the compiler reported about a trial; None while, or when, it has nothing to report."""
    return _compiled(store(), run_id, trial, str(home()))


@st.cache_resource(show_spinner=False, ttl=5.0, max_entries=64)
def _compiled(_store: "Store", run_id: str, trial: int, folder: str) -> Mapping[str, Any] | None:
    try:
        return _store.command(f"{run_id}.{trial}.compile").result
    except StoreError:
        return None


def recent_runs() -> tuple[tuple[Run, tuple[Trial, ...]], ...]:
    """The newest runs, newest first, each with its trials."""
    return _recent_runs(store(), str(home()))


@st.cache_resource(show_spinner=False, ttl=FRESH_S)
def _recent_runs(_store: "Store", folder: str) -> tuple[tuple[Run, tuple[Trial, ...]], ...]:
    return tuple((run, _trials_of(_store, run.run_id, str(run.updated_at), folder)) for run in _store.runs(limit=RECENT_RUNS))


@st.cache_resource(show_spinner=False, max_entries=64)
def _trials_of(_store: "Store", run_id: str, updated_at: str, folder: str) -> tuple[Trial, ...]:
    """Asked again only when the run has changed since."""
    return tuple(_store.trials(run_id))


@st.cache_resource(show_spinner=False, ttl=30.0)
def _durations(_store: "Store", folder: str) -> tuple[Duration, ...]:
    return tuple(_store.durations())


def durations() -> tuple[Duration, ...]:
    """What commands took that are done, of all runs, the newest first; asked at most twice a minute."""
    return _durations(store(), str(home()))


def forget() -> None:
    """Drop the snapshots, so that what was just written is seen at once."""
    _snapshot.clear()
    _snapshot_on.clear()
    _recent_runs.clear()
