"""A run in a line the size of a word: the best accuracy so far, trial by trial. Pure: trials in, an SVG out."""

from collections.abc import Sequence
from itertools import pairwise

from app.summary import best_so_far
from data.records import Trial

WIDTH_PX, HEIGHT_PX, MARGIN_PX = 110, 26, 3


def sparkline(trials: Sequence[Trial], color: str) -> str:
    """A step line of the best accuracy within the target, over all trials so far; '' where there is none."""
    steps = best_so_far(trials)
    if not steps:
        return ""
    last = max(trials[-1].trial, 2)
    low, high = steps[0][1], max(score for _, score in steps)

    def place(number: float, score: float) -> str:
        x = MARGIN_PX + (number - 1) / (last - 1) * (WIDTH_PX - 2 * MARGIN_PX)
        share = (score - low) / (high - low) if high > low else 0.5
        return f"{x:.1f} {HEIGHT_PX - MARGIN_PX - share * (HEIGHT_PX - 2 * MARGIN_PX):.1f}"

    path = f"M {place(*steps[0])}"
    for (_, before), (number, score) in pairwise(steps):
        path += f" L {place(number, before)} L {place(number, score)}"
    end_x, end_y = place(*steps[-1]).split()
    title = f"Best accuracy so far: from {low:.3f} in trial {steps[0][0]} to {high:.3f}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{title}" width="{WIDTH_PX}" height="{HEIGHT_PX}" viewBox="0 0 {WIDTH_PX} {HEIGHT_PX}">'
        f'<title>{title}</title><path d="{path}" fill="none" stroke="{color}" stroke-width="2"/>'
        f'<circle cx="{end_x}" cy="{end_y}" r="2.6" fill="{color}"/></svg>'
    )
