"""A slider for each decision. The URL names the architecture (`?architecture=`), and the sliders follow it."""

import streamlit as st

from data.errors import PocketformerError
from engine.architecture import Architecture
from engine.space import SIZE_STEP, SearchSpace

KEPT_FFN = "space_kept_ffn"  # Streamlit forgets a slider that is not drawn


def ask_architecture(space: SearchSpace) -> Architecture:
    """The architecture under the sliders."""
    _follow(space, st.query_params.get("architecture", ""))
    largest = max(space.teacher.ffn_sizes)
    layers = st.slider("Layers", 1, space.teacher.layers, key="space_layers") if space.teacher.layers > 1 else 1
    if len(space.hidden_sizes) > 1:
        st.select_slider("Hidden size", space.hidden_sizes, key="space_hidden")
    each = st.toggle("An FFN size for each layer", key="space_each", on_change=_spread)
    step = min(SIZE_STEP, largest)
    if not each:
        st.session_state.setdefault("space_ffn", st.session_state[KEPT_FFN])
        st.slider("FFN size", step, largest, step=step, key="space_ffn")
        ffn_sizes = (st.session_state["space_ffn"],) * layers
    else:
        with st.container(height=230 if layers > 3 else "content", border=layers > 3):
            for index in range(layers):
                key = f"space_ffn_{index}"
                st.session_state.setdefault(key, st.session_state[KEPT_FFN])
                st.slider(f"FFN size, layer {index + 1}", step, largest, step=step, key=key)
        ffn_sizes = tuple(st.session_state[f"space_ffn_{index}"] for index in range(layers))
    hidden = st.session_state["space_hidden"] if len(space.hidden_sizes) > 1 else space.hidden_sizes[0]
    architecture = space.sized(hidden, ffn_sizes)
    if st.query_params.get("architecture") != str(architecture):
        st.query_params["architecture"] = str(architecture)
    st.session_state["space_shown"], st.session_state[KEPT_FFN] = str(architecture), ffn_sizes[0]
    return architecture


def _spread() -> None:
    """Layers start from the size that all had."""
    if st.session_state["space_each"]:
        for index in range(64):
            st.session_state[f"space_ffn_{index}"] = st.session_state[KEPT_FFN]


def _follow(space: SearchSpace, written: str) -> None:
    """Set the sliders to what the URL names, when that is not what they show: a link, or a click on a mark. What is none of the space's
    is left alone, with a word on why."""
    state = st.session_state
    known = "space_each" in state and state.get("space_teacher") == str(space.teacher)
    if known and written == state.get("space_shown"):
        return
    wanted = space.sized(
        space.hidden_sizes[-1], (space.ffn_sizes[len(space.ffn_sizes) // 2],) * max(1, space.teacher.layers * 2 // 3)
    )
    if written:
        try:
            given = Architecture.parse(written)
            wanted = space.sized(given.hidden_size, given.ffn_sizes)
            space.check(wanted)
            if given.hidden_size not in space.hidden_sizes:
                raise PocketformerError(f"hidden size {given.hidden_size} is none of this space's")
        except PocketformerError as error:
            st.warning(f"The address names {written}: {error}".replace("*", ""), icon=":material/link_off:")
            if known:
                return
            wanted = space.sized(space.hidden_sizes[-1], (space.ffn_sizes[0],) * space.teacher.layers)
    largest, step = max(space.teacher.ffn_sizes), min(SIZE_STEP, max(space.teacher.ffn_sizes))
    sizes = [min(max(step, size // step * step), largest) for size in wanted.ffn_sizes]
    state["space_layers"], state["space_hidden"] = wanted.layers, wanted.hidden_size
    state["space_each"], state["space_ffn"], state[KEPT_FFN] = len(set(sizes)) > 1, sizes[0], sizes[0]
    for index, size in enumerate(sizes):
        state[f"space_ffn_{index}"] = size
    state["space_teacher"] = str(space.teacher)
