"""Training that starts from given weights: which are taken, which stay as they are, which learn more slowly."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import torch
from asteroid.models import BaseModel
from torch import nn

from ..common.errors import UserError
from ..common.registry import nearest
from ..models.base import as_model
from ..models.family import load_all
from ..models.stems import part_for
from ..weights import load_model, weights_sha256


def start_from(
    model: nn.Module, source: str, strict: bool = True, report: Callable[[str], Any] = print
) -> dict[str, Any]:
    """Give a model the weights of another one before it is trained.

    Of a separator with a member for each stem, the member for this model's sources is taken.

    Args:
        model: to be trained; changed in place.
        source: whatever :func:`asteroid_bsrnn.weights.load_model` takes: a name, file, folder, address or hub id.
        strict: every weight must be there and fit; else those that fit by name and shape are taken.
        report: prints one line.

    Returns:
        For ``run.json``: ``source``, ``sha256`` of its weights, ``taken`` and ``left``: numbers of tensors.

    Raises:
        UserError: if the source cannot be loaded, or its weights do not fit (not strict: none fits).
    """
    given = part_for(load_model(source), as_model(model).sources)
    model = part_for(model, as_model(model).sources)
    own, weights, origin = model.state_dict(), given.state_dict(), f"training.init_from: {source}"
    fitting = {name: value for name, value in weights.items() if name in own and own[name].shape == value.shape}
    if strict:
        load_all(model, weights, f"{origin} (training.strict is true)")
    elif not fitting:
        raise UserError(f"{origin}: no weight of its {type(given).__name__} fits {type(model).__name__}")
    else:
        model.load_state_dict(fitting, strict=False)
    left = [name for name in own if name not in fitting]
    for line in _differences(model, given):
        report(f"note: {source} has {line}")
    report(f"starting from {source}: {len(fitting)} tensors taken" + (f", not {', '.join(left)}" if left else ""))
    return {"source": str(source), "sha256": weights_sha256(weights), "taken": len(fitting), "left": len(left)}


def _differences(model: BaseModel, given: BaseModel) -> list[str]:
    """Arguments that differ and left no trace in the shapes of the weights, e.g. a hop."""
    if type(model) is not type(given):
        return [f"weights of a {type(given).__name__}, for a {type(model).__name__}"]
    here, there = model.get_model_args(), given.get_model_args()
    return [
        f"{key} = {there[key]!r}, this run {here[key]!r}" for key in here if key in there and here[key] != there[key]
    ]


def freeze(model: nn.Module, patterns: Sequence[str]) -> int:
    """Keep weights as they are: those whose names match one of the patterns (``*`` and ``?`` as in file names).

    Running statistics of batch norms are no weights: they go on.

    Returns:
        How many tensors are frozen.

    Raises:
        UserError: for a pattern that matches nothing, or if nothing is left to train.
    """
    named = dict(model.named_parameters())
    chosen = {name for pattern in patterns for name in _matching(pattern, named, "training.freeze")}
    for name in chosen:
        named[name].requires_grad_(False)
    if not any(parameter.requires_grad for parameter in named.values()):
        raise UserError("training.freeze leaves nothing to train")
    return len(chosen)


def parameter_groups(
    named: Iterable[tuple[str, torch.Tensor]], lr: float, factors: Mapping[str, float] | None
) -> list[dict[str, Any]]:
    """Parameters with a learning rate for each group: first all that match no pattern, with ``lr`` itself.

    Args:
        named: names and parameters.
        lr: learning rate.
        factors: pattern of names -> factor of the rate; the first pattern that matches counts.

    Raises:
        UserError: for a pattern that matches nothing, or a factor that is no number from 0 on.
    """
    left = dict(named)
    groups = []
    for pattern, factor in (factors or {}).items():
        if isinstance(factor, bool) or not isinstance(factor, (int, float)) or not factor >= 0:
            raise UserError(f"optim.lr_factors: the factor of {pattern!r} must be a number from 0 on, not {factor!r}")
        chosen = _matching(pattern, left, "optim.lr_factors")
        groups.append({"params": [left.pop(name) for name in chosen], "lr": lr * factor})
    return [{"params": list(left.values()), "lr": lr}, *groups]


def _matching(pattern: str, names: Iterable[str], key: str) -> list[str]:
    names = list(names)
    chosen = [name for name in names if fnmatchcase(name, pattern)]
    if not chosen:
        raise UserError(f"{key}: no weight matches {pattern!r}: {nearest(pattern, names, 0.3)}the first is {names[0]}")
    return chosen
