"""How a Hybrid Demucs network is built, from the names and shapes of its weights."""

import warnings
from collections.abc import Mapping
from typing import Any

import torch

from ...common.errors import UserError
from ..family import State

STRIDE = 4  # of every published network; no shape shows it


def settings_of_hdemucs(state: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    """Settings in the package's words. What no shape shows is as published, with a warning where it matters.

    Raises:
        UserError: naming a setting that has to be given.
    """
    if "encoder.0.conv.weight" not in state or "encoder.1.conv.weight" not in state:
        raise UserError("hdemucs: the weights do not show how split bands are built: the settings are needed")
    if "freq_emb.embedding.weight" not in state:
        raise UserError("hdemucs: the weights do not show nfft: it has to be given")
    first = state["encoder.0.conv.weight"]
    hybrid = "tencoder.0.conv.weight" in state
    audio = state["tencoder.0.conv.weight"].shape[1] if hybrid else max(1, first.shape[1] // 2)
    found: dict[str, Any] = {
        "audio_channels": audio,
        "channels": len(first),
        "growth": len(state["encoder.1.conv.weight"]) / len(first),
        "nfft": 2 * STRIDE * len(state["freq_emb.embedding.weight"]),
        "cac": first.shape[1] == 2 * audio,
        "depth": _layers(state, "encoder.{}.conv.weight"),
        "hybrid": hybrid,
        "kernel_size": first.shape[2],
        "stride": STRIDE,
        "rewrite": "encoder.0.rewrite.weight" in state,
    }
    found |= _of_rewrites(state) | _of_branches(state)
    found["norm_starts"] = _first(state, ".norm1.weight", found["depth"])
    if hybrid:
        found["channels_time"] = len(state["tencoder.0.conv.weight"])
    if found["norm_starts"] < found["depth"]:
        found["norm_groups"] = _groups(found["channels"])
    return found


def _groups(channels: int) -> int:
    """Four, in every network that was published; a tiny one has fewer."""
    groups = min(4, max(1, channels // 2))
    warnings.warn(f"the weights do not show norm_groups: {groups} is taken", stacklevel=4)
    return groups


def _of_rewrites(state: State) -> dict[str, Any]:
    decoder, encoder = state.get("decoder.0.rewrite.weight"), state.get("encoder.0.rewrite.weight")
    if decoder is None or encoder is None:
        return {}
    return {"context": decoder.shape[2] // 2, "context_enc": encoder.shape[2] // 2}


def _of_branches(state: State) -> dict[str, Any]:
    """Settings of the residual branches (DConv)."""
    inside, outside = (any(f"{part}.0.dconv." in key for key in state) for part in ("encoder", "decoder"))
    found = {"dconv_mode": inside + 2 * outside}
    conv = state.get("encoder.0.dconv.layers.0.0.weight", state.get("decoder.0.dconv.layers.0.0.weight"))
    if conv is None:
        return found
    part = "encoder" if inside else "decoder"
    return found | {
        "dconv_depth": _layers(state, part + ".0.dconv.layers.{}.0.weight"),
        "dconv_comp": conv.shape[1] / len(conv),
        "dconv_attn": _first(state, ".content.weight", 10**6),
        "dconv_lstm": _first(state, ".lstm.weight_ih_l0", 10**6),
    }


def _layers(state: State, name: str) -> int:
    count = 0
    while name.format(count) in state:
        count += 1
    return count


def _first(state: State, ending: str, otherwise: int) -> int:
    """The first layer of the encoder with a weight of this ending."""
    layers = [int(key.split(".")[1]) for key in state if key.startswith("encoder.") and key.endswith(ending)]
    return min(layers, default=otherwise)
