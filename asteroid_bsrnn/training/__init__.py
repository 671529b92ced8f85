"""Training: one ``fit`` for every recipe."""
