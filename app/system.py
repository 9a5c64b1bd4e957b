"""Whether the parts of this installation are up: store, broker, workers, devices. Each look is short, and shared by all browsers."""

from dataclasses import dataclass
from typing import Literal

import streamlit as st

from app import catalogue, health, source, wording
from data.errors import PocketformerError, StoreError
from data.home import home

State = Literal["up", "down", "idle"]
LOOK_S = 5.0  # between two looks
TIMEOUT_S = 0.4
SERVE = "Start everything with `pocketformer serve`."


@dataclass(frozen=True)
class Part:
    """One part: what was found of it, in a line, and what to do where that is not enough."""

    name: str
    state: State
    line: str
    remedy: str = ""


def parts() -> list[Part]:
    """All parts, in the order in which one depends on the other."""
    return _parts(str(home()))


@st.cache_data(show_spinner=False, ttl=LOOK_S)
def _parts(_folder: str) -> list[Part]:
    return [_store(), *_broker_and_workers(), _devices()]


def _store() -> Part:
    try:
        running = len(source.store().open_runs())
    except StoreError as error:
        return Part("Store", "down", "cannot be read", wording.markdown(str(error)))
    where = "served" if health.served() else "opened by this page alone, so no worker can reach it"
    return Part(
        "Store", "up" if health.served() else "idle", f"{where}; {wording.plural(running, 'run')} under way",
        "" if health.served() else SERVE,
    )  # fmt: skip


def _broker_and_workers() -> list[Part]:
    """A worker of Celery listens on one channel of the broker; how many do, the broker says."""
    import redis

    from jobs.broker import broker_url

    url = broker_url()
    if url is None:
        return [Part("Broker", "down", "never started here", SERVE), Part("Workers", "down", "none", SERVE)]
    try:
        with redis.Redis.from_url(url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S) as client:
            channels = [channel for channel in client.pubsub_channels() if channel.endswith(b".pidbox")]
            workers = sum(number for _, number in client.pubsub_numsub(*channels)) if channels else 0
            waiting = sum(int(client.llen(queue)) for queue in ("train", "compile", "measure"))
    except (redis.RedisError, OSError):
        return [Part("Broker", "down", "does not answer", SERVE), Part("Workers", "down", "cannot be asked", SERVE)]
    broker = Part("Broker", "up", f"{wording.plural(waiting, 'message')} waiting")
    if not workers:
        return [broker, Part("Workers", "down", "none listen", SERVE)]
    return [broker, Part("Workers", "up", f"{workers} listening")]


def _devices() -> Part:
    try:
        phones = [name for name in catalogue.measurable_devices() if name != "host"]
    except PocketformerError as error:
        return Part("Devices", "idle", "phones cannot be asked", wording.markdown(str(error)))
    if phones:
        return Part("Devices", "up", f"this machine and {', '.join(phones)}")
    return Part("Devices", "up", "this machine; no phone is connected, so latency on phones is predicted")
