"""Adapter of TFC-TDF v3: "mdx23c" of the MSST fork, MDX-C of UVR, weights and averages of sdx23. Names are ours."""

import re
from collections.abc import Mapping
from typing import Any

import torch

from ..family import Adapter, State
from ..renaming import count, single, weight
from .adapters import SECTIONS, named_sources, needed, with_counters
from .norms import GROUPED
from .tfc_tdf_v3 import TFCTDFv3


class TFCTDFv3Adapter(Adapter):
    """TFC-TDF v3 with the YAML file of its training: sections ``audio``, ``model``, ``training``."""

    name, system, model, needs_settings = "tfc-tdf-v3", "tfc_tdf_v3", TFCTDFv3, True

    def settings(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """The sections of the file, with ``sources`` and ``sample_rate`` where it names them."""
        words = {part: dict(document.get(part) or {}) for part in SECTIONS}
        rate = document.get("sample_rate") or words["audio"].get("sample_rate")
        return {**words, **named_sources(document), **({"sample_rate": rate} if rate else {})}

    def recognises(self, state: State) -> bool:
        """By the block at the bottom."""
        conv = state.get("bottleneck_block.blocks.0.tfc1.2.weight")
        return conv is not None and conv.ndim == 4 and "final_conv.2.weight" in state

    def config(self, state: State, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Constructor arguments; what the shapes of the weights say fills what the settings leave open."""
        words = self.settings(settings)
        audio, known = words["audio"], {**self.shapes(state), **words["model"]}
        channels, n_hop = audio.get("num_channels", 2), needed(audio, "hop_length", self.name)
        n_parts = weight(state, "first_conv.weight", self.name).shape[1]
        n_subbands = known.get("num_subbands") or n_parts // (2 * channels)
        n_src = weight(state, "final_conv.2.weight", self.name).shape[0] // n_parts
        chunk = audio.get("chunk_size")
        return {
            "sources": words.get("sources") or [f"s{index + 1}" for index in range(n_src)],
            "sample_rate": words.get("sample_rate", 44100),
            "in_channels": channels,
            "n_fft": needed(audio, "n_fft", self.name),
            "n_hop": n_hop,
            "dim_f": audio.get("dim_f") or known["bins"] * n_subbands,
            "dim_t": chunk // n_hop + 1 if chunk else audio.get("dim_t") or 256,
            "n_scales": known["num_scales"],
            "n_blocks": known["num_blocks_per_scale"],
            "n_chan": known["num_channels"],
            "growth": known["growth"],
            "bottleneck": known["bottleneck_factor"],
            "n_subbands": n_subbands,
            "scale": list(known["scale"]),
            "norm_type": norm_type(needed(known, "norm", self.name)),
            "act": needed(known, "act", self.name),
        }

    def shapes(self, state: State) -> dict[str, Any]:
        """Settings that the weights give away."""
        down = state.get("encoder_blocks.0.downscale.conv.2.weight")
        stage = "bottleneck_block" if down is None else "encoder_blocks.0.tfc_tdf"
        hidden, bins = weight(state, f"{stage}.blocks.0.tdf.2.weight", self.name).shape
        return {
            "num_channels": weight(state, "first_conv.weight", self.name).shape[0],
            "growth": 0 if down is None else down.shape[0] - down.shape[1],
            "scale": (2, 2) if down is None else tuple(down.shape[2:]),
            "num_scales": count(state, r"encoder_blocks\.(\d+)\."),
            "num_blocks_per_scale": count(state, re.escape(stage) + r"\.blocks\.(\d+)\."),
            "bottleneck_factor": bins // hidden,
            "bins": bins,
        }

    def convert(self, state: State, settings: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        """Weights in float32, under the names that they have."""
        return with_counters({key: single(value) for key, value in state.items()})


def norm_type(name: str) -> str:
    """Our name of the original's norm; what it does not know is none there."""
    if GROUPED in name:
        return GROUPED + name.replace(GROUPED, "")
    return name if name in ("BatchNorm", "InstanceNorm") else "none"
