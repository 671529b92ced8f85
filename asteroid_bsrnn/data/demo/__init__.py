"""Corpora of the demonstrations: an excerpt of real music, rendered songs, talking voices."""
