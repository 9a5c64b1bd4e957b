"""The Models page's parts: which bundles there are (`shelf`), their other forms (`exports`), how they are called (`snippets`), and trying one."""
