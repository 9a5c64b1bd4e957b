"""Carries out a search's commands: in this process, or through Celery on many."""
