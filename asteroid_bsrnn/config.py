"""Configurations and the models that they describe; see :mod:`asteroid_bsrnn.recipe.configuration`."""

from .recipe.building import build_model
from .recipe.configuration import experiments, load_conf, merge, parse_overrides, read_yaml
from .recipe.variants import variant_names

__all__ = ["build_model", "experiments", "load_conf", "merge", "parse_overrides", "read_yaml", "variant_names"]
