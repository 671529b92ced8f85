"""Published models by name."""


def names():
    """Names of the published models."""
    return []


def load_conf(name):
    """The model called ``name``."""
    raise KeyError(name)
