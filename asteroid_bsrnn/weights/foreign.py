"""Other implementations' weights: the containers that they come in, and the adapter that recognises what is inside.

Adapters are those of the registered families (:mod:`asteroid_bsrnn.models.family`); this module knows none of them.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..common.errors import UserError
from ..common.registry import check_known
from ..models.family import Adapter, adapters
from .any_file import read_file
from .assemble import KEYS, check_finite
from .inert import Inert
from .settings_file import read_settings

PLACES = ("state_dict", "model_state_dict", "state", "model", "generator", "ema", "ema_state_dict")
"""Where trainers keep the weights in their files, the likeliest first."""
PREFIXES = ("module.", "model.", "_orig_mod.")
"""What wrappers put before every name."""
_DEPTH = 3  # containers within containers
_STRANGE = (
    LookupError,
    TypeError,
    ValueError,
    RuntimeError,
    AttributeError,
    ArithmeticError,
)  # what reading other weights ends in


@dataclass(frozen=True)
class Foreign:
    """Weights of another implementation, recognised.

    Args:
        adapter: of their format.
        state: the weights under their names.
        settings: what the file itself says of the network, in the original's words.
        origin: the file, for messages.
    """

    adapter: Adapter
    state: Mapping[str, torch.Tensor]
    settings: Mapping[str, Any] = field(default_factory=dict)
    origin: str = "the weights"

    def model(
        self, document: Mapping[str, Any] | None = None, settings: Mapping[str, Any] | None = None
    ) -> torch.nn.Module:
        """The model, in evaluation mode.

        Args:
            document: the configuration file that lay beside the weights, whole.
            settings: more settings in the original's words; they win.

        Raises:
            UserError: naming the file and what is missing or does not fit.
        """
        check_finite(self.state, self.origin)
        untold = document is None and settings is None and not self.settings
        with _explained(self.origin, self.adapter, untold and self.adapter.needs_settings):
            told = {**self.settings, **(self.adapter.settings(document) if document else {}), **(settings or {})}
            return self.adapter.build(self.state, told)


def open_foreign(path: Path, system: str | None = None, content: Any = None) -> Foreign:
    """Recognise a file of another implementation.

    Args:
        path: any weights file, or one with a suffix that an adapter reads.
        system: only formats of this system.
        content: what :func:`~.any_file.read_file` gave, where it was read already.

    Raises:
        UserError: if it can be read by nobody; the sentence lists what is known.
    """
    for adapter in _of(system):
        if Path(path).suffix.lower() in adapter.suffixes:
            state, settings = adapter.read(Path(path))
            return Foreign(adapter, state, settings, str(path))
    content = read_file(path) if content is None else content
    if not isinstance(content, Mapping):
        raise UserError(f"{path} holds a {type(content).__name__}, not a model")
    found = _recognised(content, _of(system), str(path))
    if found is None:
        raise UserError(_unknown(content, _of(system), path))
    return found


def from_foreign(
    system: str, state_dict: Mapping[str, Any], settings: Mapping[str, Any] | None = None
) -> torch.nn.Module:
    """A model of ours with another implementation's weights.

    Args:
        system: name of the network, e.g. ``"bs_roformer"``, ``"htdemucs"``; several formats may share one.
        state_dict: name -> tensor or array, as the original has them; what is frozen (windows, DFT matrices) may be
            missing.
        settings: constructor arguments in the original's words, with ``sources`` and ``sample_rate`` where they are
            known (else s1, s2, ... and what is usual for the system).

    Returns:
        The model in evaluation mode, in float32.

    Raises:
        UserError: for an unknown system, or weights and settings that do not fit each other; the culprit is named.
    """
    known = list(dict.fromkeys(adapter.system for adapter in adapters()))
    check_known("system", system, known)
    if not isinstance(state_dict, Mapping) or not isinstance(settings, (Mapping, type(None))):
        raise UserError(
            f"{system}: weights and settings are dictionaries, "
            f"got {type(state_dict).__name__} and {type(settings).__name__}"
        )
    found = _recognised(_weights_alone(state_dict, system), _of(system), system)
    if found is None:
        raise UserError(_unknown(state_dict, _of(system), f"{system}: state_dict"))
    return found.model(settings=settings or {})


def _of(system: str | None) -> list[Adapter]:
    return [adapter for adapter in adapters() if system in (None, adapter.system)]


def _recognised(content: Mapping[str, Any], known: list[Adapter], origin: str) -> Foreign | None:
    """What a file holds: a container of a format's own, or weights in one of the usual places."""
    for adapter in known:
        with _explained(origin, adapter):
            own = adapter.unwrap(content)
        if own is not None:
            return Foreign(adapter, _weights_alone(own[0], origin), own[1], origin)
    told = content.get("hyper_parameters")
    for state in _states(content):
        for adapter in known:
            with _explained(origin, adapter):
                fits = adapter.recognises(state)
            if fits:
                return Foreign(
                    adapter, _weights_alone(state, origin), told if isinstance(told, Mapping) else {}, origin
                )
    return None


