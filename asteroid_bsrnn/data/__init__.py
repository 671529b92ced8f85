"""Data sets: ``(mixture, sources)`` per index, drawn from (seed, epoch, index) alone. ``get`` also knows Asteroid's."""

from dataclasses import MISSING, fields
from typing import Any

from ..common.registry import Registry
from .music.music_section import MusicData, music_data
from .music.segments_dataset import MUSDB18HQ, MUSDB18HQTracks
from .speech.mixtures import SpeechMixtures
from .speech.speech_section import SpeechData, speech_data


def _from_host(name: str) -> Any:
    import asteroid.data  # needs librosa, so only on demand

    return getattr(asteroid.data, name, None)


_REGISTRY = Registry("data set", _from_host)
get, register_dataset = _REGISTRY.get, _REGISTRY.register

for _dataset in (MUSDB18HQ, MUSDB18HQTracks, SpeechMixtures):
    register_dataset(_dataset)


def data_defaults(section: dict[str, Any]) -> dict[str, Any]:
    """What absent keys of a section ``data`` stand for: the defaults of the reader that knows all the others."""
    for reader in (MusicData, SpeechData):
        known = {field.name: field.default for field in fields(reader)}
        if set(section) <= set(known):
            return {key: value for key, value in known.items() if value is not MISSING}
    return {}
