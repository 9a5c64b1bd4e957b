"""The Models page: finished bundles by task and device; download one, call it, try it. The URL names the filters and the bundle shown."""

from functools import partial

import streamlit as st

from app import background, waiting, wording
from app.bundles import exports, shelf, snippets, try_panel
from app.bundles.exports import Form
from app.bundles.shelf import Shelved

ALL = "all"
TALLEST_PX = 320
HELP = """
A **bundle** is a zip with the compiled model as a shared library, a C header, the weights, the tokenizer, a `bench` program that times it, and
`model.json`, which says what it is and how it was measured. It is made at the end of a search, from the best candidate within the target, once
that is trained to the end, compiled, and checked against torch on real sentences.

Accuracy is that of the compiled model on the development split, which chose nothing. Latency carries its source: measured on the device, or
predicted. Bundles made with `pocketformer compile` lie where you wrote them, and are not listed here.
"""


def page() -> None:
    st.title("Models")
    st.caption("Finished models by task and device: try one, download it, call it from an app.")
    with st.expander("What is in a bundle?", icon=":material/help:"):
        st.markdown(HELP)
    every = shelf.bundles()
    if not every:
        st.info("No model yet. A search ends with one.", icon=":material/inventory_2:")
        st.page_link("views/search.py", label="Start a search", icon=":material/travel_explore:")
        return
    shown = filtered(every)
    if not shown:
        st.info("No model has both. Take another task or device.", icon=":material/filter_alt_off:")
        return
    chosen = choose(shown)
    st.header(wording.markdown(f"{chosen.task} on {chosen.device}") if chosen.model else "A damaged bundle", divider="gray")
    if chosen.problem:
        st.error(wording.markdown(chosen.problem), icon=":material/error:")
        return
    left, right = st.columns([2, 3], gap="large")
    with left:
        card(chosen)
    with right:
        st.subheader("Try it")
        try_panel.draw(chosen)
        st.subheader("Download")
        downloads(chosen)
    st.subheader("Call it")
    calls(chosen)


def filtered(every: tuple[Shelved, ...]) -> list[Shelved]:
    """Those of the task and device that the URL names."""
    left, right = st.columns(2)
    task = _filter(left, "Task", "task", sorted({each.task for each in every}))
    device = _filter(right, "Device", "device", sorted({each.device for each in every}))
    return [each for each in every if task in (ALL, each.task) and device in (ALL, each.device)]


def _filter(place: "st.delta_generator.DeltaGenerator", label: str, name: str, values: list[str]) -> str:
    options = [ALL, *values]
    asked = st.query_params.get(name, ALL)
    chosen = place.selectbox(
        label, options, index=options.index(asked) if asked in options else 0, key=f"filter {name} {len(options)}"
    )
    if chosen != ALL:
        st.query_params[name] = chosen
    else:
        st.query_params.pop(name, None)
    return str(chosen)


def choose(shown: list[Shelved]) -> Shelved:
    """The list; a click on a row puts the bundle into the URL. Without one, the newest."""
    keys = [each.key for each in shown]
    asked = st.query_params.get("bundle", keys[0])
    place = keys.index(asked) if asked in keys else 0
    key = f"bundles-{'-'.join(keys[:4])}-{len(keys)}"

    def select() -> None:
        rows = st.session_state[key]["selection"]["rows"]
        if rows:
            st.query_params["bundle"] = keys[rows[0]]

    st.dataframe(
        [shelf.row(each) for each in shown], key=key, hide_index=True, height=min(TALLEST_PX, 38 + 35 * len(shown)), placeholder=wording.NONE,
        on_select=select, selection_mode="single-row", selection_default={"selection": {"rows": [place]}}, alt="Finished bundles",
        column_config={
            "Score": st.column_config.NumberColumn(format="%.3f", help="Of the compiled model, on the development split."),
            "Latency (ms)": st.column_config.NumberColumn(format="%.2f"),
            "Size (MB)": st.column_config.NumberColumn(format="%.1f"),
            "Made": st.column_config.DatetimeColumn(format="distance"),
            "Architecture": st.column_config.TextColumn(width="medium"),
        },
    )  # fmt: skip
    return shown[place]


def card(each: Shelved) -> None:
    facts = {name: wording.markdown(value) for name, value in shelf.facts(each).items()}
    st.table(facts, border="horizontal", hide_header=True, alt="The model in numbers")
    st.caption("SHA-256")
    st.code(each.artifact.sha256, language=None, wrap_lines=True)
    artifact = each.artifact
    query = {"run": artifact.run_id, **({"trial": str(artifact.trial)} if artifact.trial else {})}
    with st.container(horizontal=True):
        st.page_link("views/run.py", label="The search", icon=":material/scatter_plot:", query_params=query)
        st.page_link("views/fusion.py", label="Its fusion", icon=":material/account_tree:", query_params=query)
    if each.card:
        with st.expander("What the bundle says of itself"):
            st.code(each.card, language="markdown", wrap_lines=True)


def downloads(each: Shelved) -> None:
    """The bundle at once; other forms are made at the first click."""
    with st.container(horizontal=True):
        st.download_button(
            f"Bundle ({wording.megabytes(each.artifact.size)})", data=partial(_bundle_bytes, each), file_name=each.artifact.name,
            mime="application/zip", on_click="ignore", type="primary", icon=":material/download:",
            help="The compiled model with weights, tokenizer, header, bench program and README.",
        )  # fmt: skip
        for form in exports.forms(each):
            _form(each, form)
    for form in exports.forms(each):
        waiting.running(exports.key_of(each, form))
    if exports.LITERT not in exports.forms(each):
        st.caption("LiteRT: its converter is not installed here; `make peers` installs it.")


def _form(each: Shelved, form: Form) -> None:
    file = exports.file_of(each, form)
    key = exports.key_of(each, form)
    if file is not None:
        st.download_button(
            f"{form.title} ({wording.megabytes(file.stat().st_size)})", data=file.read_bytes, file_name=exports.name_of(each, form),
            mime="application/octet-stream", on_click="ignore", icon=":material/download:", help=form.note, key=f"download {key}",
        )  # fmt: skip
        return
    work = background.find(key)
    if st.button(
        f"Make {form.title}",
        icon=":material/build:",
        help=form.note,
        key=f"make {key}",
        disabled=work is not None and not work.over,
    ):
        waiting.begin(partial(exports.begin, each, form))


def _bundle_bytes(each: Shelved) -> bytes:
    """Read when the button is clicked and not before."""
    from data.artifacts import Artifacts

    with Artifacts().open(each.artifact.sha256) as file:
        return file.read()


def calls(each: Shelved) -> None:
    """Lines to copy."""
    on_android = each.model.get("system") == snippets.ANDROID
    titles = ["Kotlin", "Java", "C", "Shell"] if on_android else ["C", "Shell"]
    for tab, title in zip(st.tabs(titles), titles, strict=True):
        with tab:
            if title == "Shell":
                st.code(snippets.shell(each.model, each.artifact.name), language="bash", wrap_lines=True)
            else:
                written = {"Kotlin": snippets.kotlin, "Java": snippets.java, "C": snippets.c}[title](each.model)
                st.code(written, language=title.lower(), wrap_lines=True)
    if not on_android:
        st.caption(
            "For an Android app, search with a phone as the device: its bundle becomes an `.aar` with Kotlin and Java calls."
        )


page()