def _states(content: Any, depth: int = _DEPTH) -> Iterator[dict[str, Any]]:
    """Weights in the usual places, the likeliest first: as they are named there, then without wrappers' prefixes."""
    if isinstance(content, list):
        for entry in content if depth else ():
            yield from _states(entry, depth - 1)
    if not isinstance(content, Mapping):
        return
    for place in PLACES if depth else ():
        yield from _states(content.get(place), depth - 1)
    numbers = {name: value for name, value in content.items() if isinstance(value, (torch.Tensor, np.ndarray))}
    if not numbers or not all(isinstance(name, str) for name in content):
        return
    state = dict(content) if depth < _DEPTH else numbers
    yield state
    prefix = _common_prefix(state)
    while prefix:
        state = {name[len(prefix) :]: value for name, value in state.items()}
        yield state
        prefix = _common_prefix(state)


def _common_prefix(state: Mapping[str, Any]) -> str | None:
    return next((prefix for prefix in PREFIXES if all(name.startswith(prefix) for name in state)), None)


def _weights_alone(state: Mapping[str, Any], origin: str) -> dict[str, torch.Tensor]:
    return {name: _as_tensor(name, value, origin) for name, value in state.items()}


def _as_tensor(name: Any, value: Any, origin: str) -> torch.Tensor:
    if isinstance(name, str) and isinstance(value, torch.Tensor):
        return value
    kind = value.name if isinstance(value, Inert) else type(value).__name__
    array = None if isinstance(value, Inert) else np.asarray(value)
    if not isinstance(name, str) or array is None or array.dtype.kind not in "fiub":
        raise UserError(
            f"{origin} is refused: its weight {str(name)[:100]!r} is a {kind[:100]}, "
            "neither a tensor nor an array of numbers"
        )
    return torch.from_numpy(np.array(array))


@contextmanager
def _explained(origin: str, adapter: Adapter, untold: bool = False) -> Iterator[None]:
    """Whatever goes wrong within an adapter, as one sentence that names the file."""
    hint = "; give the configuration file that lay beside the weights (--config)" if untold else ""
    try:
        yield
    except UserError as error:
        said = str(error)
        raise UserError(f"{origin}: {said}{hint if '--config' not in said else ''}") from None
    except _STRANGE as error:
        said = " ".join(str(error).split())[:300]
        raise UserError(
            f"{origin}: these are not the weights of {adapter.name}, or not with these settings: {said}{hint}"
        ) from error


def _unknown(content: Mapping[str, Any], known: list[Adapter], origin: Any) -> str:
    formats = ", ".join(f"{adapter.name} ({adapter.mark})" if adapter.mark else adapter.name for adapter in known)
    first = ", ".join(repr(key) for key in list(content)[:4]) or "none"
    ours = f"no model of Asteroid ({', '.join(KEYS)})"
    return f"{origin} holds {ours} and no weights in a known format ({formats}); its first keys are {first}"


def settings_of(config: Any) -> Mapping[str, Any] | None:
    """A configuration given as a file or as what stands in it; None where there is none."""
    if config is None or isinstance(config, Mapping):
        return config
    return read_settings(config)
