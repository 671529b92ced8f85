"""Training: one ``fit`` for every recipe. Names are loaded on first use, since Lightning takes seconds to import."""
import importlib

_HOME = {
    "fit": "training",
    "seed_everything": "loop",
    "Interrupted": "loop",
    "MusicSystem": "system",
    "SpeechSystem": "system",
    "repeat": "repeat",
}

__all__ = sorted(_HOME)


def __getattr__(name):
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
