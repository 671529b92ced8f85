"""Weights of the A-FRCNN authors' classes (``AFRCNN.py`` and ``AFRCNN(sum).py``) under our names."""

import re
from collections.abc import Mapping
from typing import Any, ClassVar

import torch

from ...common.errors import UserError
from ..family import Adapter, State
from .network import AFRCNN

_RENAMES = (
    (r"^encoder\.", "encoder_conv."),
    (r"^decoder\.", "decoder_conv."),
    (r"^bottleneck\.", "bottleneck.1."),
    (r"^ln\.", "bottleneck.0."),
    (r"^sm\.concat_block\.", "trunk.rescale."),
    (r"^sm\.blocks?\.", "trunk.block."),
    (r"\.proj_1x1\.", ".proj."),
    (r"\.spp_dw\.(\d+)\.", r".bottom_up.\1."),
    (r"\.fuse_layers\.(\d+)\.0\.", lambda found: f".fusion.neighbours.down.{int(found[1]) - 1}."),
    (r"\.concat_layer\.(\d+)\.", r".fusion.neighbours.fuse.\1."),
    (r"\.last_layer\.0\.", ".fusion.last."),
    (r"\.(bottom_up|down)\.(\d+)\.conv\.", r".\1.\2.0."),
    (r"\.(bottom_up|down)\.(\d+)\.norm\.", r".\1.\2.1."),
    (r"\.gamma$", ".weight"),
    (r"\.beta$", ".bias"),
)
"""(pattern, replacement), one after the other."""
_WORDS = {
    "out_channels": "bn_chan",
    "in_channels": "hid_chan",
    "num_blocks": "num_iters",
    "upsampling_depth": "n_scales",
    "enc_kernel_size": "kernel_size",
    "enc_num_basis": "n_filters",
    "num_sources": "n_src",
    "sample_rate": "sample_rate",
}
"""Their constructor arguments and ours."""


class AuthorsAFRCNN(Adapter):
    """The authors' state_dict. Shapes tell all but the iterations (16 without settings) and the rate (8000 Hz)."""

    name: ClassVar[str] = "afrcnn-authors"
    system: ClassVar[str] = "afrcnn"
    model: ClassVar[type] = AFRCNN

    def recognises(self, state: State) -> bool:
        """By the encoder and the depthwise convolutions of the block."""
        return "encoder.weight" in state and any(
            re.match(r"sm\.blocks?\.spp_dw\.0\.conv\.weight", key) for key in state
        )

    def config(self, state: State, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Constructor arguments; what the settings say as well must agree with the shapes."""
        found = self._of_shapes(self.convert(state, settings))
        told = {ours: settings[theirs] for theirs, ours in _WORDS.items() if settings.get(theirs) is not None}
        for name, value in told.items():
            if found.setdefault(name, value) != value:
                raise UserError(f"{self.name}: the settings say {name} {value}, the weights {found[name]}")
        return found

    def _of_shapes(self, weights: State) -> dict[str, Any]:
        try:
            n_filters, _, kernel_size = weights["encoder_conv.weight"].shape
            hid_chan, bn_chan, _ = weights["trunk.block.proj.conv.weight"].shape
            n_src = weights["mask_net.1.weight"].shape[0] // n_filters
        except KeyError as error:
            raise UserError(f"{self.name}: the weights lack what becomes {error.args[0]!r}") from None
        scales = {match[1] for key in weights if (match := re.match(r"trunk\.block\.bottom_up\.(\d+)\.", key))}
        fusion = "concat" if "trunk.block.fusion.neighbours.fuse.0.conv.weight" in weights else "sum"
        sizes = {"n_filters": n_filters, "kernel_size": kernel_size, "bn_chan": bn_chan, "hid_chan": hid_chan}
        return {**sizes, "n_src": n_src, "n_scales": len(scales), "fusion": fusion}

    def convert(self, state: State, settings: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        """A map of names; a key that is none of theirs stays as it is, and is refused by name when it is loaded."""
        weights = {}
        for key, value in state.items():
            for pattern, replacement in _RENAMES:
                key = re.sub(pattern, replacement, key)
            weights[key] = value.float()
        return weights
