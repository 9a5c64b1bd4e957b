"""The pages, each a script that `st.navigation` runs. (A folder named `pages` would be taken for Streamlit's older kind of pages.)"""
