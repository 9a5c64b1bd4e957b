"""The Home page: what this is, a way to start, and the runs so far."""

import streamlit as st

from app import recent


def page() -> None:
    st.title("Pocketformer")
    st.caption("Find the transformer that fits a phone: pick a task, a device and a latency target, get a compiled model.")
    st.page_link("views/search.py", label="**Start a search**", icon=":material/play_arrow:")
    st.subheader("Recent runs")
    recent.runs_list()


page()
