"""Constructor arguments of a BSRNN from the keys and shapes of a reference state_dict, and from its configuration."""

import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from statistics import mode
from typing import Any

from ...common.errors import UserError
from .bands import SCHEMES, Scheme, band_widths, choose_scheme, scheme_from_widths
from .reference_settings import of_both_nets, told_arguments

SIMO_SOURCES = tuple(name for name in SCHEMES if name != "joint")
"""Sources of the authors' joint models, in their order."""

Shapes = Mapping[str, Sequence[int]]
Find = Callable[..., None]


def infer_arguments(
    shapes: Shapes,
    hyper_parameters: Mapping[str, Any] | None = None,
    sources: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Everything that :class:`~asteroid_bsrnn.models.BSRNN` needs to hold these weights.

    Args:
        shapes: key -> shape, keys in the current style (``maskers.0.mask...``).
        hyper_parameters: the reference's configuration; what is not architecture is ignored.
        sources: names that override those of the configuration.

    Returns:
        Keyword arguments.

    Raises:
        UserError: if the keys are of another architecture or the configuration contradicts the shapes.
    """
    told = told_arguments(hyper_parameters or {})
    if not any(key.startswith("BN.") for key in shapes) or not any(key.startswith("maskers.") for key in shapes):
        first = ", ".join(list(shapes)[:3])
        raise UserError(f"these are not the weights of a reference BSRNN, which has BN.0.1.weight; first keys: {first}")
    found, evidence = {}, {}

    def find(key: str, **values: Any) -> None:
        found.update(values)
        evidence.update({name: key for name in values})

    splits = [_axes(shapes, key, 3)[0] for key in shapes if re.fullmatch(r"BN\.\d+\.1\.weight", key)]
    n_feat = mode(splits or _axes(shapes, "BN.0.1.weight", 3))
    find("BN.*.1.weight", feature_dim=n_feat)
    find("maskers.0.mask.0.1.weight", mask_ratio=_ratio(shapes, "maskers.0.mask.0.1.weight", 3, 0, n_feat))
    _nets(shapes, n_feat, told, found, find)
    _extras(shapes, n_feat, find)
    if not any(".main_layer.weight_hh_l0" in key for key in shapes):
        told.pop("bidirectional", None)  # nothing runs both ways
    blocks, last = _count(shapes, "separator")
    find(last, n_repeats=blocks or told.get("n_repeats", 1))
    widths, n_chan, n_fft = _widths(shapes, told)
    find("BN.*", n_fft=n_fft)
    if n_chan > 1:
        find("BN.*", stereo="naive", in_channels=n_chan)
    _compare(found, told, evidence)
    args = {**told, **found}
    _assume(args)
    rate = args["sample_rate"]
    args["sources"], args["residual_source"] = _sources(_count(shapes, "maskers"), told, sources, widths, n_fft)
    args["bands"] = _bands(widths, args["sources"], n_fft, rate)
    joint = (hyper_parameters or {}).get("joint_bandsplit") and "dilated" not in (
        args["time_layer"],
        args["band_layer"],
    )
    if joint and widths != band_widths(SCHEMES["joint"], n_fft, rate):  # the reference's BSCNN ignores this setting
        raise UserError(
            f"the configuration says joint_bandsplit = True, but BN.* in the weights are {len(widths)} other bands"
        )
    return args


def _assume(args: dict[str, Any]) -> None:
    """Complete what neither weights nor configuration tell by what all published models have, and say so."""
    n_hop = args["n_fft"] // 4
    usual = {"n_hop": (n_hop, f"n_fft / 4 = {n_hop} as hop"), "sample_rate": (44100, "44100 Hz")}
    usual |= {"mask_context": (0, "masks without context"), "eps": (1e-7, "eps 1e-07")}
    if {args["time_layer"], args["band_layer"]} - {"dilated", "none"}:
        usual["group_num"] = (1, "norms of 1 group")
    missing = [name for name in usual if name not in args]
    args.update({name: usual[name][0] for name in missing})
    if missing:
        said = ", ".join(usual[name][1] for name in missing)
        warnings.warn(f"the weights do not tell {', '.join(missing)}: assuming {said}")


def _axes(shapes: Shapes, key: str, n_axes: int) -> tuple[int, ...]:
    """Shape of ``key``, which must be there with so many axes and not empty."""
    if key not in shapes:
        raise UserError(f"{key} is missing")
    shape = tuple(shapes[key])
    if len(shape) != n_axes or 0 in shape:
        raise UserError(f"{key} has shape {shape}, expected {n_axes} axes")
    return shape


def _ratio(shapes: Shapes, key: str, n_axes: int, axis: int, unit: int) -> int:
    value = _axes(shapes, key, n_axes)[axis]
    if value % unit:
        raise UserError(f"{key} has shape {tuple(shapes[key])}, whose axis {axis} is no multiple of {unit} features")
    return value // unit


def _count(shapes: Shapes, kind: str) -> tuple[int, str]:
    """How many numbered entries ``kind.<i>.`` there are, and a key of the last one."""
    found = [(int(match[1]), key) for key in shapes if (match := re.match(kind + r"\.(\d+)\.", key))]
    last, key = max(found, default=(-1, kind))
    return last + 1, key


def _nets(shapes: Shapes, n_feat: int, told: Mapping[str, Any], found: Mapping[str, Any], find: Find) -> None:
    """Layers of both nets, heads and hidden sizes, as far as the keys tell."""
    dilated = {}
    for axis, name in enumerate(("time", "band")):
        prefix = f"separator.0.{name}_net."
        first = next((key for key in shapes if key.startswith(prefix)), None)
        if first is None:
            find(prefix + "*", **{f"{name}_layer": "none"})
        elif first.startswith(
            (prefix + "in_layer", prefix + "dil_layers", prefix + "concat_layers", prefix + "out_layer")
        ):
            find(prefix + "in_layer.1.weight", **{f"{name}_layer": "dilated"})
            dilated[axis] = _dilated(shapes, prefix)
        else:
            n_net = _axes(shapes, prefix + "proj.weight", 2)[0]
            if n_feat % n_net:
                raise UserError(f"{prefix}proj.weight has {n_net} rows, which does not divide the {n_feat} features")
            find(prefix + "proj.weight", n_heads=n_feat // n_net)
            _main_layer(shapes, prefix, name, n_net, {**told, **found}, find)
    find("separator.0.*_net.dil_layers", **of_both_nets(dilated))


def _main_layer(shapes: Shapes, prefix: str, name: str, n_net: int, known: Mapping[str, Any], find: Find) -> None:
    conv, hidden = prefix + "main_layer.0.weight", prefix + "main_layer.weight_hh_l0"
    if any(key.startswith(prefix + "main_layer.0.") for key in shapes):
        find(conv, **{f"{name}_layer": "conv"}, **_conv_width(shapes, conv, n_net, known))
        return
    rows, hid = _axes(shapes, hidden, 2)
    layer = {4: "lstm", 3: "gru"}.get(rows // hid if rows % hid == 0 else 0)
    if layer is None:
        raise UserError(f"{hidden} has shape {(rows, hid)}, neither that of an LSTM nor that of a GRU")
    both = any(key.startswith(prefix) and key.endswith("_reverse") for key in shapes)
    find(hidden, **{f"{name}_layer": layer}, hid_ratio=_ratio(shapes, hidden, 2, 1, n_net), bidirectional=both)


def _conv_width(shapes: Shapes, key: str, n_net: int, known: Mapping[str, Any]) -> dict[str, Any]:
    """Directions and hidden ratio of a convolution, which only their product shows; recurrent layers tell better."""
    outputs = _ratio(shapes, key, 3, 0, n_net)
    if any(".main_layer.weight_hh_l0" in name for name in shapes):
        return {}
    ratio = known.get("hid_ratio", outputs // 2 if outputs % 2 == 0 else outputs)
    return {"hid_ratio": ratio, "bidirectional": outputs == 2 * ratio}


def _dilated(shapes: Shapes, prefix: str) -> tuple[int, int, int]:
    hid, n_feat, kernel = _axes(shapes, prefix + "in_layer.1.weight", 3)
    count = len([key for key in shapes if re.fullmatch(re.escape(prefix) + r"dil_layers\.\d+\.1\.weight", key)])
    return count, kernel, hid // n_feat


def _extras(shapes: Shapes, n_feat: int, find: Find) -> None:
    """TAC and attention."""
    find("separator.0.attn_block.*", n_attn_heads=0)
    tac = "separator.0.tac_module."
    if any(key.startswith(tac) for key in shapes):
        key = tac + "transform.0.weight"
        act = (
            "prelu"
            if any(tac + name + ".1.weight" in shapes for name in ("transform", "average", "concat"))
            else "tanh"
        )
        find(key, stereo="tac", tac_ratio=_ratio(shapes, key, 2, 0, n_feat))
        find(tac + "*.1.weight", tac_act=act)
    attn = "separator.0.attn_block."
    if any(key.startswith(attn) for key in shapes):
        heads = {
            int(match[1]) for key in shapes if (match := re.match(re.escape(attn) + r"attn_conv_[QKV]_(\d+)\.", key))
        }
        key = attn + "attn_conv_Q_0.0.weight"
        find(key, n_attn_heads=max(heads, default=-1) + 1, attn_dim=_axes(shapes, key, 4)[0])


def _widths(shapes: Shapes, told: Mapping[str, Any]) -> tuple[list[int], int, int]:
    """Bins per band, channels that the band split reads together, and the STFT size."""
    bands, last = _count(shapes, "BN")
    if f"BN.{bands - 1}.1.weight" not in shapes:
        raise UserError(f"{last} is left over, or BN.{bands - 1}.1.weight is missing")
    inputs = [_axes(shapes, f"BN.{band}.1.weight", 3)[1] for band in range(bands)]
    window = next((name for name in ("stft.transf.window", "istft.transf.window") if name in shapes), None)
    n_fft = _axes(shapes, window, 1)[0] if window else told.get("n_fft")
    if "stereo" in told:
        n_chan = told.get("in_channels", 2) if told["stereo"] == "naive" else 1
    elif n_fft:
        n_chan = max(1, sum(inputs) // (n_fft + 2))
    else:
        n_chan = next((count for count in (1, 2) if _is_known(inputs, count)), 1)
    widths = [count // (2 * n_chan) for count in inputs]
    n_bins = sum(inputs) / (2 * n_chan)
    if any(count % (2 * n_chan) for count in inputs) or (n_fft and n_bins != n_fft // 2 + 1):
        raise UserError(
            f"the band split BN.* reads {n_bins:g} bins of {n_chan} channel(s) together, which contradicts "
            f"n_fft {n_fft} and stereo {told.get('stereo')!r}"
        )
    return widths, n_chan, 2 * (sum(widths) - 1)


def _is_known(inputs: Sequence[int], n_chan: int) -> bool:
    widths = [count // (2 * n_chan) for count in inputs]
    return bool(_scheme_names(widths, 2 * (sum(widths) - 1)))


def _scheme_names(widths: Sequence[int], n_fft: int) -> list[str]:
    """Names of the schemes that give these widths at 44100 Hz ("vocals" also stands for "other")."""
    return [name for name, scheme in SCHEMES.items() if _widths_or_none(scheme, n_fft) == widths]


def _widths_or_none(scheme: Scheme, n_fft: int) -> list[int] | None:
    try:
        return band_widths(scheme, n_fft)
    except UserError:
        return None


def _compare(found: Mapping[str, Any], told: Mapping[str, Any], evidence: Mapping[str, str]) -> None:
    for name in sorted(set(found) & set(told)):
        if found[name] != told[name]:
            raise UserError(
                f"the configuration says {name} = {told[name]!r}, but {evidence[name]} in the weights means {found[name]!r}"
            )


def _sources(
    masks: tuple[int, str], told: Mapping[str, Any], given: Sequence[str] | None, widths: Sequence[int], n_fft: int
) -> tuple[tuple[str, ...], bool]:
    """Names of the sources, and whether the last one is the residual."""
    n_masks, last = masks
    names = tuple(given) if given else told.get("sources")
    residual = told.get("residual_source")
    if names is None and n_masks == 1:
        known = [name for name in _scheme_names(widths, n_fft) if name != "joint"]
        name = known[0] if known else "target"
        also = " (other has the same bands)" if name == "vocals" else ""
        warnings.warn(f"the name of the source is not part of the weights: assuming {name}{also}")
        return (name,), False
    if names is None:
        simo = n_masks == 4 or (n_masks == 3 and residual is not False)
        names = SIMO_SOURCES if simo else tuple(f"source{index + 1}" for index in range(n_masks + bool(residual)))
        warnings.warn(f"the names of the sources are not part of the weights: assuming {', '.join(names)}")
    if residual is None:
        residual = len(names) == n_masks + 1 and n_masks > 0
    residual = residual and len(names) > 1
    if len(names) - residual != n_masks:
        raise UserError(
            f"{n_masks} mask estimator(s), the last with {last}, contradict the sources {', '.join(names)}"
            f"{', the last of which is the residual' if residual else ''}"
        )
    return names, residual


def _bands(widths: Sequence[int], sources: Sequence[str], n_fft: int, sample_rate: float) -> str | Scheme | None:
    """The ``bands`` argument that gives these widths."""
    for bands in (None, "joint"):
        if band_widths(choose_scheme(sources, bands), n_fft, sample_rate) == widths:
            return bands
    for name in _scheme_names(widths, n_fft):
        choose_scheme(sources, name)  # refuses the scheme of another source
        if band_widths(SCHEMES[name], n_fft, sample_rate) == widths:
            return name
    return scheme_from_widths(widths, n_fft, sample_rate)
