"""Weights of the fork that all public RoFormers come from: its names are ours, its settings are translated here."""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch

from ...common.errors import UserError
from ...common.registry import nearest
from ..family import Adapter, State
from ..layers.checks import as_lists
from . import shapes
from .network import BSRoFormer, MelBandRoFormer
from .transformer import BASE

SAME = {
    "sample_rate": "sample_rate",
    "stft_n_fft": "n_fft",
    "stft_hop_length": "n_hop",
    "stft_win_length": "win_length",
    "stft_normalized": "normalized",
    "dim": "feature_dim",
    "depth": "n_repeats",
    "time_transformer_depth": "n_time_layers",
    "freq_transformer_depth": "n_band_layers",
    "linear_transformer_depth": "n_linear_layers",
    "heads": "n_heads",
    "dim_head": "dim_head",
    "mlp_expansion_factor": "mask_ratio",
    "attn_dropout": "attn_dropout",
    "ff_dropout": "ff_dropout",
    "skip_connection": "skip",
    "zero_dc": "zero_dc",
}
"""Their word -> ours, where the value carries over as it is."""

DEFAULTS: dict[str, Any] = {"sample_rate": 44100, "stft_normalized": False, "skip_connection": False, "zero_dc": True}
DEFAULTS |= {"attn_dropout": 0.0, "ff_dropout": 0.0}
"""What the fork takes where a setting is missing and leaves no trace in the weights."""

WITHOUT_EFFECT = (
    "flash_attn",
    "sage_attention",
    "use_torch_checkpoint",
    "match_input_audio_length",
    "multi_stft_",
    "active_stem_ids",
)
OTHERS = ("stereo", "num_stems", "mask_estimator_depth", "dim_freqs_in", "sources", "chunk_size", "use_pope")
"""Further words: translated, or compared with the others; sources and chunk come from other sections of the file."""

FREQUENCIES = ".rotary_embed.freqs"


