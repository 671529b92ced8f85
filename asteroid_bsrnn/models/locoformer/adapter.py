"""Weights of the authors' TF-Locoformer under our names.

Source: github merlresearch/tf-locoformer (commit b76d38b), an ESPnet separator: ``valid.loss.ave_5best.pth`` and the
``config.yaml`` beside it. A map of renames; the frozen rotary numbers are checked and dropped.
"""

import re
from collections.abc import Mapping
from typing import Any

import torch

from ...common.errors import UserError
from ..family import State
from ..renaming import RenamingAdapter, renamed
from .layers import rotary_frequencies
from .network import TFLocoformer

_RENAMES = (
    (r"^conv\.0\.", "embed."),
    (r"^conv\.1\.", "norm."),
    (r"^deconv\.", "spectra."),
    (r"\bfreq_path\.", "over_bins."),
    (r"\bframe_path\.", "over_frames."),
    (r"\bffn_norm\.0\.", "behind.norm."),
    (r"\bffn_norm\.1\.", "before.0.norm."),
    (r"\bffn\.0\.", "behind.inner."),
    (r"\bffn\.1\.", "before.0.inner."),
    (r"\bconv1d\.", "conv."),
    (r"\bdeconv1d\.", "deconv."),
    (r"\battn_norm\.", "attention.norm."),
    (r"\battn\.aggregate_heads\.0\.", "attention.inner.out."),
    (r"\battn\.", "attention.inner."),
)
_SAME = {
    "num_spk": "n_src", "n_layers": "n_blocks", "emb_dim": "emb_dim", "norm_type": "norm", "num_groups": "n_groups",
    "tf_order": "order", "n_heads": "n_heads", "attention_dim": "attention_dim", "ffn_hidden_dim": "ffn_hidden",
    "conv1d_kernel": "conv_kernel", "conv1d_shift": "conv_shift", "dropout": "dropout", "eps": "eps",
    "sample_rate": "sample_rate",
}  # fmt: skip
_FREQUENCIES = ".rope.freqs"
_PREFIX = "separator."


class TFLocoformerAdapter(RenamingAdapter):
    """The authors' weights. Sizes are read from the weights; the STFT has to be told.

    Settings are the original's constructor arguments and ``stft: {n_fft, hop_length}``.
    """

    name, system, model = "tf-locoformer-espnet", "tf_locoformer", TFLocoformer
    needs_settings = True

    def settings(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Out of ESPnet's ``config.yaml``.

        Raises:
            UserError: if it configures another separator, or does not divide the mixture by its deviation.
        """
        if "separator_conf" not in document:
            return dict(document)
        if document.get("separator") not in (None, "tflocoformer"):
            raise UserError(f"{self.name}: the configuration is for the separator {document['separator']!r}")
        if not (document.get("model_conf") or {}).get("normalize_variance", True):
            raise UserError(f"{self.name}: model_conf.normalize_variance is false; only the published true is known")
        rate = {} if document.get("sample_rate") is None else {"sample_rate": document["sample_rate"]}
        return {**document["separator_conf"], "stft": document.get("encoder_conf") or {}, **rate}

    def recognises(self, state: State) -> bool:
        """By a name that no other system has."""
        return any(re.match(r"(separator\.)?blocks\.0\.(freq|frame)_path\.attn\.qkv\.weight", key) for key in state)

    def config(self, state: State, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Constructor arguments; what both the settings and the shapes say must agree."""
        told = {ours: settings[theirs] for theirs, ours in _SAME.items() if settings.get(theirs) is not None}
        for kind in settings.get("ffn_type") or ():
            if kind != "swiglu_conv1d":
                raise UserError(f"{self.name}: ffn_type {kind!r} is unknown; known is swiglu_conv1d")
        for name, found in _sizes(state).items():
            if told.setdefault(name, found) != found:
                raise UserError(f"{self.name}: the settings say {name} {told[name]}, the weights {found}")
        return {**told, **self._stft(settings.get("stft") or {})}

    def _stft(self, stft: Mapping[str, Any]) -> dict[str, int]:
        missing = [key for key in ("n_fft", "hop_length") if stft.get(key) is None]
        if missing:
            raise UserError(
                f"{self.name}: the weights do not say {missing[0]} of the STFT: give the config.yaml beside them"
            )
        usual = {"win_length": stft["n_fft"], "window": "hann", "center": True, "normalized": False, "onesided": True}
        for key, value in usual.items():
            if stft.get(key) not in (None, value):
                raise UserError(f"{self.name}: stft.{key} {stft[key]!r} is unknown; known is {value!r}")
        return {"n_fft": stft["n_fft"], "hop": stft["hop_length"]}

    def convert(self, state: State, settings: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        """The weights under our names.

        Raises:
            UserError: for rotary numbers that are not the usual ones.
        """
        for key in state:
            if key.endswith(_FREQUENCIES):
                self._check_frequencies(key, state[key])
        return super().convert(state, settings)

    def names(self, state: State) -> dict[str, str]:
        """Our names; the rotary numbers have none."""
        kept = [key for key in state if not key.endswith(_FREQUENCIES)]
        return {key: renamed(key.removeprefix(_PREFIX), _RENAMES) for key in kept}

    def _check_frequencies(self, key: str, tensor: torch.Tensor) -> None:
        found = torch.as_tensor(tensor).float().cpu()
        if not torch.allclose(found, rotary_frequencies(2 * len(found)), rtol=1e-6, atol=1e-6):
            raise UserError(f"{self.name}: {key} holds other rotary frequencies than 10000 ** (-2 j / width)")


def _sizes(state: State) -> dict[str, Any]:
    """What the shapes say."""
    shapes = {key.removeprefix(_PREFIX): tuple(tensor.shape) for key, tensor in state.items()}
    path = "blocks.0.freq_path"
    try:
        emb_dim, attention_dim = shapes[f"{path}.attn.aggregate_heads.0.weight"]
        networks = [f"{path}.ffn.{index}.deconv1d.weight" for index in (1, 0)]
        sizes = {
            "n_src": shapes["deconv.bias"][0] // 2,
            "n_blocks": 1 + max(int(key.split(".")[1]) for key in shapes if key.startswith("blocks.")),
            "emb_dim": emb_dim,
            "attention_dim": attention_dim,
            "ffn_hidden": [shapes[key][0] for key in networks if key in shapes],
            "conv_kernel": shapes[networks[-1]][-1],
            "norm": "rmsgroupnorm" if f"{path}.attn_norm.gamma" in shapes else "layernorm",
        }
    except KeyError as error:
        raise UserError(f"tf-locoformer-espnet: the weights lack {error.args[0]!r}") from None
    frequencies = shapes.get(f"{path}.attn{_FREQUENCIES}")
    return sizes if frequencies is None else {**sizes, "n_heads": attention_dim // (2 * frequencies[0])}
