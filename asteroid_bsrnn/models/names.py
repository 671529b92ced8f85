"""Models by name: ours, those that users register, and Asteroid's own."""

import inspect
from typing import Any

import asteroid.models

from ..common.registry import Registry

_HOST_NAMES = ("ConvTasNet", "DPRNNTasNet", "DPTNet", "LSTMTasNet", "SuDORMRFNet", "SuDORMRFImprovedNet", "DeMask")


def _from_host(name: str) -> type | None:
    return next((getattr(asteroid.models, own) for own in _HOST_NAMES if own.lower() == name.lower()), None)


MODELS = Registry("model", _from_host)
get = MODELS.get


def register_model(cls: type) -> type:
    """Make ``cls`` known to :func:`get` and to Asteroid itself, by its class name. Twice is harmless.

    Raises:
        ValueError: if Asteroid or this package has another model of that name.
    """
    MODELS.register(cls)
    known = getattr(asteroid.models, cls.__name__, None)
    if known is None:
        asteroid.models.register_model(cls)
    elif known is not cls:
        raise ValueError(f"Asteroid already has another model called {cls.__name__!r}")
    return cls


def named_arguments(cls: Any) -> list[str]:
    """Arguments that a class or function takes by name, without those that it would swallow in ``**kwargs``."""
    by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return [name for name, entry in inspect.signature(cls).parameters.items() if entry.kind in by_name]
