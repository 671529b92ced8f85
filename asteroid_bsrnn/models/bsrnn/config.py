"""Checks of BSRNN's constructor arguments: contradictions are refused before anything is built."""
from difflib import get_close_matches

from .sequence import LAYERS
from .tac import ACTIVATIONS

STEREO = ("naive", "tac")
_COUNTS = ("sample_rate", "in_channels", "n_fft", "n_hop", "feature_dim", "n_repeats", "hid_ratio", "mask_ratio", "n_heads")
_COUNTS += ("attn_dim", "tac_ratio")


def plain(value):
    """Lists, tuples and arrays of any depth as lists, numbers of NumPy as Python's, the rest as it is: what a file holds."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    return [plain(entry) for entry in value] if isinstance(value, (list, tuple)) else value


def source_names(sources):
    """Names of the sources as a tuple, of a single one too.

    Raises:
        ValueError: if they are no sequence of names.
    """
    if isinstance(sources, str):
        return (sources,)
    if not isinstance(sources, (list, tuple)):
        raise ValueError(f"sources must be one or more names, got {sources!r}")
    return tuple(sources)


def layer_name(layer):
    """A layer's name; None is "none"."""
    return "none" if layer is None else layer


def check_arguments(args):
    """Check the constructor arguments of :class:`~asteroid_bsrnn.models.BSRNN`.

    Args:
        args: object with the arguments as attributes.

    Raises:
        ValueError: naming the argument, its value and what is allowed.
    """
    _check_sources(args.sources)
    for name in _COUNTS:
        _integer(name, getattr(args, name), 1)
    for name in ("mask_context", "n_attn_heads"):
        _integer(name, getattr(args, name), 0)
    for name, known in (("time_layer", LAYERS), ("band_layer", LAYERS), ("tac_act", ACTIVATIONS)):
        _choice(name, getattr(args, name), known)
    if args.stereo is not None:
        _choice("stereo", args.stereo, STEREO)
    for name in ("bidirectional", "residual_source"):
        if not isinstance(getattr(args, name), bool):
            raise ValueError(f"{name} must be true or false, got {getattr(args, name)!r}")
    for name, least in (("n_dilated", 0), ("dilated_kernel", 1), ("dilated_ratio", 1)):
        _integer_or_pair(name, getattr(args, name), least)
    if isinstance(args.eps, bool) or not isinstance(args.eps, (int, float)) or not args.eps > 0:
        raise ValueError(f"eps must be a positive number, got {args.eps!r}")
    _check_divisions(args)


def _check_divisions(args):
    for name in ("n_heads", "n_attn_heads"):
        heads = getattr(args, name)
        if heads and args.feature_dim % heads:
            raise ValueError(f"feature_dim {args.feature_dim} is not divisible by {name} {heads}")
    if args.group_num is not None:
        _integer("group_num", args.group_num, 1)
    n_feat = args.feature_dim // args.n_heads
    groups = max(n_feat // 16, 1) if args.group_num is None else args.group_num
    if n_feat % groups:
        raise ValueError(f"feature_dim / n_heads = {n_feat} is not divisible into {groups} groups (group_num {args.group_num})")


def _check_sources(sources):
    if not sources or not all(isinstance(source, str) and source for source in sources):
        raise ValueError(f"sources must be one or more names, got {sources!r}")
    twice = {source for source in sources if sources.count(source) > 1}
    if twice:
        raise ValueError(f"sources must differ, got {', '.join(sorted(twice))} more than once")


def _integer(name, value, least):
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, got {value!r}")


def _integer_or_pair(name, value, least):
    if isinstance(value, list) and len(value) == 2:
        for entry in value:
            _integer(f"{name} (time net, band net)", entry, least)
    else:
        _integer(name, value, least)


def _choice(name, value, known):
    if value not in known:
        near = get_close_matches(str(value), known, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ValueError(f"unknown {name} {value!r}: {hint}known are {', '.join(known)}")
