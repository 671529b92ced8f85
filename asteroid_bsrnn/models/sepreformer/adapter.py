"""Weights of the authors' SepReformer under our names.

Source: github dmlguq456/SepReformer (commit 43cbad8): ``model_state_dict`` of its ``epoch.NNNN.pth``. A map of renames;
1x1 convolutions are linear layers here.
"""

import re
from collections.abc import Mapping
from typing import Any

import torch

from ...common.errors import UserError
from ..family import State
from ..renaming import RenamingAdapter, renamed
from .network import SepReformer

_ENCODER, _DECODER = r"separator\.enc_stages\.(\d+)\.", r"separator\.dec_stages\.(\d+)\."
_PART = {"g_block": "glob", "l_block": "local", "spk_attn": "speakers"}
#: (pattern, replacement), one after the other
_RENAMES = (
    (r"^audio_encoder\.conv1d\.", "encoder."),
    (r"^feature_projector\.norm\.", "norm."),
    (r"^feature_projector\.conv1d\.", "project."),
    (r"^out_layer\.end_conv1x1\.", "head."),
    (r"^audio_decoder\.", "decoder."),
    (r"^out_layer_bn\.(\d+)\.end_conv1x1\.", r"auxiliary.\1.head."),
    (r"^decoder_bn\.(\d+)\.", r"auxiliary.\1.decoder."),
    (r"^separator\.pos_emb\.pe_k\.", "separator.positions."),
    (r"^separator\.spk_split_block\.", "separator.splits.0."),
    (r"^separator\.spk_split_blocks\.", "separator.splits."),
    (r"^separator\.simple_fusion\.", "separator.fuse."),
    (rf"^{_ENCODER}downconv\.down_conv\.", r"separator.down.\1.conv."),
    (rf"^{_ENCODER}downconv\.BN\.", r"separator.down.\1.norm."),
    (rf"^{_ENCODER}", r"separator.encoder.\1."),
    (rf"^{_DECODER}", r"separator.decoder.\1."),
    (r"^separator\.bottleneck_G\.", "separator.bottom."),
    (r"\b(g_block|l_block|spk_attn)_(\d)\.", lambda found: f"{int(found[2]) - 1}.{_PART[found[1]]}."),
    (r"\bblock\.ega\.block\.linear\.0\.", "norm."),
    (r"\bblock\.ega\.block\.linear\.1\.", "gate."),
    (r"\b(block\.ega\.block\.)?self_attn\.", "attention."),
    (r"\bblock\.gcfn\.", "feed_forward."),
    (r"\bblock\.cla\.", ""),
    (r"\bLayer_scale\.layer_scale$", "scale"),
    (r"\blayer_norm\.", "norm."),
    (r"\blinear_q\.", "query."),
    (r"\blinear_k\.", "key."),
    (r"\blinear_v\.", "value."),
    (r"\blinear_out\.", "out."),
    (r"\bnet1\.0\.", "norm."),
    (r"\b(net1\.1|linear1|linear\.0)\.", "expand."),
    (r"\b(net2\.2|linear3\.1|linear\.2)\.", "contract."),
    (r"\bhead\.0\.", "head.expand."),
    (r"\bhead\.2\.", "head.contract."),
    (r"\blinear2\.", "widen."),
    (r"\bdw_conv_1d\.", "depthwise."),
    (r"\bBN\.", "batch_norm."),
)
_LINEAR = re.compile(r"(project|separator\.splits\.\d+\.(expand|contract)|separator\.fuse\.\d+)\.weight")
_KNOWN = "separator.pos_emb.pe_k.weight"


class SepReformerAdapter(RenamingAdapter):
    """The authors' checkpoints. Auxiliary heads are dropped unless the settings say ``auxiliary: true``.

    Sizes are read from the weights; settings are the arguments of the original's constructor, of which only the
    encoder's stride (without settings a quarter of the kernel, as in all published sizes) and the dropout are needed.
    """

    name, system, model = "sepreformer-authors", "sepreformer", SepReformer

    def settings(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """The model's section of the authors' ``configs.yaml``, or the document itself."""
        inner = document.get("config", document)
        return dict(inner.get("model", inner))

    def recognises(self, state: State) -> bool:
        """By two names that no other system has."""
        return _KNOWN in state and "audio_encoder.conv1d.weight" in state

    def config(self, state: State, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Constructor arguments, from shapes; what the settings say as well must agree."""
        found = _sizes(state)
        for name, told in _told(settings).items():
            if found.setdefault(name, told) != told:
                raise UserError(f"{self.name}: the settings say {name} {told}, the weights {found[name]}")
        found.setdefault("stride", max(1, found["kernel_size"] // 4))
        return found

    def convert(self, state: State, settings: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        """The weights under our names; auxiliary heads go unless they are asked for."""
        dropped = () if self.config(state, settings)["auxiliary"] else ("auxiliary.",)
        weights = super().convert(state, settings)
        return {name: _reshaped(name, value) for name, value in weights.items() if not name.startswith(dropped)}

    def names(self, state: State) -> dict[str, str]:
        """Our names, of auxiliary heads too."""
        return {key: renamed(key, _RENAMES) for key in state}


def _reshaped(name: str, tensor: torch.Tensor) -> torch.Tensor:
    if name.endswith(".scale"):
        return tensor.flatten()
    return tensor.squeeze(-1) if _LINEAR.fullmatch(name) and tensor.ndim == 3 else tensor


def _sizes(state: State) -> dict[str, Any]:
    """What the shapes say."""
    shapes = {key: tuple(tensor.shape) for key, tensor in state.items()}
    try:
        n_filters, _, kernel_size = shapes["audio_encoder.conv1d.weight"]
        bn_chan = shapes["feature_projector.conv1d.weight"][0]
        rows, columns = shapes[_KNOWN]
        shared = "separator.spk_split_block.linear.0.weight" in shapes
        split = "separator.spk_split_block" if shared else "separator.spk_split_blocks.0"
        n_src = shapes[f"{split}.linear.0.weight"][0] // (4 * bn_chan)
        local = shapes["separator.bottleneck_G.l_block_1.block.cla.dw_conv_1d.weight"][-1]
        down = shapes["separator.enc_stages.0.downconv.down_conv.weight"][-1]
    except KeyError as error:
        raise UserError(f"sepreformer-authors: the weights lack {error.args[0]!r}") from None
    return {
        "n_src": n_src, "n_filters": n_filters, "kernel_size": kernel_size, "bn_chan": bn_chan,
        "n_stages": sum(key.endswith("downconv.down_conv.weight") for key in shapes), "n_heads": bn_chan // columns,
        "max_rel": rows // 2, "local_kernel": local, "down_kernel": down, "shared_split": shared,
    }  # fmt: skip


def _told(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What the settings say, in our words."""
    encoder, blocks = settings.get("module_audio_enc") or {}, settings
    for name in ("module_separator", "enc_stage", "global_blocks"):
        blocks = blocks.get(name) or {}
    told = {
        "n_src": settings.get("num_spks"),
        "n_stages": settings.get("num_stages"),
        "stride": encoder.get("stride"),
        "n_heads": blocks.get("num_mha_heads"),
        "dropout": blocks.get("dropout_rate"),
        "sample_rate": settings.get("sample_rate"),
    }
    told = {name: value for name, value in told.items() if value is not None}
    return {**told, "auxiliary": bool(settings.get("auxiliary", False))}
