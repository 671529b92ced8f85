"""Weights of the A-FRCNN authors' own network under our names: a map of renames.

Source: github JusperLee/AFRCNN-For-Speech-Separation; a plain state_dict, or a file that ``serialize`` wrote.
"""

import re
from collections.abc import Mapping
from typing import Any

import torch

from ...common.errors import UserError
from ..family import Adapter, State
from ..renaming import renamed
from .network import AFRCNN

_ORDER = {"conv": 0, "norm": 1}
_RENAMES = (
    (r"^encoder\.", "encoder_conv."),
    (r"^decoder\.", "decoder_conv."),
    (r"^ln\.", "bottleneck.0."),
    (r"^bottleneck\.(weight|bias)$", r"bottleneck.1.\1"),
    (r"^sm\.blocks?\.", "trunk.block."),
    (r"^sm\.concat_block\.", "trunk.rescale."),
    (r"\.proj_1x1\.", ".proj."),
    (r"\.spp_dw\.(\d+)\.conv\.", r".bottom_up.\1.0."),
    (r"\.spp_dw\.(\d+)\.norm\.", r".bottom_up.\1.1."),
    (r"\.fuse_layers\.(\d+)\.0\.(conv|norm)\.", lambda m: f".fusion.neighbours.down.{int(m[1]) - 1}.{_ORDER[m[2]]}."),
    (r"\.concat_layer\.", ".fusion.neighbours.fuse."),
    (r"\.last_layer\.0\.", ".fusion.last."),
    (r"\bgamma$", "weight"),
    (r"\bbeta$", "bias"),
)
_SAME = {
    "num_sources": "n_src", "enc_num_basis": "n_filters", "enc_kernel_size": "kernel_size", "out_channels": "bn_chan",
    "in_channels": "hid_chan", "upsampling_depth": "n_scales", "num_blocks": "num_iters", "sample_rate": "sample_rate",
}  # fmt: skip
_BLOCK = re.compile(r"sm\.blocks?\.")


class AFRCNNAdapter(Adapter):
    """The authors' checkpoints, of A-FRCNN and of A-FRCNN (sum).

    Sizes are read from the weights. The number of iterations is not in them (they are shared by all): ``num_blocks`` of
    the settings, which are the arguments of the original's constructor, or 16, the published main model.
    """

    name, system, model = "afrcnn-authors", "afrcnn", AFRCNN

    def unwrap(self, content: Mapping[str, Any]) -> tuple[State, Mapping[str, Any]] | None:
        """State and arguments of a file that the authors' trainer wrote with Asteroid's ``serialize``."""
        state = content.get("state_dict")
        if "model_args" in content and isinstance(state, Mapping) and self.recognises(state):
            return state, content["model_args"]
        return None

    def settings(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """The network's arguments, out of the authors' training configuration or as they are."""
        inner = document.get("audionet", document)
        return dict(inner.get("audionet_config", inner))

    def recognises(self, state: State) -> bool:
        """By its recurrent block under the authors' names."""
        return "ln.gamma" in state and any(_BLOCK.match(key) for key in state)

    def config(self, state: State, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Constructor arguments; what both the settings and the shapes say must agree."""
        told = {ours: settings[theirs] for theirs, ours in _SAME.items() if settings.get(theirs) is not None}
        for name, found in _sizes(state).items():
            if told.setdefault(name, found) != found:
                raise UserError(f"{self.name}: the settings say {name} {told[name]}, the weights {found}")
        return told

    def convert(self, state: State, settings: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        """The weights under our names."""
        return {renamed(key, _RENAMES): torch.as_tensor(tensor).float() for key, tensor in state.items()}


def _sizes(state: State) -> dict[str, Any]:
    """What the shapes say."""
    shapes = {_BLOCK.sub("block.", key): tuple(tensor.shape) for key, tensor in state.items()}
    try:
        n_filters, _, kernel_size = shapes["encoder.weight"]
        bn_chan, hid_chan, _ = shapes["block.res_conv.weight"]
        concat = "block.concat_layer.0.conv.weight" in shapes
        rows, n_outputs, _ = shapes["decoder.weight"]
    except KeyError as error:
        raise UserError(f"afrcnn-authors: the weights lack {error.args[0].replace('block.', 'sm.blocks.')!r}") from None
    n_src = shapes["mask_net.1.weight"][0] // n_filters
    return {
        "n_src": n_src, "n_filters": n_filters, "kernel_size": kernel_size, "bn_chan": bn_chan, "hid_chan": hid_chan,
        "n_scales": sum(re.fullmatch(r"block\.spp_dw\.\d+\.conv\.weight", key) is not None for key in shapes),
        "fusion": "concat" if concat else "sum",
        "decoder": "joint" if (rows, n_outputs) == (n_src * n_filters, n_src) else "shared",
    }  # fmt: skip
