"""Who did what when in a search: a bar for each command of a worker. Pure: commands in, a figure out."""

from collections.abc import Sequence
from datetime import datetime, tzinfo
from typing import NamedTuple

import plotly.graph_objects as go

from app import theme, wording
from app.summary import KINDS
from data.records import Command

ROW_PX = 34
AROUND_PX = 130  # legend, axis and its title
MOST_WORKERS = 16  # rows; commands of others are counted, not drawn
COLORS = {  # colour and pattern both tell the kinds apart
    "prepare": (theme.GREY, ""),
    "compile": (theme.ORANGE, "/"),
    "measure": (theme.SKY, "x"),
    "train": (theme.BLUE, ""),
    "final_train": (theme.GREEN, ""),
    "bundle": (theme.PURPLE, "\\"),
}
NAMES = {"prepare": "prepare", "compile": "compile", "measure": "measure", "train": "train", "final_train": "final training", "bundle": "bundle"}  # fmt: skip


class Bar(NamedTuple):
    """One command as it is drawn: who, what, from when to when, in the browser's time."""

    worker: str
    kind: str
    trial: int | None
    begun: datetime
    ended: datetime
    status: str

    @property
    def seconds(self) -> float:
        return (self.ended - self.begun).total_seconds()


def bars(commands: Sequence[Command], now: datetime, zone: tzinfo) -> list[Bar]:
    """The commands that a worker has begun, in that order; those under way end now. Workers are numbered as they first appear."""
    names: dict[str, str] = {}
    found = []
    for command in commands:
        if command.worker is None or command.started_at is None:
            continue
        name = names.setdefault(command.worker, f"worker {len(names) + 1}")
        end = command.finished_at or (now if command.status in ("running", "stopping") else command.started_at)
        begun, ended = (wording.in_utc(each).astimezone(zone) for each in (command.started_at, end))
        found.append(Bar(name, command.kind, command.trial, begun, max(begun, ended), command.status))
    return found


def timeline_figure(drawn: Sequence[Bar], *, dark: bool = False) -> go.Figure:
    """A row for each worker, a bar for each command from its beginning to its end.

    Args:
        drawn: as `bars` makes them.
        dark: draw for a dark background.
    """
    ink = theme.ink(dark)
    workers = list(dict.fromkeys(bar.worker for bar in drawn))[:MOST_WORKERS]
    figure = go.Figure()
    for kind, (color, pattern) in COLORS.items():
        members = [bar for bar in drawn if bar.kind == kind and bar.worker in workers]
        if members:
            figure.add_bar(
                orientation="h",
                y=[bar.worker for bar in members],
                base=[bar.begun for bar in members],
                x=[1000 * max(bar.seconds, 0.2) for bar in members],  # a date axis counts milliseconds
                width=0.62,
                marker={"color": color, "line": {"width": 1, "color": ink.paper}, "pattern": {"shape": pattern, "size": 5}},
                name=NAMES[kind],
                customdata=[
                    [
                        "the run" if bar.trial is None else f"trial {bar.trial}",
                        KINDS[kind],
                        wording.seconds(bar.seconds) if bar.seconds >= 1 else "under 1 s",
                        {"running": "under way", "stopping": "being stopped"}.get(bar.status, bar.status),
                    ]
                    for bar in members
                ],
                hovertemplate="<b>%{y}</b>, %{customdata[0]}<br>%{customdata[1]}: %{customdata[2]}, %{customdata[3]}<br>from %{base|%H:%M:%S}<extra></extra>",
            )
    figure.update_layout(
        barmode="overlay",
        height=AROUND_PX + ROW_PX * max(len(workers), 1),
        margin={"l": 8, "r": 12, "t": 48, "b": 8},
        font={"color": ink.text},
        dragmode="pan",
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        xaxis={"type": "date", "title": {"text": "Time of day"}, "gridcolor": ink.grid, "automargin": True},
        yaxis={
            "type": "category", "categoryorder": "array", "categoryarray": workers[::-1], "automargin": True, "showgrid": False,
        },
    )  # fmt: skip
    return figure


def share_text(drawn: Sequence[Bar]) -> str:
    """One sentence: what the workers' time went to, largest share first."""
    totals = {kind: sum(bar.seconds for bar in drawn if bar.kind == kind) for kind in COLORS}
    whole = sum(totals.values())
    if whole <= 0:
        return ""
    ranked = sorted(((total, kind) for kind, total in totals.items() if total > 0), reverse=True)
    return "Workers' time: " + ", ".join(f"{NAMES[kind]} {total / whole:.0%}" for total, kind in ranked) + "."
