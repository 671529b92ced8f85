"""The reference's configuration in our words."""

from collections.abc import Mapping, Sequence
from typing import Any

from ...common.errors import UserError
from ..layers.checks import as_lists, source_names

#: reference's name -> ours, where the value carries over as it is
_SAME = {
    "sample_rate": "sample_rate",
    "n_fft": "n_fft",
    "n_hop": "n_hop",
    "nb_channels": "in_channels",
    "feature_dim": "feature_dim",
    "num_repeat": "n_repeats",
    "fac_sep": "hid_ratio",
    "bidirectional": "bidirectional",
    "fac_mask": "mask_ratio",
    "mask_ctxt": "mask_context",
    "subtract_last_trgt": "residual_source",
    "n_heads": "n_heads",
    "group_num": "group_num",
    "n_att_head": "n_attn_heads",
    "attn_enc_dim": "attn_dim",
    "stereo": "stereo",
    "fac_tac": "tac_ratio",
    "act_tac": "tac_act",
    "eps": "eps",
}
_MAY_BE_NONE = ("group_num", "stereo")


def told_arguments(hyper_parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Constructor arguments that the reference's ``hyper_parameters`` state and that matter for the architecture.

    Left out is what has no effect in the configuration at hand (the attention's size without attention, TAC's
    activation without TAC) and whatever is not about the architecture.

    Raises:
        UserError: if it is no mapping, or a layer's own settings are incomplete.
    """
    if not isinstance(hyper_parameters, Mapping):
        raise UserError(f"hyper_parameters must map names to values, got {type(hyper_parameters).__name__}")
    values = {name: as_lists(value) for name, value in hyper_parameters.items()}
    told = {ours: values[name] for name, ours in _SAME.items() if name in values}
    told = {name: value for name, value in told.items() if value is not None or name in _MAY_BE_NONE}
    targets = values.get("targets", values.get("target"))
    if targets is not None:
        several = isinstance(targets, Sequence) and not isinstance(targets, str)
        told["sources"] = source_names(tuple(targets) if several else targets)
    if not told.get("n_attn_heads"):
        told.pop("attn_dim", None)
    if told.get("stereo", "tac") != "tac":
        told.pop("tac_ratio", None), told.pop("tac_act", None)
    told.update(_layers(values, told))
    return told


def _layers(values: Mapping[str, Any], told: dict[str, Any]) -> dict[str, Any]:
    layers: dict[str, Any] = {}
    dilated: dict[int, list[int]] = {}
    for axis, name in enumerate(("time_layer", "band_layer")):
        if name not in values:
            continue
        value = values[name]
        if isinstance(value, Mapping):
            layers[name] = "dilated"
            missing = [key for key in ("n_dil_conv", "ks", "hs_fac") if key not in value]
            if missing:
                raise UserError(f"{name} in hyper_parameters lacks {', '.join(missing)}")
            dilated[axis] = [int(value[key]) for key in ("n_dil_conv", "ks", "hs_fac")]
        else:
            layers[name] = "none" if value is None else str(value).lower()
    if set(layers.values()) <= {"dilated", "none"} and layers:
        told.pop("hid_ratio", None), told.pop("bidirectional", None)
    return {**layers, **of_both_nets(dilated)}


def of_both_nets(dilated: Mapping[int, Sequence[int]]) -> dict[str, Any]:
    """Arguments of dilated nets from (layers, kernel, ratio) of those along time (0) and bands (1), as far as there are any."""
    if not dilated:
        return {}
    default = next(iter(dilated.values()))
    pairs = zip(dilated.get(0, default), dilated.get(1, default))
    names = ("n_dilated", "dilated_kernel", "dilated_ratio")
    return {name: time if time == band else [time, band] for name, (time, band) in zip(names, pairs)}
