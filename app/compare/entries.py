"""Which architectures are compared: presets, written ones, and trials as RUN/NUMBER; they are in the URL, repeated: `?models=…&models=…`."""

from dataclasses import dataclass

import streamlit as st

from app import source
from data.errors import ModelError, StoreError
from data.explore import Explorer, Point
from data.home import home
from engine.architecture import PRESETS, Architecture, architecture_of

MOST = 6
FIRST = ("bert-base", "distilbert", "minilm-l6")  # where the URL names none
KEY = "compare_models"


@dataclass(frozen=True)
class Entry:
    """One column of the comparison: `name` as it was asked for; `trial` where it is one."""

    name: str
    architecture: Architecture
    trial: Point | None = None

    @property
    def written(self) -> str:
        return str(self.architecture)

    @property
    def title(self) -> str:
        """Short enough for a legend: a trial by its number and the end of its run's name."""
        return f"{self.trial.run_id[-4:]}, trial {self.trial.trial}" if self.trial else self.name


def entry_of(name: str) -> Entry:
    """
    Raises:
        ModelError: neither a preset, nor an architecture, nor a trial of the store; one line.
    """
    run_id, slash, number = name.rpartition("/")
    if not slash:
        return Entry(name, architecture_of(name))
    try:
        point = _trial(run_id, int(number), str(home())) if number.isdecimal() else None
    except StoreError as error:
        raise ModelError(str(error)) from None
    if point is None:
        raise ModelError(f"there is no trial '{name}' in this store; write RUN/NUMBER")
    return Entry(name, Architecture.parse(point.architecture), point)


@st.cache_resource(show_spinner=False, ttl=5, max_entries=64)
def _trial(run_id: str, number: int, folder: str) -> Point | None:
    return Explorer(source.store()).trial(run_id, number)


def ask_entries() -> list[Entry]:
    """The architectures asked for, each once; what cannot be read is told and left out."""
    asked = list(dict.fromkeys(st.query_params.get_all("models"))) or list(FIRST)
    if st.session_state.get(KEY) is None or st.session_state.get("compare_url") != asked:
        st.session_state[KEY] = asked[:MOST]
    options = list(dict.fromkeys([*PRESETS, *asked]))
    st.multiselect(
        "Architectures", options, key=KEY, accept_new_options=True, max_selections=MOST, on_change=_write,
        help="Presets, or write one like L6-H384-A12-F1536, or a trial as RUN/NUMBER.", placeholder="Choose two to six",
    )  # fmt: skip
    st.session_state["compare_url"] = asked
    found = []
    for name in st.session_state[KEY]:
        try:
            found.append(entry_of(name))
        except ModelError as error:
            st.warning(str(error).replace("*", ""), icon=":material/help:")
    return found


def _write() -> None:
    st.query_params["models"] = st.session_state[KEY]
    st.session_state["compare_url"] = list(st.session_state[KEY])
