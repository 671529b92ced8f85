"""From a serialized model to a module: its class, its arguments, and every weight in its place."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import asteroid.models
import torch
from asteroid.models import BaseModel

from ..common.errors import UserError

KEYS = ("model_name", "model_args", "state_dict")


def is_model(content: Any) -> bool:
    """Whether a file's content is a model of Asteroid or of ours, as ``serialize`` writes it."""
    return isinstance(content, dict) and all(key in content for key in KEYS)


def build(
    conf: Mapping[str, Any],
    origin: str,
    cls: type = BaseModel,
    args: Sequence[Any] = (),
    model_args: Mapping[str, Any] | None = None,
    sample_rate: float | None = None,
) -> torch.nn.Module:
    """The module that a serialized model describes, with its weights.

    Args:
        conf: ``model_name``, ``model_args``, ``state_dict``, as ``serialize`` gives them.
        origin: what the model was called, for messages.
        cls: taken where nobody knows a class of that name, unless it is the host's base class.
        args: positional constructor arguments.
        model_args: constructor arguments that replace those of ``conf``.
        sample_rate: in Hz, for the host's oldest files, which do not say theirs.

    Raises:
        UserError: naming ``origin`` and what does not fit.
    """
    _check_types(conf, origin)
    model_class = _model_class(cls, conf["model_name"], origin)
    arguments = {**conf["model_args"], **(model_args or {})}
    if "sample_rate" in inspect.signature(model_class).parameters:
        arguments.setdefault("sample_rate", sample_rate)
    try:
        model = model_class(*args, **arguments)
        model.load_state_dict(conf["state_dict"])
        return model
    except RuntimeError as error:
        raise UserError(f"{origin}: the weights do not fit {conf['model_name']}: {_culprit(error)}") from None
    except (TypeError, ValueError) as error:
        raise UserError(f"{origin}: {conf['model_name']} cannot be built from its arguments: {error}") from None


def check_finite(state: Mapping[str, torch.Tensor], origin: str) -> None:
    """Refuse weights that are not finite, naming the first."""
    for key, value in state.items():
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise UserError(f"{origin} is refused: {key} holds values that are not finite")


def _check_types(conf: Mapping[str, Any], origin: str) -> None:
    """The three entries are what they should be, whoever wrote the file."""
    state = conf["state_dict"]
    fits = {
        "model_name": isinstance(conf["model_name"], str),
        "model_args": isinstance(conf["model_args"], dict),
        "state_dict": isinstance(state, dict) and all(isinstance(value, torch.Tensor) for value in state.values()),
    }
    wrong = [key for key, good in fits.items() if not good]
    if wrong:
        kind = type(conf[wrong[0]]).__name__
        raise UserError(f"{origin} is no model: its {wrong[0]!r} is a {kind} of another kind than expected")
    check_finite(state, origin)


def _model_class(cls: type, name: str, origin: str) -> type:
    """The class of the file's model; the host would take any name of its module, functions included."""
    try:
        known = asteroid.models.get(name)
    except ValueError:
        known = None if cls is BaseModel else cls
    if not (isinstance(known, type) and issubclass(known, torch.nn.Module)):
        raise UserError(f"{origin} holds a model called {name!r}, which neither Asteroid nor this package has")
    return known


def _culprit(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[1:3] or lines)[:400]
