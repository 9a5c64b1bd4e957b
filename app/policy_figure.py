"""How a search's policy sharpens: the probability of each option after each trial. Pure: log entries in, a figure out."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import plotly.graph_objects as go

from app import theme
from data.records import Event

ROW_PX = 15
LEAST_HEIGHT_PX = 220
AROUND_PX = 110  # title, axis and colour bar
MOST_STEPS = 400  # columns: more cannot be told apart
NAMES = {"depth": "layers", "hidden": "hidden size", "ffn": "FFN"}
SCALES = {False: "Blues", True: "Cividis"}  # sequential, and told apart with any colour vision


class Option(NamedTuple):
    """One row: an option of a decision. `place` counts the decisions of a kind, from 1."""

    kind: str
    place: int
    value: int

    @property
    def label(self) -> str:
        return f"layer {self.place} FFN {self.value}" if self.kind == "ffn" else f"{NAMES[self.kind]} {self.value}"


def policy_figure(entries: Sequence[Event], *, dark: bool = False) -> go.Figure:
    """Probability by option (rows) and trial (columns), the option that the trial took marked.

    Args:
        entries: log entries with a policy (`Store.policies`), oldest first; the newest `MOST_STEPS` are drawn.
        dark: draw for a dark background.
    """
    ink = theme.ink(dark)
    entries = list(entries)[-MOST_STEPS:]
    columns = [_probabilities(entry.data["policy"]) for entry in entries]
    options = list(dict.fromkeys(option for column in columns for option in column))
    options.sort(key=lambda option: (list(NAMES).index(option.kind), option.place, option.value))
    labels, trials = [option.label for option in options], [str(entry.trial) for entry in entries]
    figure = go.Figure()
    figure.add_heatmap(
        x=trials,
        y=labels,
        z=[[column.get(option) for column in columns] for option in options],
        zmin=0,
        zmax=1,
        colorscale=SCALES[dark],
        hovertemplate="after trial %{x}<br>%{y}: %{z:.0%}<extra></extra>",
        hoverongaps=False,
        colorbar={"title": {"text": "Probability"}, "tickformat": ".0%", "thickness": 12},
    )
    taken = [(trial, label) for entry, trial in zip(entries, trials, strict=True) for label in _taken(entry.data["policy"])]
    figure.add_scatter(
        x=[trial for trial, _ in taken],
        y=[label for _, label in taken],
        mode="markers",
        marker={"symbol": "circle-open", "size": 7, "color": theme.VERMILLION, "line": {"width": 1.5}},
        name="what the trial took",
        hoverinfo="skip",
        showlegend=True,
    )
    figure.update_layout(
        height=max(LEAST_HEIGHT_PX, AROUND_PX + ROW_PX * len(labels)),
        margin={"l": 8, "r": 12, "t": 40, "b": 8},
        font={"color": ink.text},
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        xaxis={"title": {"text": "Trial"}, "type": "category", "showgrid": False, "automargin": True},
        yaxis={"type": "category", "autorange": "reversed", "showgrid": False, "automargin": True, "tickfont": {"size": 11}},
    )
    return figure


def entropy_text(entries: Sequence[Event]) -> str:
    """One sentence: how undecided the policy was after the first trial of the newest phase, and is now."""
    newest = entries[-1].data["policy"]
    phase = [entry.data["policy"] for entry in entries if _kinds(entry.data["policy"]) == _kinds(newest)]
    first, largest = phase[0]["entropy"], newest["largest_entropy"]
    return f"Entropy of the decisions now under way: {first:.2f} nats after their first trial, {newest['entropy']:.2f} now; {largest:.2f} is chance."


def _probabilities(policy: dict[str, Any]) -> dict[Option, float]:
    return {option: decision["probabilities"][index] for option, decision, index in _options(policy)}


def _taken(policy: dict[str, Any]) -> list[str]:
    return [option.label for option, decision, index in _options(policy) if index == decision["chosen"]]


def _options(policy: dict[str, Any]) -> list[tuple[Option, dict[str, Any], int]]:
    places: dict[str, int] = {}
    found = []
    for decision in policy["decisions"]:
        place = places[decision["kind"]] = places.get(decision["kind"], 0) + 1
        found += [(Option(decision["kind"], place, value), decision, index) for index, value in enumerate(decision["options"])]
    return found


def _kinds(policy: dict[str, Any]) -> list[str]:
    return [decision["kind"] for decision in policy["decisions"]]
