"""The drawing on the page: an SVG in the page itself, so that its facts show under the pointer, and a click, or Enter, opens and closes a group."""

from collections.abc import Callable

import streamlit as st

KEY = "fusion drawing"
HTML = '<div class="drawing"></div>'
CSS = """
.drawing { overflow: auto; max-height: 900px; }
.drawing [data-group]:focus-visible { outline: 2px solid currentcolor; outline-offset: 2px; }
"""
# The text is ours, from `app.fusion.drawing`, which escapes every name that it writes.
JS = """
export default function ({ data, parentElement, setTriggerValue }) {
  const place = parentElement.querySelector(".drawing");
  place.innerHTML = data.svg;
  for (const group of place.querySelectorAll("[data-group]")) {
    const toggle = () => setTriggerValue("toggled", group.dataset.group);
    group.onclick = toggle;
    group.onkeydown = (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); toggle(); } };
  }
}
"""


def show(svg: str, toggled: Callable[[str], None]) -> None:
    """
    Args:
        toggled: called with a group's key before the page is drawn again.
    """

    def changed() -> None:
        key = st.session_state[KEY].get("toggled")
        if key:
            toggled(key)

    mounted = st.components.v2.component("fusion_drawing", html=HTML, css=CSS, js=JS, isolate_styles=False)
    mounted(key=KEY, data={"svg": svg}, on_toggled_change=changed)
