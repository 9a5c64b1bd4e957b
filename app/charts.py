"""A Plotly figure on a page: its description for screen readers, and its export as a picture and as CSV."""

import csv
import io
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
import streamlit as st

from app import preferences
from app.source import Snapshot
from data.home import home

Rows = Sequence[Mapping[str, Any]]


def chart(figure: go.Figure, key: str, alt: str, *, rows: Callable[[], Rows] | None = None, **options: Any) -> None:
    """Draws it. The camera of its tool bar saves it in the format that the user prefers, at twice the size where that is PNG.

    Args:
        key: its name on the page, and of the files saved.
        alt: what it shows, in a sentence.
        rows: what it is drawn from, for a CSV file; asked for when the button is clicked.
        options: `st.plotly_chart`'s.
    """
    picture = {"format": preferences.current().pictures, "filename": f"pocketformer-{key}", "scale": 2}
    config = {
        "displaylogo": False,
        "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d"],
        "toImageButtonOptions": picture,
    }
    st.plotly_chart(figure, key=key, config=config, alt=alt, **options)
    if rows is not None:
        st.download_button(
            "CSV", data=lambda: csv_of(rows()), file_name=f"pocketformer-{key}.csv", mime="text/csv", on_click="ignore",
            type="tertiary", icon=":material/download:", key=f"csv of {key}", help="The figure's numbers as a CSV file.",
        )  # fmt: skip


def shared(view: Snapshot, build: Callable[[], go.Figure], *about: Hashable) -> go.Figure:
    """A figure of a run's trials, built once for all browsers that show it.

    Args:
        build: the figure's maker.
        about: its name, and all that it depends on beside the run as it is now.
    """
    run = view.run
    return _shared(build, (str(home()), run.run_id, run.settings.get("device"), run.state_version, run.status, *about))


@st.cache_resource(show_spinner=False, ttl=60.0, max_entries=32)
def _shared(_build: Callable[[], go.Figure], about: tuple[Hashable, ...]) -> go.Figure:
    return _build()


def csv_of(rows: Rows) -> str:
    """Rows as CSV with a header; columns in the order in which rows first have them."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=names, restval="")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
