"""A family of one tiny network with another project's format: what a user's plug-in would bring."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from asteroid_bsrnn.common.errors import UserError
from asteroid_bsrnn.models.base import MusicModel
from asteroid_bsrnn.models.family import Adapter, Family


@dataclass(frozen=True)
class GainsConfig:
    """Constructor arguments of :class:`Gains`."""

    sources: Any = ("s1", "s2")
    sample_rate: float = 44100
    in_channels: int = 1
    power: int = 1


class Gains(MusicModel):
    """Each source is the mixture times a gain to some power."""

    Config = GainsConfig

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(GainsConfig(*args, **kwargs))
        self.gain = torch.nn.Parameter(torch.ones(self.n_src))

    def separate(self, wav_BCL: torch.Tensor) -> torch.Tensor:
        """(batch, 1, time) -> (batch, n_src, 1, time)."""
        return (self.gain**self.config.power)[None, :, None, None] * wav_BCL[:, None]


class GainsFormat(Adapter):
    """Their word is ``volume``, their exponent stands in a configuration file as ``exponent``."""

    name, system, model, needs_settings, suffixes = "gains-of-others", "gains", Gains, True, (".gains",)

    def read(self, path):
        numbers = [float(word) for word in path.read_text().split()]
        return {"volume": torch.tensor(numbers)}, {"exponent": 1}

    def settings(self, document: Mapping[str, Any]) -> dict[str, Any]:
        return dict(document.get("net", document))

    def recognises(self, state):
        return "volume" in state

    def config(self, state, settings):
        if "exponent" not in settings:
            raise UserError("gains-of-others: the setting 'exponent' is missing, and the weights do not tell it")
        names = settings.get("sources") or [f"s{index + 1}" for index in range(len(state["volume"]))]
        return {"sources": names, "power": settings["exponent"]}

    def convert(self, state, settings):
        return {
            "gain" if name == "volume" else name: value.float() for name, value in state.items() if name != "window"
        }


def family(published=None):
    return Family("gains", models=(Gains,), adapters=(GainsFormat(),), published=published)
