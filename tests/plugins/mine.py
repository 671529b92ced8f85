"""A user's plug-in: a tiny network with a published name and a foreign format, a corpus, and a loss with keys of its own."""

from dataclasses import dataclass
from pathlib import Path

import torch

from asteroid_bsrnn.data.corpus import Corpus, register_corpus
from asteroid_bsrnn.data.demo.songs import make_synth
from asteroid_bsrnn.losses import register_loss
from asteroid_bsrnn.models import register_family
from asteroid_bsrnn.models.base import MusicModel
from asteroid_bsrnn.models.family import Adapter, Family


@dataclass(frozen=True)
class TinyConfig:
    sources: tuple = ("vocals",)
    sample_rate: int = 44100
    in_channels: int = 2
    kernel: int = 9


class TinyFilters(MusicModel):
    Config = TinyConfig  # one filter for each source and channel

    def __init__(self, **arguments):
        config = TinyConfig(**arguments)
        super().__init__(config)
        n_out = len(self.sources) * config.in_channels
        self.filters = torch.nn.Conv1d(config.in_channels, n_out, config.kernel, padding="same")

    def separate(self, wav_BCL):
        return self.filters(wav_BCL).unflatten(1, (len(self.sources), -1))


class TheirFilters(Adapter):
    name, system, model = "their-filters", "tiny", TinyFilters

    def recognises(self, state):
        return "their.weight" in state

    def config(self, state, settings):
        return {"sources": settings.get("sources", ("vocals",)), "kernel": state["their.weight"].shape[-1]}

    def convert(self, state, settings):
        return {f"filters.{name}": state[f"their.{name}"] for name in ("weight", "bias")}


@register_loss
def weighted_loss(weight=1.0):
    return lambda estimate, target: weight * (estimate - target).abs().mean()


def provide(data, download):
    return Path(data.root).exists() or make_synth(data.root, {"train": 2, "valid": 1, "test": 1}, 4.0, 0)


register_family(Family("tiny", (TinyFilters,), (TheirFilters(),), Path(__file__).with_name("published.yml")))
register_corpus(Corpus("tiny_songs", ("vocals", "bass", "drums", "other"), provide=provide))
