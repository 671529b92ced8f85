"""Constructor arguments of a BSRNN from the keys and shapes of a reference state_dict, checked against its configuration."""
import re
import warnings

from ..masknn.bands import SCHEMES, band_widths, choose_scheme, scheme_from_widths
from .settings import told_arguments

SIMO_SOURCES = ("vocals", "bass", "drums", "other")


def infer_arguments(shapes, hyper_parameters=None, sources=None):
    """Everything that :class:`~asteroid_bsrnn.models.BSRNN` needs to hold these weights.

    Args:
        shapes (dict): key -> shape, keys in the current style (``maskers.0.mask...``).
        hyper_parameters (dict, optional): the reference's configuration; what is not architecture is ignored.
        sources (sequence of str, optional): names that override those of the configuration.

    Returns:
        dict: keyword arguments.

    Raises:
        ValueError: if the keys are of another architecture or the configuration contradicts the shapes.
    """
    told = told_arguments(hyper_parameters or {})
    if "BN.0.1.weight" not in shapes or "maskers.0.mask.0.1.weight" not in shapes:
        first = ", ".join(list(shapes)[:3])
        raise ValueError(f"these are not the weights of a reference BSRNN: BN.0.1.weight is missing (first keys: {first})")
    found = {"feature_dim": shapes["BN.0.1.weight"][0]}
    found["mask_ratio"] = _ratio(shapes, "maskers.0.mask.0.1.weight", 0, found["feature_dim"])
    found.update(_nets(shapes, found["feature_dim"], told))
    found.update(_extras(shapes, found["feature_dim"]))
    blocks = 1 + max([int(key.split(".")[1]) for key in shapes if re.match(r"separator\.\d+\.", key)], default=-1)
    found["n_repeats"] = blocks or told.get("n_repeats", 1)
    widths, n_chan, found["n_fft"] = _widths(shapes, told)
    if n_chan > 1:
        found.update(stereo="naive", in_channels=n_chan)
    _compare(found, told)
    args = {**told, **found}
    if "n_hop" not in args:
        args["n_hop"] = found["n_fft"] // 4
        warnings.warn(f"the hop is not part of the weights: assuming n_fft / 4 = {args['n_hop']}")
    n_masks = 1 + max(int(key.split(".")[1]) for key in shapes if re.match(r"maskers\.\d+\.", key))
    rate = args.get("sample_rate", 44100)
    args["sources"], args["residual_source"] = _sources(n_masks, told, sources, widths, found["n_fft"])
    args["bands"] = _bands(widths, args["sources"], found["n_fft"], rate)
    return args


def _ratio(shapes, key, axis, unit):
    value = shapes[key][axis] if len(shapes[key]) > axis else 0
    if not value or value % unit:
        raise ValueError(f"{key} has shape {tuple(shapes[key])}, whose axis {axis} is no multiple of {unit} features")
    return value // unit


def _nets(shapes, n_feat, told):
    """Layers of both nets, heads and hidden sizes, as far as the keys tell."""
    found, dilated = {}, {}
    for axis, name in enumerate(("time", "band")):
        prefix = f"separator.0.{name}_net."
        if prefix + "in_layer.1.weight" in shapes:
            found[f"{name}_layer"] = "dilated"
            dilated[axis] = _dilated(shapes, prefix)
            continue
        if prefix + "proj.weight" not in shapes:
            found[f"{name}_layer"] = "none"
            continue
        n_net = shapes[prefix + "proj.weight"][0]
        found["n_heads"] = n_feat // n_net
        found.update(_main_layer(shapes, prefix, name, n_net, told, found))
    if dilated:
        default = next(iter(dilated.values()))
        pairs = zip(dilated.get(0, default), dilated.get(1, default))
        for name, (time, band) in zip(("n_dilated", "dilated_kernel", "dilated_ratio"), pairs):
            found[name] = time if time == band else [time, band]
    return found


