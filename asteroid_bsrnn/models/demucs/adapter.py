"""Checkpoints of the Demucs project: hub files and old packages, plain weights, torchaudio's Hybrid Demucs.

Files of the hub hold class, ``args`` and ``kwargs`` as JSON text, old packages as a pickle. Classes are known by their
names; nothing is imported for them.
"""

import dataclasses
import json
import re
import warnings
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, ClassVar

import torch

from ...common.errors import UserError
from ..family import State
from ..renaming import RenamingAdapter
from .network import RENAMED, Demucs, HDemucs, HTDemucs
from .shapes import settings_of_hdemucs

BAG = ("models", "weights", "segment")
"""Keys of the file that describes a bag: its members, their weights by source, seconds per segment."""
IGNORED = ("use_train_segment", "t_weight_decay", "t_lr", "t_mask_type", "t_mask_random_seed", "t_sparse_attn_window",
           "t_global_window", "t_sparsity", "t_auto_sparsity")  # fmt: skip
"""Arguments that only matter to training or to sparse attention."""
FORK = {"audio_channels": "channels", "samplerate": "samplerate", "segment": "segment", "sources": "instruments"}
"""Arguments, and what the fork's section ``training`` calls them."""
SPARSE = ("t_sparse_self_attn", "t_sparse_cross_attn")


