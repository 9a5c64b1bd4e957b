"""Colours and symbols of the figures: the Okabe-Ito palette, which people with any colour vision tell apart.

Every state differs from the others by symbol as well as by colour, and every colour is readable on both backgrounds.
Source: M. Okabe and K. Ito, Color Universal Design, 2008.
"""

from dataclasses import dataclass

BLUE = "#0072B2"
VERMILLION = "#D55E00"
GREEN = "#009E73"
ORANGE = "#E69F00"
SKY = "#56B4E9"
PURPLE = "#CC79A7"
GREY = "#808A96"


@dataclass(frozen=True)
class Look:
    """How one state of a trial is drawn and called."""

    label: str
    color: str
    symbol: str


TRAINED = Look("Within target", BLUE, "circle")
FINAL = Look("Trained to the end", GREEN, "star")
OVER_LIMIT = Look("Over target", VERMILLION, "triangle-right")
FAILED = Look("Failed", PURPLE, "x")
ACTIVE = Look("In progress", SKY, "diamond")
CANCELLED = Look("Cancelled", GREY, "square")


@dataclass(frozen=True)
class Ink:
    """The neutral colours of a figure on one background."""

    paper: str
    text: str
    line: str
    shade: str
    grid: str


LIGHT = Ink(paper="#FFFFFF", text="#1B2430", line="#4A5562", shade="rgba(213, 94, 0, 0.06)", grid="#E3E8EE")
DARK = Ink(paper="#12161C", text="#E8ECF1", line="#B4BFCC", shade="rgba(213, 94, 0, 0.13)", grid="#2C3440")


def ink(dark: bool) -> Ink:
    return DARK if dark else LIGHT
