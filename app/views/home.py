"""The Home page: what this is, a way to start, a front as it grows, the runs so far, and whether everything is up."""

from pathlib import Path

import streamlit as st

from app import catalogue, recent, source, summary, system, wording
from app.guard import shown_plainly
from data.errors import StoreError
from data.records import Run, Trial

REFRESH_S, IDLE_S = 4.0, 20.0  # while a search is under way, and else
STYLE = Path(__file__).with_name("run.css")
COLORS: dict[system.State, tuple[wording.BadgeColor, str]] = {
    "up": ("green", ":material/check_circle:"),
    "down": ("red", ":material/error:"),
    "idle": ("orange", ":material/power_off:"),
}
STEPS = """
1. **Ask.** Choose a language task, a device and a latency target on the Search page.
2. **Watch.** A policy proposes encoders. Each is compiled and timed on the device, or its latency predicted, while it trains; those over
   the target are dropped. The figure of accuracy against latency grows here as it happens.
3. **Ship.** The best within the target is trained to the end and handed over as a compiled model, with its weights, tokenizer and a C header.
"""


def page() -> None:
    st.html(STYLE)
    st.title("Pocketformer")
    st.markdown("Find the transformer that fits a phone: pick a task, a device and a latency target, get a compiled model.")
    with st.container(horizontal=True, gap="small"):
        if st.button("Start a search", type="primary", icon=":material/play_arrow:"):
            st.switch_page("views/search.py")
        if st.button("Quick look", icon=":material/bolt:", help="A search of four candidates that ends in some minutes."):
            st.switch_page("views/search.py", query_params={"preset": "quick"})
    every_s = REFRESH_S if under_way() else IDLE_S
    example, runs = st.columns([3, 2], gap="large")
    with runs:
        st.subheader("Recent runs")
        st.fragment(shown_plainly()(recent.runs_list), run_every=every_s)()
    with example:
        st.fragment(shown_plainly()(front), run_every=every_s)()
    st.subheader("This installation")
    st.fragment(shown_plainly()(installation), run_every=IDLE_S)()
    with st.expander("Help", icon=":material/help:"):
        st.markdown(
            "Latency is for one sentence (batch 1), and always says whether it was measured or predicted. Accuracy is the task's own metric. "
            "A candidate is *within the target* when its latency is at most the target. The *front* are the candidates that no other beats in "
            "both. `pocketformer doctor` on the command line looks for what is missing on this machine."
        )


def under_way() -> bool:
    try:
        return any(not run.over for run, _ in source.recent_runs())
    except StoreError:
        return False  # the list of runs says what is wrong


def front() -> None:
    """The newest run with something to see, as it is now; an explanation where there is none."""
    try:
        runs = source.recent_runs()
    except StoreError:
        return  # the list beside says what is wrong
    shown = newest(runs)
    if shown is None:
        st.subheader("How it works")
        st.markdown(STEPS)
        st.caption("The first search's figure will appear here.")
        return
    from app.charts import chart
    from app.figures import pareto_figure

    view = source.snapshot(shown.run_id)
    settings = view.run.settings
    title = f"{wording.task(settings.get('task', ''))} on {settings.get('device', '')}"
    st.subheader(f"{'Now' if not view.run.over else 'Newest'}: {wording.markdown(title)}")
    metric = catalogue.metric_of(settings.get("task", ""))
    figure = pareto_figure(
        view.trials, view.front, float(settings.get("latency_ms", 0.0)), metric, dark=st.context.theme.type == "dark", over=view.run.over
    )  # fmt: skip
    figure.update_layout(height=380)
    tally = summary.tally(view.trials)
    chart(figure, "home", f"Accuracy against latency in milliseconds of the newest run: {tally}.")
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.caption(f"{tally[0].upper()}{tally[1:]}.", width="content")
        st.page_link(
            "views/run.py", label="Open the run", icon=":material/arrow_forward:", icon_position="right",
            query_params={"run": view.run.run_id},
        )  # fmt: skip


def newest(runs: tuple[tuple[Run, tuple[Trial, ...]], ...]) -> Run | None:
    """Of runs, newest first, one under way that has a latency; else one that has; else none."""
    timed = [run for run, trials in runs if any(trial.latency_ms is not None for trial in trials)]
    return next((run for run in timed if not run.over), timed[0] if timed else None)


def installation() -> None:
    """Each part with its state, and how to mend it where it is not up."""
    with st.container(horizontal=True, gap="medium"):
        for part in system.parts():
            color, icon = COLORS[part.state]
            with st.container(width=250, gap="xsmall"):
                st.badge(part.name, color=color, icon=icon)
                st.caption(f"{part.line[0].upper()}{part.line[1:]}." + (f" {part.remedy}" if part.remedy else ""))


page()
