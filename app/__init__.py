"""Front ends: the Streamlit pages and the `pocketformer` command. They show and ask; they decide nothing."""
