"""The peer of `benchmarks.pages`: a page of Streamlit as its users write one, with a heading, a number and two Plotly figures that are drawn
anew when the number changes. `POCKETFORMER_PLAIN_PAGE` is the file that has the number."""

import os
from pathlib import Path

import plotly.graph_objects as go
import streamlit as st

REFRESH_S = 2.0  # as the Run page
MARKS = (300, 465)  # the trials of a run, and what its course draws of them

st.title("Plain")


@st.fragment(run_every=REFRESH_S)
def live() -> None:
    number = int(Path(os.environ["POCKETFORMER_PLAIN_PAGE"]).read_text())
    st.metric("Trials", f"{number} of many")
    for count in MARKS:
        marks = list(range(count))
        figure = go.Figure(go.Scatter(x=marks, y=[(7 * mark + number) % count for mark in marks], mode="markers"))
        st.plotly_chart(figure, key=f"marks-{count}")


live()
