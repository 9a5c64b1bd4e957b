"""The web page's entry: `streamlit run app/main.py`. Sets the frame and shows the page that the URL names."""

from pathlib import Path

import streamlit as st

from app.guard import shown_plainly

st.set_page_config(page_title="Pocketformer", page_icon=str(Path(__file__).with_name("icon.svg")), layout="wide")

page = st.navigation(
    [
        st.Page("views/search.py", title="Search", icon=":material/travel_explore:", default=True),
        st.Page("views/run.py", title="Run", icon=":material/scatter_plot:", url_path="run"),
    ],
    position="top",
)
with shown_plainly():
    page.run()
