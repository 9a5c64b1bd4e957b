"""An architecture drawn layer by layer. Pure: the architecture in, a Plotly figure out."""

import plotly.graph_objects as go

from app import theme
from engine.architecture import Architecture

ROW_PX = 17
DEEP, DEEP_ROW_PX = 12, 9  # from how many layers on rows are lower, and how high they are
LEAST_PX = 130


def layers_figure(architecture: Architecture, widest: int, most_layers: int, *, dark: bool = False) -> go.Figure:
    """A pair of bars for each layer, the first at the bottom: attention as wide as the hidden size, the FFN as its own size.

    Args:
        widest, most_layers: what the axes span, so that architectures side by side share a scale.
    """
    ink, figure = theme.ink(dark), go.Figure()
    numbers = list(range(1, architecture.layers + 1))
    heads = f"{architecture.heads} heads of {architecture.head_size}"
    figure.add_bar(
        y=numbers, x=[architecture.hidden_size] * architecture.layers, orientation="h", name="Attention (hidden size)",
        marker={"color": theme.ORANGE}, offset=-0.42, width=0.38, hovertemplate=f"layer %{{y}}: hidden size %{{x}}, {heads}<extra></extra>",
    )  # fmt: skip
    figure.add_bar(
        y=numbers, x=list(architecture.ffn_sizes), orientation="h", name="FFN size", marker={"color": theme.BLUE}, offset=0.02, width=0.38,
        hovertemplate="layer %{y}: FFN size %{x}<extra></extra>",
    )  # fmt: skip
    grid = {"gridcolor": ink.grid, "zeroline": False, "automargin": True}
    figure.update_layout(
        height=LEAST_PX + (ROW_PX if most_layers <= DEEP else DEEP_ROW_PX) * most_layers, margin={"l": 8, "r": 8, "t": 36, "b": 8}, font={"color": ink.text}, dragmode=False,
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "title_text": "", "font": {"size": 11}},
        xaxis={"title": {"text": "Width (neurons)"}, "range": [0, 1.04 * widest], **grid},
        yaxis={"title": {"text": "Layer"}, "range": [0.4, most_layers + 0.6], "dtick": 1 if most_layers <= DEEP else 4, "tick0": 1, **grid},
    )  # fmt: skip
    return figure
