"""The Explore pages: trials of all runs, and the design space without a search."""
