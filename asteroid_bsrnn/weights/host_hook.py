"""``BaseModel.from_pretrained`` of the host, taught our sources and file formats."""

import functools
import inspect
import os

import torch

from ..common.errors import UserError


def install():
    """Extend ``asteroid.models.BaseModel.from_pretrained``; applied at import, and harmless when repeated.

    What it adds for a string or path: safetensors files, folders, names of published models, checkpoints of the
    reference BSRNN, addresses that resume, hub files checked against their hash, files with harmless values of old
    versions, and one clear sentence for what cannot be loaded (a mistyped path does not wait for the network).
    Dictionaries, ``args`` and ``kwargs`` (which replace arguments in the file), the host's table of names and its cache
    work as before.

    Returns:
        bool: whether anything was changed.
    """
    from asteroid.models import BaseModel

    original = BaseModel.from_pretrained.__func__
    if getattr(original, "reads_more_sources", False):
        return False

    @functools.wraps(original)
    def from_pretrained(cls, pretrained_model_conf_or_path, *args, **kwargs):
        source = pretrained_model_conf_or_path
        if not isinstance(source, (str, os.PathLike)):
            return original(cls, source, *args, **kwargs)
        return _from_source(original, cls, os.fspath(source), args, kwargs)

    from_pretrained.reads_more_sources = True
    BaseModel.from_pretrained = classmethod(from_pretrained)
    return True


def _from_source(original, cls, source, args, kwargs):
    from asteroid.utils.hub_utils import SR_HASHTABLE

    from .load import read_conf

    conf = dict(read_conf(source))
    _check_types(conf, source)
    model_class = _model_class(cls, conf["model_name"], source)
    conf["model_args"] = dict(conf["model_args"])
    takes_rate = "sample_rate" in inspect.signature(model_class).parameters
    if takes_rate and "sample_rate" not in {**conf["model_args"], **kwargs}:  # as the host does, for its oldest files
        conf["model_args"]["sample_rate"] = SR_HASHTABLE.get(source)
    try:
        return original(cls, conf, *args, **kwargs)
    except RuntimeError as error:
        raise UserError(f"{source}: the weights do not fit {conf['model_name']}: {_culprit(error)}") from None
    except (TypeError, ValueError) as error:
        raise UserError(f"{source}: {conf['model_name']} cannot be built from its arguments: {error}") from None


def _check_types(conf, source):
    """The three entries are what they should be, whoever wrote the file."""
    fits = {
        "model_name": isinstance(conf["model_name"], str),
        "model_args": isinstance(conf["model_args"], dict),
        "state_dict": isinstance(conf["state_dict"], dict)
        and all(isinstance(value, torch.Tensor) for value in conf["state_dict"].values()),
    }
    wrong = [key for key, good in fits.items() if not good]
    if wrong:
        raise UserError(
            f"{source} is no model: its {wrong[0]!r} is a {type(conf[wrong[0]]).__name__} of another kind than expected"
        )
    for key, value in conf["state_dict"].items():
        if not _is_finite(value):
            raise UserError(f"{source} is refused: {key} holds values that are not finite")


def _is_finite(value):
    return not value.is_floating_point() or bool(torch.isfinite(value).all())


def _model_class(cls, name, source):
    """The class of the file's model; the host would take any name of its module, functions included."""
    import asteroid.models
    from asteroid.models import BaseModel

    try:
        known = asteroid.models.get(name)
    except ValueError:
        known = None if cls is BaseModel else cls
    if not (isinstance(known, type) and issubclass(known, torch.nn.Module)):
        raise UserError(f"{source} holds a model called {name!r}, which neither Asteroid nor this package has")
    return known


def _culprit(error):
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[1:3] or lines)[:400]
