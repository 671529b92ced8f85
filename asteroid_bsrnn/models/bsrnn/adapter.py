"""State_dicts of the authors' BSRNN to ours and back: every key accounted for, nothing left to chance."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from ...common.errors import UserError
from ..family import Adapter, State
from .network import BSRNN
from .reference_names import Views, reference_views
from .reference_shapes import infer_arguments

_WINDOWS = ("stft.transf.window", "istft.transf.window")


class ReferenceBSRNN(Adapter):
    """Checkpoints of the authors: single-source and multi-source models, BSCNN, both key styles. Settings may be missing."""

    name: ClassVar[str] = "reference-bsrnn"
    system: ClassVar[str] = "bsrnn"
    model: ClassVar[type] = BSRNN
    mark: ClassVar[str] = "BN.0.1.weight"

    def recognises(self, state: State) -> bool:
        """By the first band."""
        return any(re.match(r"(model\.)?BN\.0\.", key) for key in state)

    def config(self, state: State, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Constructor arguments; see :func:`from_reference`."""
        return self.build(state, settings).get_model_args()

    def convert(self, state: State, settings: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        """The weights under our names; see :func:`from_reference`."""
        return dict(self.build(state, settings).state_dict())

    def build(self, state: State, settings: Mapping[str, Any]) -> BSRNN:
        """See :func:`from_reference`; ``sources`` in the settings are names that override their ``targets``."""
        return from_reference(state, settings or None, settings.get("sources"))


def from_reference(
    state_dict: Mapping[str, Any],
    hyper_parameters: Mapping[str, Any] | None = None,
    sources: str | Sequence[str] | None = None,
) -> BSRNN:
    """A BSRNN with the weights of a reference model.

    Accepts single-source and multi-source models, BSCNN, the key style of April 2025 (``mask.*``) and files without
    configuration: then everything is inferred from keys and shapes, except hop, rate, context of the masks, groups of
    norms, eps and names; what is assumed for them is said in a warning.

    Args:
        state_dict: key -> tensor or numpy array.
        hyper_parameters: the reference's configuration; other entries are ignored.
        sources: names of the sources, in the order of the mask estimators.

    Returns:
        In evaluation mode, float32.

    Raises:
        UserError: naming the key that is missing, left over, misshapen or not a number, or the setting that
            contradicts the weights.
    """
    sources = (sources,) if isinstance(sources, str) else sources
    if not isinstance(state_dict, Mapping) or not all(isinstance(key, str) for key in state_dict):
        raise UserError("a state_dict maps names of weights to tensors or arrays, which this is not")
    try:
        return _convert(state_dict, hyper_parameters, sources)
    except UserError as error:
        own = next(
            (match[0] for key in state_dict if (match := re.match(r"(masker\.)?mask\.", key))), "maskers.0.mask."
        )
        raise UserError(str(error).replace("maskers.0.mask.", own)) from None  # keys as they stand in the file


def _convert(
    state_dict: Mapping[str, Any], hyper_parameters: Mapping[str, Any] | None, sources: Sequence[str] | None
) -> BSRNN:
    tensors = {_current_style(key): _tensor(key, value) for key, value in _without_prefix(state_dict).items()}
    if len(tensors) != len(state_dict):
        raise UserError("some keys are there twice, in the old and the new style (mask.*, maskers.0.mask.*)")
    args = infer_arguments({key: value.shape for key, value in tensors.items()}, hyper_parameters, sources)
    model = BSRNN(**args)
    _check_windows(tensors, model)
    with torch.no_grad():
        _copy(tensors, {_current_style(key): entry for key, entry in reference_views(model).items()})
    return model.eval()


def to_reference(model: nn.Module) -> dict[str, torch.Tensor]:
    """The state_dict that the reference would write for this model, STFT windows included.

    Args:
        model: any model that the reference can represent.

    Returns:
        Key -> tensor, copies.

    Raises:
        UserError: if it is no BSRNN.
    """
    if type(model) is not BSRNN:  # a causal one is another network
        raise UserError(f"only a BSRNN has a form in the reference, got {type(model).__name__}")
    with torch.no_grad():
        out = {key: model.stft.window.detach().clone() for key in _WINDOWS}
        for key, (view, shape) in reference_views(model).items():
            out[key] = view.detach().reshape(shape).clone()
    return out


def _without_prefix(state_dict: Mapping[str, Any]) -> Mapping[str, Any]:
    """Drop the ``model.`` that a wrapper puts before every key."""
    if state_dict and all(key.startswith("model.") for key in state_dict):
        return {key[len("model.") :]: value for key, value in state_dict.items()}
    return state_dict


def _current_style(key: str) -> str:
    """Old and BSCNN mask keys as ``maskers.0.mask.*``."""
    return re.sub(r"^(masker\.)?mask\.", "maskers.0.mask.", key)


def _tensor(key: str, value: Any) -> torch.Tensor:
    if not torch.is_tensor(value):
        array = np.asarray(value)
        if array.dtype.kind not in "fiub":
            raise UserError(f"{key} holds {type(value).__name__}, neither a tensor nor an array of numbers")
        value = torch.as_tensor(array)
    if not value.is_floating_point():
        raise UserError(f"{key} holds {value.dtype}, not floating point weights")
    if not torch.isfinite(value).all():
        raise UserError(f"{key} holds values that are not finite")
    return value


def _check_windows(tensors: dict[str, torch.Tensor], model: BSRNN) -> None:
    for key in _WINDOWS:
        window = tensors.pop(key, None)
        own: Any = model.stft.window
        if window is not None and not (window.shape == own.shape and torch.allclose(window.float(), own, atol=1e-6)):
            raise UserError(f"{key} is not the periodic Hann window of {model.n_fft} samples")


def _copy(tensors: Mapping[str, torch.Tensor], views: Views) -> None:
    for problem, keys in (("missing", views.keys() - tensors.keys()), ("left over", tensors.keys() - views.keys())):
        if keys:
            more = f" and {len(keys) - 5} more" if len(keys) > 5 else ""
            raise UserError(f"keys {problem} in the state_dict: {', '.join(sorted(keys)[:5])}{more}")
    filled: dict[Any, str] = {}
    for key, (view, shape) in views.items():
        value = tensors[key]
        if tuple(value.shape) != shape:
            raise UserError(f"{key} has shape {tuple(value.shape)}, expected {shape}")
        place = (view.data_ptr(), tuple(view.shape), view.stride())
        if place in filled and not torch.equal(value, tensors[filled[place]]):
            raise UserError(f"{key} differs from {filled[place]}, but the two are one shared parameter")
        filled[place] = key
        view.copy_(value.reshape(view.shape))
