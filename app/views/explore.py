"""The Explore page: all trials of any runs of one task on one device. What is shown is in the URL."""

import streamlit as st

from app.explore import asking, filters, trials


def page() -> None:
    st.title("Explore")
    st.caption("Look through the trials of all runs: what is accurate, what is fast, and which decisions make it so.")
    subjects = asking.subjects()
    if not subjects:
        st.info(
            "No trials yet. A search fills this page; the design space can be explored without one.", icon=":material/search:"
        )
        with st.container(horizontal=True):
            st.page_link("views/search.py", label="Start a search", icon=":material/travel_explore:")
            st.page_link("views/space.py", label="Explore the design space", icon=":material/tune:")
        return
    columns = st.columns(4)
    subject = filters.ask_subject(subjects, columns[:2])
    chosen, overview = filters.ask_chosen(subject, columns[2:])
    if not overview.trials:
        st.info("No trial passes these filters, or none was proposed yet.", icon=":material/filter_alt_off:")
        return
    limit_ms = trials.ask_limit(overview)
    front = asking.ask(subject, "front", chosen, limit_ms)
    selected = trials.selected(subject)
    trials.numbers(subject, chosen, overview, front, limit_ms)
    if selected is None:
        trials.front_chart(subject, chosen, overview, front, limit_ms, None)
    else:
        chart, card = st.columns([3, 2])
        with chart:
            trials.front_chart(subject, chosen, overview, front, limit_ms, selected)
        with card:
            trials.card(selected, subject)
    trials.more(subject, chosen, limit_ms)
    with st.expander("What this page shows", icon=":material/help:"):
        st.markdown(HELP)


HELP = """
- **Front**: trials that no other one beats in both latency and accuracy, within the latency limit. Shades behind it say how many trials
  lie where; drag a box to see them one by one.
- **Accuracy** is the early-stage accuracy that a search goes by. Trials over their run's target were not trained: they stand below the picture.
- **Latency** is measured or predicted; filled marks are measured, open ones are not.
- Filters, limit, window and the open tab are in the address: a link shows the same to others.
"""

page()
