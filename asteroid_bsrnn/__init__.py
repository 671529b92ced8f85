"""Band-Split RNN for music and A-FRCNN for speech, as an add-on to Asteroid.

Importing it repairs what Asteroid 0.7.0 needs on today's dependencies (:mod:`asteroid_bsrnn.host`), registers our
models with Asteroid, teaches its ``from_pretrained`` our files (:mod:`asteroid_bsrnn.weights`), and imports the plug-ins
that users have named (:mod:`asteroid_bsrnn.common.plugins`); nothing else. ``data`` loads on first use.
"""

import importlib
from types import ModuleType

from . import host
from .common.version import __version__

host.repair()

from . import losses, models, weights  # noqa: E402
from .common.plugins import load_installed  # noqa: E402

weights.install()
load_installed()

__all__ = ["__version__", "data", "host", "losses", "models", "weights"]


def __getattr__(name: str) -> ModuleType:
    if name == "data":
        return importlib.import_module(f"{__name__}.data")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
