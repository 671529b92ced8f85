"""Asteroid's own published models by name. The networks are Asteroid's; only the list is here."""

from pathlib import Path

from ..family import Family

FAMILY = Family("asteroid", models=(), published=Path(__file__).parent / "published.yml")
