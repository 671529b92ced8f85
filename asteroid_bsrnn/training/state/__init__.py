"""Exact resume: everything that a step depends on, in checkpoints that appear whole."""
