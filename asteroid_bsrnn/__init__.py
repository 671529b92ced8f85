"""Band-Split RNN for music and A-FRCNN for speech, as an add-on to Asteroid.

Importing it repairs what Asteroid 0.7.0 needs on today's dependencies (:mod:`asteroid_bsrnn.host`), registers our
models with Asteroid, and teaches its ``from_pretrained`` our files (:mod:`asteroid_bsrnn.weights`); nothing else.
"""
from . import host

__version__ = "0.1.0"

host.repair()

from . import data, losses, models, weights  # noqa: E402

weights.install()

__all__ = ["__version__", "data", "host", "losses", "models", "weights"]