def _main_layer(shapes, prefix, name, n_net, told, found):
    conv, hidden = prefix + "main_layer.0.weight", prefix + "main_layer.weight_hh_l0"
    if conv in shapes:
        both = found.get("bidirectional", told.get("bidirectional", True))
        ratio = _ratio(shapes, conv, 0, n_net * (2 if both else 1))
        return {f"{name}_layer": "conv", **({} if "hid_ratio" in found else {"hid_ratio": ratio})}
    if hidden not in shapes:
        raise ValueError(f"{hidden} is missing")
    rows, hid = shapes[hidden]
    layer = {4: "lstm", 3: "gru"}.get(rows // hid if hid and rows % hid == 0 else 0)
    if layer is None:
        raise ValueError(f"{hidden} has shape {(rows, hid)}, neither that of an LSTM nor that of a GRU")
    both = hidden + "_reverse" in shapes
    return {f"{name}_layer": layer, "bidirectional": both, "hid_ratio": _ratio(shapes, hidden, 1, n_net)}


def _dilated(shapes, prefix):
    hid, n_feat, kernel = shapes[prefix + "in_layer.1.weight"]
    count = len([key for key in shapes if re.fullmatch(re.escape(prefix) + r"dil_layers\.\d+\.1\.weight", key)])
    return count, kernel, hid // n_feat


def _extras(shapes, n_feat):
    """TAC and attention."""
    found, prefix = {"n_attn_heads": 0}, "separator.0."
    if prefix + "tac_module.transform.0.weight" in shapes:
        found["stereo"] = "tac"
        found["tac_ratio"] = _ratio(shapes, prefix + "tac_module.transform.0.weight", 0, n_feat)
        found["tac_act"] = "prelu" if prefix + "tac_module.transform.1.weight" in shapes else "tanh"
    queries = [key for key in shapes if re.fullmatch(r"separator\.0\.attn_block\.attn_conv_Q_\d+\.0\.weight", key)]
    if queries:
        found.update(n_attn_heads=len(queries), attn_dim=shapes[queries[0]][0])
    return found


def _widths(shapes, told):
    """Bins per band, channels that the band split reads together, and the STFT size."""
    bands = 1 + max(int(key.split(".")[1]) for key in shapes if re.match(r"BN\.\d+\.", key))
    missing = [f"BN.{band}.1.weight" for band in range(bands) if len(shapes.get(f"BN.{band}.1.weight", ())) != 3]
    if missing:
        raise ValueError(f"{missing[0]} is missing or misshapen")
    inputs = [shapes[f"BN.{band}.1.weight"][1] for band in range(bands)]
    window = shapes.get("stft.transf.window", shapes.get("istft.transf.window"))
    n_fft = window[0] if window else told.get("n_fft")
    if "stereo" in told:
        n_chan = told.get("in_channels", 2) if told["stereo"] == "naive" else 1
    elif n_fft:
        n_chan = max(1, sum(inputs) // (n_fft + 2))
    else:
        n_chan = next((count for count in (1, 2) if _is_known(inputs, count)), 1)
    widths = [count // (2 * n_chan) for count in inputs]
    n_bins = sum(inputs) / (2 * n_chan)
    if any(count % (2 * n_chan) for count in inputs) or (n_fft and n_bins != n_fft // 2 + 1):
        raise ValueError(
            f"the band split BN.* reads {n_bins:g} bins of {n_chan} channel(s) together, which contradicts "
            f"n_fft {n_fft} and stereo {told.get('stereo')!r}"
        )
    return widths, n_chan, 2 * (sum(widths) - 1)


def _is_known(inputs, n_chan):
    widths = [count // (2 * n_chan) for count in inputs]
    return bool(_scheme_names(widths, 2 * (sum(widths) - 1)))


def _scheme_names(widths, n_fft):
    """Names of the schemes that give these widths at 44100 Hz ("vocals" also stands for "other")."""
    return [name for name, scheme in SCHEMES.items() if _widths_or_none(scheme, n_fft) == widths]


def _widths_or_none(scheme, n_fft):
    try:
        return band_widths(scheme, n_fft)
    except ValueError:
        return None


def _compare(found, told):
    for name in set(found) & set(told):
        if found[name] != told[name]:
            raise ValueError(f"the configuration says {name} = {told[name]!r}, but the weights have {found[name]!r}")


def _sources(n_masks, told, given, widths, n_fft):
    """Names of the sources, and whether the last one is the residual."""
    names = tuple(given) if given else told.get("sources")
    residual = told.get("residual_source")
    if names is None and n_masks == 1:
        known = _scheme_names(widths, n_fft)
        return (known[0] if known and known[0] != "joint" else "target",), False
    if names is None:
        simo = n_masks == 4 or (n_masks == 3 and residual is not False)
        names = SIMO_SOURCES if simo else tuple(f"source{index + 1}" for index in range(n_masks + bool(residual)))
        warnings.warn(f"the names of the sources are not part of the weights: assuming {', '.join(names)}")
    if residual is None:
        residual = len(names) == n_masks + 1 and n_masks > 0
    residual = residual and len(names) > 1
    if len(names) - residual != n_masks:
        raise ValueError(
            f"{n_masks} mask estimator(s) contradict the sources {', '.join(names)}"
            f"{', the last of which is the residual' if residual else ''}"
        )
    return names, residual


def _bands(widths, sources, n_fft, sample_rate):
    """The ``bands`` argument that gives these widths."""
    for bands in (None, "joint"):
        if band_widths(choose_scheme(sources, bands), n_fft, sample_rate) == widths:
            return bands
    for name in _scheme_names(widths, n_fft):
        choose_scheme(sources, name)  # refuses the scheme of another source
        if band_widths(SCHEMES[name], n_fft, sample_rate) == widths:
            return name
    return scheme_from_widths(widths, n_fft, sample_rate)