class RoFormerWeights(Adapter):
    """What both formats share.

    Attributes:
        own: a weight that only this network has.
        hidden: layers that their ``mask_estimator_depth`` counts beyond the hidden ones.
        words: settings that only this network has.
    """

    needs_settings = True
    own: ClassVar[str]
    hidden: ClassVar[int]
    words: ClassVar[tuple[str, ...]]

    def settings(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Section ``model`` of a training configuration with its sources, rate and chunk; other mappings as given."""
        if not isinstance(document.get("model"), Mapping):
            return dict(document)
        audio, training, inference = (document.get(name) or {} for name in ("audio", "training", "inference"))
        target = training.get("target_instrument")
        more = {
            "sources": [target] if target else training.get("instruments"),
            "sample_rate": audio.get("sample_rate"),
            "chunk_size": inference.get("chunk_size") or audio.get("chunk_size"),
        }
        return {**{name: value for name, value in more.items() if value is not None}, **document["model"]}

    def recognises(self, state: State) -> bool:
        needed = ("band_split.to_features.0.0.gamma", "mask_estimators.0.to_freqs.0.0.0.weight", self.own)
        return all(name in state for name in needed)

    def config(self, state: State, settings: Mapping[str, Any]) -> dict[str, Any]:
        told = {name: as_lists(value) for name, value in self.settings(settings).items() if value is not None}
        self._check(told)
        if not self.recognises(state):
            raise UserError(f"{self.name}: these are no weights of a {self.model.__name__}")
        found = {**shapes.trunk(state), **self.found(state, told)}
        found["mask_estimator_depth"] = found.pop("hidden_layers") + self.hidden
        words = {**DEFAULTS, **found, **told}
        words.setdefault("stft_win_length", words.get("stft_n_fft"))
        for name in (*SAME, "stereo"):
            if name not in words:
                raise UserError(f"{self.name}: the setting {name!r} is missing, and the weights do not tell it")
        return {
            **{ours: words[theirs] for theirs, ours in SAME.items()},
            "in_channels": 2 if words["stereo"] else 1,
            "gate": any(key.endswith(".to_gates.weight") for key in state),
            "mask_depth": words["mask_estimator_depth"] - self.hidden,
            "sources": self._sources(words),
            **({"segment": words["chunk_size"] / words["sample_rate"]} if "chunk_size" in words else {}),
            **self.more(words),
        }

    def _check(self, told: Mapping[str, Any]) -> None:
        """Refuse settings that mean something else here, or that nobody knows."""
        if told.get("use_pope"):
            raise UserError(
                f"{self.name}: use_pope is another kind of positions (PoPE), which {self.model.__name__} does not have"
            )
        known = [*SAME, *self.words, *OTHERS]
        for name, value in told.items():
            if value is not False and name not in known and not name.startswith(WITHOUT_EFFECT):
                raise UserError(
                    f"{self.name}: unknown setting {name!r}: {nearest(name, known)}known are {', '.join(known)}"
                )
        n_bins = told.get("stft_n_fft", 0) // 2 + 1
        if "stft_n_fft" in told and told.get("dim_freqs_in", n_bins) != n_bins:
            raise UserError(
                f"{self.name}: dim_freqs_in {told['dim_freqs_in']} does not fit stft_n_fft {told['stft_n_fft']}"
            )

    def _sources(self, words: Mapping[str, Any]) -> tuple[str, ...]:
        names = words.get("sources", [f"s{number + 1}" for number in range(words["num_stems"])])
        if len(names) != words["num_stems"]:
            listed = ", ".join(map(str, names))
            raise UserError(
                f"{self.name}: num_stems is {words['num_stems']}, but the settings name {len(names)} sources ({listed})"
            )
        return tuple(names)

    def convert(self, state: State, settings: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        """The weights in float32; the frequencies of the rotary positions are checked and dropped."""
        for name in state:
            if name.endswith(FREQUENCIES):
                self._check_frequencies(name, state[name])
        return {name: tensor.float() for name, tensor in state.items() if not name.endswith(FREQUENCIES)}

    def _check_frequencies(self, name: str, freqs: torch.Tensor) -> None:
        expected = BASE ** -(torch.arange(len(freqs)) / len(freqs))
        if not torch.allclose(freqs.float(), expected, rtol=1e-2, atol=1e-4):
            raise UserError(f"{self.name}: the rotary frequencies {name!r} are not 10000^(-2i/dim_head)")

    def found(self, state: State, told: Mapping[str, Any]) -> dict[str, Any]:
        """Settings of the bands that the weights tell."""
        raise TypeError(f"{type(self).__name__} needs a method 'found'")

    def more(self, words: Mapping[str, Any]) -> dict[str, Any]:
        """Constructor arguments that only this network has."""
        raise TypeError(f"{type(self).__name__} needs a method 'more'")


class BSRoFormerWeights(RoFormerWeights):
    """BS-RoFormer of the fork: one norm at the end of the trunk."""

    name, system, model = "msst-bs-roformer", "bs_roformer", BSRoFormer
    own, hidden, words = "final_norm.gamma", 1, ("freqs_per_bands",)

    def found(self, state: State, told: Mapping[str, Any]) -> dict[str, Any]:
        return shapes.split(state)

    def more(self, words: Mapping[str, Any]) -> dict[str, Any]:
        return {"bands": words["freqs_per_bands"], "final_norm": "shared"}


class MelBandRoFormerWeights(RoFormerWeights):
    """Mel-Band RoFormer of the fork: a norm at the end of every transformer; its depth counts hidden layers only."""

    name, system, model = "msst-mel-band-roformer", "mel_band_roformer", MelBandRoFormer
    own, hidden, words = "layers.0.0.norm.gamma", 0, ("num_bands",)

    def found(self, state: State, told: Mapping[str, Any]) -> dict[str, Any]:
        return shapes.mel_split(state, told)

    def more(self, words: Mapping[str, Any]) -> dict[str, Any]:
        return {"n_bands": words["num_bands"]}
