"""Checkpoints of Demucs v2: plain weights, or a package; the shapes tell how the network is built."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from ...common.errors import UserError
from ..family import State
from .adapter import DemucsPackage, has_first_convolution

ARGUMENTS = ("sources", "audio_channels", "channels", "depth", "rewrite", "glu", "rescale", "resample", "kernel_size", "stride",
             "growth", "lstm_layers", "context", "normalize", "samplerate", "segment_length")  # fmt: skip
"""Arguments of the class, in its order."""
TOLD = ("sources", "samplerate", "sample_rate", "resample", "stride", "normalize", "rescale")
"""Those that no shape shows, and what they are called in today's package too."""


class DemucsV2(DemucsPackage):
    """Version 2 (2021). Published weights are a plain dictionary of tensors; stride 4 and resampling are as in all of them."""

    name = "demucs-v2"
    needs_settings = False
    klasses: ClassVar[tuple[str, ...]] = ("demucs.model.Demucs",)

    def _named(self, args: Sequence[Any]) -> dict[str, Any]:
        return dict(zip(ARGUMENTS, args))

    def recognises(self, state: State) -> bool:
        """By a second convolution behind the first, without the place for a norm between them."""
        return has_first_convolution(state) and "encoder.0.2.weight" in state

    def config(self, state: State, settings: Mapping[str, Any]) -> dict[str, Any]:
        """What the shapes tell, and what is set of the rest."""
        if settings.get("normalize") or settings.get("rewrite") is False:
            raise UserError(f"{self.name}: networks with normalize, or without rewrite, are not read")
        first, second, context = (
            state[key] for key in ("encoder.0.0.weight", "encoder.0.2.weight", "decoder.0.0.weight")
        )
        if context.shape[2] % 2 == 0:
            raise UserError(f"{self.name}: context must be odd, got {context.shape[2]}")
        inner = state.get("encoder.1.0.weight")
        found = {
            "audio_channels": first.shape[1],
            "channels": len(first),
            "kernel_size": first.shape[2],
            "growth": 2.0 if inner is None else len(inner) / len(first),
            "depth": sum(bool(re.fullmatch(r"encoder\.\d+\.0\.weight", key)) for key in state),
            "glu": len(second) == 2 * len(first),
            "context": context.shape[2] // 2,
            "lstm_layers": sum(bool(re.fullmatch(r"lstm\.lstm\.weight_ih_l\d+", key)) for key in state),
        }
        fixed = {"rewrite": True, "gelu": False, "norm_starts": found["depth"], "dconv_mode": 0, "normalize": False}
        told = {name: settings[name] for name in TOLD if settings.get(name) is not None}
        return super().config(state, told | fixed | found | {"context_padding": False})

    def names(self, state: State) -> dict[str, str]:
        """Later networks have a place for a norm behind each convolution but the last."""
        return {key: "net." + re.sub(r"^(..coder\.\d+)\.2\.", r"\1.3.", key) for key in state}