class DemucsPackage(RenamingAdapter):
    """The time-only network; the two below differ in their class. See :class:`~asteroid_bsrnn.models.family.Adapter`.

    Attributes:
        klasses: full names of the class in files.
        defaults: arguments whose default in the package is not ours.
    """

    name = "demucs"
    system = "demucs"
    model = Demucs
    needs_settings = True
    klasses: ClassVar[tuple[str, ...]] = ("demucs.demucs.Demucs",)
    defaults: ClassVar[dict[str, Any]] = {"rewrite": True, "dconv_init": 1e-4}

    def unwrap(self, content: Mapping[str, Any]) -> tuple[State, Mapping[str, Any]] | None:
        """Weights and arguments of a package ``{klass, args, kwargs, state}``, or of a hub file's texts and tensors."""
        if "klass" not in content or class_name(content["klass"]) not in self.klasses:
            return None
        state = content.get("state", {key: value for key, value in content.items() if torch.is_tensor(value)})
        if "structure" in content or not isinstance(state, Mapping) or not all(map(torch.is_tensor, state.values())):
            raise UserError(f"{self.name}: these weights are quantised (by diffq), which is not read")
        return state, self._named(self._values(content, "args", ())) | dict(self._values(content, "kwargs", {}))

    def _values(self, content: Mapping[str, Any], key: str, otherwise: Any) -> Any:
        """Arguments as they are in a package, or out of a hub file's text."""
        value = content.get(key, otherwise)
        try:
            return decoded(json.loads(value) if isinstance(value, str) else value)
        except ValueError as error:
            raise UserError(f"{self.name}: the {key} in the file's metadata are no JSON: {error}") from None

    def _named(self, args: Sequence[Any]) -> dict[str, Any]:
        """Positional arguments by their names."""
        names = [RENAMED.get(field.name, field.name) for field in dataclasses.fields(self.model.Config)]
        return dict(zip(names, args))

    def settings(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Arguments out of a document of the fork (a section named like the system); of a bag's description, none."""
        if "models" in document:
            return {key: value for key, value in document.items() if key not in BAG}
        section = document.get(str(document.get("model")), document.get(self.system))
        if not isinstance(section, Mapping):
            return dict(document)
        training = document.get("training") or {}
        return {ours: training[theirs] for ours, theirs in FORK.items() if training.get(theirs)} | dict(section)

    def recognises(self, state: State) -> bool:
        """By the first convolution, and that there is none two places behind it as in version 2."""
        return has_first_convolution(state) and "encoder.0.2.weight" not in state

    def config(self, state: State, settings: Mapping[str, Any]) -> dict[str, Any]:
        """The package's defaults, and over them what is set; an argument that the class does not have is left out."""
        given = dict(decoded(settings))
        given |= {"samplerate": given.pop("sample_rate")} if "sample_rate" in given else {}
        if any(given.pop(name, False) for name in SPARSE):
            raise UserError(f"{self.name}: sparse attention is not supported; published networks have none")
        fields = {RENAMED.get(field.name, field.name): field for field in dataclasses.fields(self.model.Config)}
        gone = [name for name in given if name not in fields and name not in IGNORED]
        if gone:
            unknown = f"arguments that {self.model.__name__} does not have are left out: {', '.join(gone)}"
            warnings.warn(f"{self.name}: {unknown}", stacklevel=2)
        config = self.defaults | {name: value for name, value in given.items() if name in fields}
        if not config.get("sources"):
            config["sources"] = self._numbered(state, config)
        return {fields[name].name: as_field(fields[name], value) for name, value in config.items()}

    def _numbered(self, state: State, config: Mapping[str, Any]) -> list[str]:
        """s1, s2, ...: as many as the last layer has blocks of the channels."""
        last = max(int(found[1]) for found in (re.match(r"decoder\.(\d+)\.", key) for key in state) if found)
        pattern = re.compile(rf"decoder\.{last}(\.layers\.0)?\.(conv_tr|\d+)\.bias")
        biases = [value for key, value in state.items() if pattern.fullmatch(key)]
        width = config.get("audio_channels", 2) * (1 if self.model is Demucs or not config.get("cac", True) else 2)
        return [f"s{index + 1}" for index in range(len(biases[-1]) // width)]

    def names(self, state: State) -> dict[str, str]:
        """The package's own names behind ``net.``."""
        return {key: f"net.{key}" for key in state}


class HDemucsPackage(DemucsPackage):
    """Hybrid Demucs. Plain weights without settings are read by their shapes."""

    name = "hdemucs"
    system = "hdemucs"
    model = HDemucs
    needs_settings = False
    klasses: ClassVar[tuple[str, ...]] = ("demucs.hdemucs.HDemucs", "demucs.wdemucs.WDemucs")
    defaults = {"dconv_init": 1e-4, "multi_freqs_depth": 2, "segment": 40}

    def recognises(self, state: State) -> bool:
        """By the first convolution, and that there is no transformer."""
        first = {"encoder.0.conv.weight", "encoder.0.layers.0.conv.weight"}
        return bool(first & set(state)) and not any(key.startswith("crosstransformer.") for key in state)

    def config(self, state: State, settings: Mapping[str, Any]) -> dict[str, Any]:
        """As for the other networks; where nothing is set but names and rate, the shapes tell."""
        if set(settings) <= {"sources", "samplerate", "sample_rate", "segment"}:
            settings = {**settings_of_hdemucs(state), **settings}
        return super().config(state, settings)


class HTDemucsPackage(DemucsPackage):
    """Hybrid Transformer Demucs."""

    name = "htdemucs"
    system = "htdemucs"
    model = HTDemucs
    klasses = ("demucs.htdemucs.HTDemucs",)
    defaults = {"dconv_mode": 1, "bottom_channels": 0, "t_dropout": 0.0, "segment": 10}

    def recognises(self, state: State) -> bool:
        """By its transformer."""
        return any(key.startswith("crosstransformer.") for key in state)


class TorchaudioHDemucs(HDemucsPackage):
    """torchaudio's Hybrid Demucs: the same network, its parts under other names."""

    name = "torchaudio-hdemucs"
    klasses = ()

    def recognises(self, state: State) -> bool:
        """By the first convolution."""
        return "freq_encoder.0.conv.weight" in state

    def config(self, state: State, settings: Mapping[str, Any]) -> dict[str, Any]:
        """By the shapes, and what is set."""
        return super().config({of_package(key): value for key, value in state.items()}, settings)

    def names(self, state: State) -> dict[str, str]:
        """The package's names; a norm that torchaudio builds and does not use is dropped."""
        last = max((int(key.split(".")[1]) for key in state if key.startswith("time_encoder.")), default=-1)
        used = [key for key in state if not key.startswith(f"time_encoder.{last}.norm1.")]
        return {key: f"net.{of_package(key)}" for key in used}


def has_first_convolution(state: State) -> bool:
    """Whether these may be weights of a time-only Demucs of any version."""
    return "encoder.0.0.weight" in state and "decoder.0.0.weight" in state and state["encoder.0.0.weight"].ndim == 3


def of_package(key: str) -> str:
    """The package's name of a weight of torchaudio."""
    return re.sub("^freq_(?=..coder)", "", re.sub("^time_", "t", key))


def class_name(klass: Any) -> str:
    """Full name of a class, of its name as text, or of what a reader that imports nothing puts in its place."""
    if isinstance(klass, str):
        return klass
    return f"{klass.__module__}.{klass.__qualname__}" if isinstance(klass, type) else str(getattr(klass, "name", klass))


def decoded(value: Any) -> Any:
    """Plain values; fractions, in each of the forms that files hold, as numbers."""
    if isinstance(value, Mapping):
        if value.get("_type") == "fraction":
            return value["numerator"] / value["denominator"]
        return {key: decoded(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [decoded(entry) for entry in value]
    if getattr(value, "name", None) == "fractions.Fraction":
        return _quotient(*value.args)
    return float(value) if isinstance(value, Fraction) else value


def _quotient(above: Any, below: int = 1) -> float:
    parts = str(above).split("/")
    return int(parts[0]) / int(parts[1] if len(parts) > 1 else below)


def as_field(field: dataclasses.Field, value: Any) -> Any:
    """A whole number that a file holds as 2.0, as whole."""
    whole = field.type in (int, int | None) and isinstance(value, float) and value.is_integer()
    return int(value) if whole else value
