"""Adapters of KUIELab's and DTTNet's networks: their names are ours, their settings and containers are not."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ...common.errors import UserError
from ..family import Adapter, State
from ..layers.checks import numbered
from ..renaming import count, renamed, single, weight
from .conv_tdf_net import ConvTDFNet
from .dttnet import DTTNet
from .mixer import Mixer
from .onnx import read_onnx

FROZEN = ("window", "freq_pad")
SECTIONS = ("audio", "model", "training", "inference")
_SUBMISSION = (
    (r"^ds_dense\.(\d+)\.", r"encoding_blocks.\1."),
    (r"^us_dense\.(\d+)\.", r"decoding_blocks.\1."),
    (r"^mid_dense\.", "bottleneck_block."),
    (r"^(\w+?_blocks?(?:\.\d+)?)\.H\.", r"\1.tfc.H."),
)


class UNetAdapter(Adapter):
    """What ConvTDFNet and DTTNet have in common: flat settings in the original's words, and one source."""

    blocks = "bottleneck_block"  # name of the block at the bottom

    def settings(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Flat settings of a whole YAML file, with ``sources`` and ``sample_rate`` where it names them."""
        words = {key: value for key, value in document.items() if key not in SECTIONS}
        for part in ("audio", "model"):
            words.update(document.get(part) or {})
        return {**words, **named_sources(document, words.get("target_name"))}

    def config(self, state: State, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Constructor arguments; what the shapes of the weights say fills what the settings leave open."""
        words = {**self.shapes(state), **self.settings(settings)}
        return {
            "sources": words.get("sources") or ["s1"],
            "sample_rate": words.get("sample_rate", 44100),
            "in_channels": weight(state, "first_conv.0.weight", self.name).shape[1] // 2,
            "n_fft": needed(words, "n_fft", self.name),
            "n_hop": needed(words, "hop_length", self.name),
            "dim_f": needed(words, "dim_f", self.name),
            "dim_t": words.get("dim_t", 256),
            "n_levels": words["num_blocks"] // 2,
            "n_convs": words["l"],
            "growth": words["g"],
            "kernel_size": words["k"],
            "bottleneck": words["bn"],
            "bias": words["bias"],
            "norm_type": self.norm_type(state, words),
        }

    def norm_type(self, state: State, words: Mapping[str, Any]) -> str:
        """Our name of the norm."""
        return "BatchNorm" if "first_conv.1.running_mean" in state else "GroupNorm2"

    def shapes(self, state: State) -> dict[str, Any]:
        """Settings that the weights give away."""
        block = "encoding_blocks.0" if any(key.startswith("encoding_blocks.0.") for key in state) else self.blocks
        convs = f"{block}.tfc1.H." if f"{block}.tfc1.H.0.0.weight" in state else f"{block}.tfc.H."
        found: dict[str, Any] = {"g": weight(state, "first_conv.0.weight", self.name).shape[0]}
        found["k"] = weight(state, f"{convs}0.0.weight", self.name).shape[-1]
        found["num_blocks"] = 2 * count(state, r"ds\.(\d+)\.") + 1
        found["l"] = count(state, re.escape(convs) + r"(\d+)\.")
        found["bn"], found["bias"] = None, f"{block}.tdf.0.bias" in state
        if "window" in state:
            found["n_fft"] = state["window"].shape[-1]
        if "freq_pad" in state:
            found["dim_t"] = state["freq_pad"].shape[-1]
            if "n_fft" in found:
                found["dim_f"] = found["n_fft"] // 2 + 1 - state["freq_pad"].shape[-2]
        if f"{block}.tdf.0.weight" in state:
            hidden, found["dim_f"] = state[f"{block}.tdf.0.weight"].shape
            found["bn"] = found["dim_f"] // hidden if f"{block}.tdf.3.weight" in state else 0
        if found.get("dim_t", 2) < 2:
            del found["dim_t"]
        return found

    def convert(self, state: State, settings: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        """Weights in float32 without the frozen window and padding; missing counters of norms begin at zero."""
        return with_counters({key: single(value) for key, value in state.items() if key not in FROZEN})


class KUIELabConvTDFNet(UNetAdapter):
    """ConvTDFNet of KUIELab: Lightning checkpoints, UVR's, those of the challenge's submission, and ONNX files."""

    name, system, model, suffixes = "kuielab-convtdfnet", "convtdfnet", ConvTDFNet, (".onnx",)

    def read(self, path: Path) -> tuple[State, Mapping[str, Any]]:
        """Weights and settings of an ONNX file; its graph does not hold ``n_fft`` and ``hop_length``."""
        return read_onnx(path)

    def recognises(self, state: State) -> bool:
        """By the first convolution of the block at the bottom."""
        return any(name in state for name in ("bottleneck_block.tfc.H.0.0.weight", "mid_dense.H.0.0.weight"))

    def config(self, state: State, settings: Mapping[str, Any]) -> dict[str, Any]:
        """See :meth:`UNetAdapter.config`."""
        return super().config(of_training(state), settings)

    def convert(self, state: State, settings: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        """See :meth:`UNetAdapter.convert`."""
        return super().convert(of_training(state), settings)


class AuthorsDTTNet(UNetAdapter):
    """DTTNet of its authors: a Lightning checkpoint and the YAML file of its model."""

    name, system, model, needs_settings, blocks = "dttnet", "dttnet", DTTNet, True, "bottleneck_block1"
    convs = ("bottleneck_block1.tfc.H.0.0.weight", "bottleneck_block1.tfc1.H.0.0.weight")

    def recognises(self, state: State) -> bool:
        """By the first convolution of the block at the bottom."""
        return any(name in state for name in self.convs)

    def config(self, state: State, settings: Mapping[str, Any]) -> dict[str, Any]:
        """See :meth:`UNetAdapter.config`; heads are told by the settings or by the width of the recurrent layers."""
        words, rnn = self.settings(settings), "bottleneck_block2.bsrnn.0.0.rnn."
        band = {key.lower(): value for key, value in (words.get("bandsequence") or {}).items()}
        arguments = {
            "block_type": words.get("block_type") or block_type(state),
            "n_repeats": band.get("num_layers", count(state, r"bottleneck_block2\.bsrnn\.(\d+)\.")),
        }
        if rnn + "weight_ih_l0" in state:
            gates, width = state[rnn + "weight_ih_l0"].shape
            arguments["rnn_type"] = band.get("rnn_type", "LSTM" if gates == 8 * width else "GRU")
            arguments["bidirectional"] = band.get("bidirectional", rnn + "weight_ih_l0_reverse" in state)
            bottom = next(state[name].shape[0] for name in self.convs if name in state)
            arguments["n_heads"] = band.get("n_heads", bottom // width)
        return {**super().config(state, settings), **arguments}

    def norm_type(self, state: State, words: Mapping[str, Any]) -> str:
        """Our name of the norm."""
        tracked = "SyncBatchNorm" if words.get("bn_norm") == "syncBN" else "BatchNorm"
        return tracked if "first_conv.1.running_mean" in state else "GroupNorm32"


class KUIELabMixer(Adapter):
    """Mixer of KUIELab: a bare matrix, or a Lightning checkpoint with the separators beside it."""

    name, system, model = "kuielab-mixer", "kuielab_mixer", Mixer

    def recognises(self, state: State) -> bool:
        """By the matrix."""
        return "mixing_layer.weight" in state

    def config(self, state: State, settings: Mapping[str, Any]) -> dict[str, Any]:
        """As many sources and channels as the matrix has; their names and order from ``sources``."""
        rows, columns = weight(state, "mixing_layer.weight", self.name).shape
        channels = max(columns - rows, 1)
        return {"sources": settings.get("sources") or list(numbered(rows // channels)), "in_channels": channels}

    def convert(self, state: State, settings: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        """The matrix; the separators, which are frozen networks of their own, are dropped."""
        return {key: single(value) for key, value in state.items() if not key.startswith("separators.")}


def named_sources(document: Mapping[str, Any], target: str | None = None) -> dict[str, Any]:
    """``sources`` of a configuration file, in its order and spelling; nothing where it names none."""
    training = document.get("training") or {}
    one = training.get("target_instrument") or target
    names = document.get("sources") or ([one] if one else training.get("instruments"))
    return {"sources": list(names)} if names else {}


def needed(words: Mapping[str, Any], name: str, origin: str) -> Any:
    """A setting that must be there.

    Raises:
        UserError: naming it.
    """
    if words.get(name) is None:
        raise UserError(f"{origin}: the weights do not tell {name!r}: give it in a configuration file (--config)")
    return words[name]


def block_type(state: State) -> str:
    """The original's name of DTTNet's blocks."""
    if "bottleneck_block1.tfc2.H.0.0.weight" in state:
        return "TFC_TDF_Res2"
    return "TFC_TDF_Res1" if "bottleneck_block1.res.H.0.0.weight" in state else "TFC_TDF"


def of_training(state: State) -> State:
    """The names of the challenge's submission as those of the training code."""
    if "mid_dense.H.0.0.weight" not in state:
        return state
    return {renamed(key, _SUBMISSION): value for key, value in state.items()}


def with_counters(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Batch norms' numbers of batches, which files may leave out and evaluation does not use."""
    norms = [key.removesuffix("running_var") for key in state if key.endswith(".running_var")]
    return {**{f"{norm}num_batches_tracked": torch.zeros((), dtype=torch.long) for norm in norms}, **state}
