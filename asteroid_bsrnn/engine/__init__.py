"""Training, where version 0.1.0 had it: ``fit`` and what goes with it. Loaded on first use; Lightning takes seconds."""

import importlib
from typing import Any

_HOME = {
    "fit": "training.fit",
    "EpochSampler": "training.feed.sampling",
    "seed_everything": "training.seeds",
    "Interrupted": "training.stopping",
    "MusicSystem": "training.systems",
    "SpeechSystem": "training.systems",
    "repeat": "recipe.repeat",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"asteroid_bsrnn.{_HOME[name]}"), name)
