"""The Compare page: a few architectures side by side."""
