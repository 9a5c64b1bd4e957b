"""The Fusion page's parts: the report of a model (`reports`), what it adds up to (`totals`), and its drawing (`layout`, `drawing`)."""
