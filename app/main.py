"""The web page's entry: `streamlit run app/main.py`. Sets the frame and shows the page that the URL names."""

from pathlib import Path

import streamlit as st

from app import live
from app.guard import shown_plainly
from app.memory import leave_modules_alone
from app.navigation import PAGES, entries

st.set_page_config(page_title="Pocketformer", page_icon=str(Path(__file__).with_name("icon.svg")), layout="wide")

st.html(Path(__file__).with_name("frame.css"))
first = entries()[0]
page = st.navigation(
    {
        section: [
            st.Page(each.script, title=each.title, icon=each.icon, url_path=each.name, default=each is first) for each in pages
        ]
        for section, pages in PAGES.items()
        if pages
    },
    position="top",
)
with live.pages(), shown_plainly():
    page.run()
leave_modules_alone()
