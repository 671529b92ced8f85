"""SCNet's public checkpoints: those of the Music-Source-Separation-Training fork, and the authors' training file."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ...common.errors import UserError
from ..family import State
from ..renaming import RenamingAdapter, count
from .network import SCNet

FIRST = "encoder.0.SDlayer.convs.0.weight"
POSITION = "pos_embed_f"
WORDS = ("dims", "nfft", "hop_size", "win_size", "normalized", "band_SR", "band_stride", "band_kernel", "conv_depths",
         "compress", "conv_kernel", "num_dplayer", "expand", "standardise")  # fmt: skip
"""Settings that are called the same here and there (``standardise`` is ours: the two classes take equal arguments)."""
ASKED = ("nfft", "hop_size", "band_SR", "band_stride")
"""Settings that no shape shows."""
NAMES = (
    (r"(encoder\.\d+)\.SDlayer\.convs\.(\d+)\.", r"\1.downs.\2."),
    (r"(encoder\.\d+)\.conv_modules\.(\d+)\.layers\.(\d+)\.", r"\1.convs.\2.\3."),
    (r"(encoder\.\d+)\.globalconv\.", r"\1.out."),
    (r"(decoder\.\d+)\.0\.conv\.", r"\1.mix."),
    (r"(decoder\.\d+)\.1\.convtrs\.(\d+)\.", r"\1.ups.\2."),
    (r"separation_net\.dp_modules\.(\d+)\.(lstm|linear|norm)_layers\.(\d+)\.", r"separator.\1.\3.\2."),
)
"""Their names and ours."""


class ForkSCNet(RenamingAdapter):
    """Plain weights with a YAML file, as the fork publishes them; see :class:`~asteroid_bsrnn.models.family.Adapter`.

    The two classes take equal arguments, and only the authors' standardises what it reads: weights with a configuration file
    of the fork do without, constructor arguments alone (:func:`asteroid_bsrnn.convert.from_foreign`) mean the authors', and a
    setting ``standardise`` decides.
    """

    name = "msst-scnet"
    system = "scnet"
    model = SCNet
    needs_settings = True
    in_files = {"standardise": False}

    def settings(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """The section ``model`` with sources and rate; a document without it is taken as the section itself."""
        if not isinstance(document.get("model"), Mapping):
            return self.in_files | dict(document)
        training, model = document.get("training") or {}, dict(document["model"])
        target = training.get("target_instrument")
        sources = model.get("sources") or ([target] if target else training.get("instruments"))
        rate = (document.get("audio") or {}).get("sample_rate") or (document.get("data") or {}).get("samplerate")
        return (
            self.in_files
            | model
            | {key: value for key, value in (("sources", sources), ("sample_rate", rate)) if value}
        )

    def recognises(self, state: State) -> bool:
        """By the first convolution and the dual-path layers."""
        return FIRST in state and any(key.startswith("separation_net.dp_modules.") for key in state)

    def config(self, state: State, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Arguments of SCNet: what is set, and where nothing is, what the shapes show."""
        found = self._of_shapes(state) | {word: settings[word] for word in WORDS if settings.get(word) is not None}
        missing = [word for word in ASKED if word not in found]
        if missing:
            raise UserError(
                f"{self.name}: the settings lack {', '.join(missing)}, which the weights do not show: give a configuration file (--config)"
            )
        n_src = found.pop("n_src")
        found["sources"] = settings.get("sources") or [f"s{index + 1}" for index in range(n_src)]
        found["sample_rate"] = settings.get("sample_rate") or 44100
        masked = POSITION in state
        return {"standardise": not masked} | found | {"in_channels": found["dims"][0] // 2, "masked": masked}

    def _of_shapes(self, state: State) -> dict[str, Any]:
        try:
            return _of_shapes(state)
        except (KeyError, IndexError, ZeroDivisionError) as error:
            raise UserError(f"{self.name}: the weights lack {error.args[0]!r}") from None

    def names(self, state: State) -> dict[str, str]:
        """Our names; the masked variant's head is told by its kernels."""
        return {key: _renamed(key, state) for key in state}


class AuthorsSCNet(ForkSCNet):
    """The authors' training file: the best weights in it, for their class, which standardises what it reads."""

    name = "scnet-authors"
    in_files = {}

    def unwrap(self, content: Mapping[str, Any]) -> tuple[State, Mapping[str, Any]] | None:
        """``best_state`` of the trainer's file; the last weights and the averages beside it are left."""
        best = content.get("best_state")
        if not isinstance(best, Mapping) or "best_nsdr" not in content:
            return None
        state = {key.removeprefix("module."): value for key, value in best.items()}
        return (state, {"standardise": True}) if self.recognises(state) else None


def _of_shapes(state: State) -> dict[str, Any]:
    """What the weights show of the settings."""
    dims = [state[FIRST].shape[1]]
    while f"encoder.{len(dims) - 1}.SDlayer.convs.0.weight" in state:
        dims.append(len(state[f"encoder.{len(dims) - 1}.SDlayer.convs.0.weight"]))
    band = next((band for band in range(3) if f"encoder.0.conv_modules.{band}.layers.0.1.weight" in state), None)
    found = {
        "dims": dims,
        "n_src": state[f"decoder.{len(dims) - 2}.1.convtrs.0.weight"].shape[1] // dims[0],
        "band_kernel": [state[f"encoder.0.SDlayer.convs.{band}.weight"].shape[2] for band in range(3)],
        "conv_depths": [count(state, rf"encoder\.0\.conv_modules\.{band}\.layers\.(\d+)\.") for band in range(3)],
        "num_dplayer": count(state, r"separation_net\.dp_modules\.(\d+)\."),
        "expand": state["separation_net.dp_modules.0.lstm_layers.0.weight_hh_l0"].shape[1] // dims[-1],
    }
    if band is not None:
        convs = [state[f"encoder.{stage}.conv_modules.{band}.layers.0.1.weight"] for stage in range(len(dims) - 1)]
        found |= {"compress": _compress(dims[1:], [len(conv) // 2 for conv in convs]), "conv_kernel": convs[0].shape[2]}
    if POSITION in state:
        found["nfft"] = 2 * (state[POSITION].shape[2] - 1)
    return found


def _compress(dims: Sequence[int], hids: Sequence[int]) -> float:
    """The reduction that gives these widths, rounded down; a whole number if one does."""
    fitting = (ratio for ratio in range(1, dims[0] + 1) if [dim // ratio for dim in dims] == hids)
    return next(fitting, dims[0] / hids[0])


def _renamed(key: str, state: State) -> str:
    """Our name of a weight; one that is none of theirs stays as it is, and is refused later."""
    for theirs, ours in NAMES:
        name, count = re.subn("^" + theirs, ours, key)
        if count:
            return name
    if POSITION in state:
        return "position" if key == POSITION else _of_mask(key, state)
    return key


def _of_mask(key: str, state: State) -> str:
    module, _, kind = key.rpartition(".")
    weight = state.get(f"{module}.weight")
    if weight is None or weight.ndim != 4:
        return key
    return f"mask.{0 if weight.shape[-1] == 3 else 2}.{kind}"
