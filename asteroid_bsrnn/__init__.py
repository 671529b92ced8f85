"""Band-Split RNN for music and A-FRCNN for speech, as an add-on to Asteroid.

Importing it repairs what Asteroid 0.7.0 needs on today's dependencies (:mod:`asteroid_bsrnn.host`) and registers
our models with Asteroid; it has no other effect.
"""
from . import host

__version__ = "0.1.0"

host.repair()

from . import data, losses, models  # noqa: E402

__all__ = ["__version__", "data", "host", "losses", "models"]
