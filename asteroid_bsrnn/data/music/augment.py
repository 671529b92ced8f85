"""Augmentations of a set of stems: small functions of (stems, generator), named in a list and applied in its order.

Every function works in place on ``stems``, float32 (n_stems, channels, time), in the order of the data set's sources,
and draws from the NumPy generator that it is given. Ranges default to the published ones [1, 2].

References:
    [1] Magron et al., "The Costs of Reproducibility in Music Separation Research", arXiv 2603.09187 (BSRNN's list).
    [2] Stöter et al., "Open-Unmix - A Reference Implementation for Music Source Separation", JOSS 2019 (``rescale``
        and ``channel_swap``; Uhlich et al., ICASSP 2017, gives their ranges).
    [3] Défossez, "Hybrid Spectrogram and Waveform Source Separation", MDX Workshop 2021.
    [4] Liu, Kong and Liu, "CWS-PResUNet", MDX Workshop 2021, by its authors' code.
"""

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from ...common.errors import UserError
from ...common.registry import Registry

Augmentation = Callable[[np.ndarray, np.random.Generator], None]
_AUGMENTATIONS = Registry("augmentation")
register_augmentation = _AUGMENTATIONS.register


@register_augmentation
def rescale_db(stems: np.ndarray, generator: np.random.Generator, low: float = -10.0, high: float = 10.0) -> None:
    """Gain of 10^(u / 20) per stem, u uniform in [low, high) dB."""
    _apply_gains(stems, 10 ** (generator.uniform(low, high, len(stems)) / 20))


@register_augmentation
def rescale(stems: np.ndarray, generator: np.random.Generator, low: float = 0.25, high: float = 1.25) -> None:
    """Linear gain per stem, uniform in [low, high)."""
    _apply_gains(stems, generator.uniform(low, high, len(stems)))


@register_augmentation
def silent_source(stems: np.ndarray, generator: np.random.Generator, p: float = 0.1) -> None:
    """Silence each stem with probability ``p``, the target like every other."""
    stems[generator.random(len(stems)) < p] = 0


@register_augmentation
def silent_target(stems: np.ndarray, generator: np.random.Generator, p: float = 0.1, target: int | None = None) -> None:
    """Silence the only target with probability ``p``, so that the mixture is that of the other stems."""
    if target is None:
        raise UserError("silent_target needs a single target; with several use silent_source")
    if generator.random() < p:
        stems[target] = 0


@register_augmentation
def channel_swap(stems: np.ndarray, generator: np.random.Generator, p: float = 0.5) -> None:
    """Reverse the channels of each stem with probability ``p`` (left and right, for stereo)."""
    for stem in np.flatnonzero(generator.random(len(stems)) < p):
        stems[stem] = stems[stem, ::-1].copy()


@register_augmentation
def sign_flip(stems: np.ndarray, generator: np.random.Generator, p: float = 0.5) -> None:
    """Reverse the polarity of each stem with probability ``p`` [3]."""
    stems[generator.random(len(stems)) < p] *= -1


@register_augmentation
def one_background(stems: np.ndarray, generator: np.random.Generator, *, target: int) -> None:
    """Leave one background beside the only target: any one of the other stems, or all of them, equally likely [4]."""
    others = [stem for stem in range(len(stems)) if stem != target]
    kept = generator.integers(len(others) + 1)
    if kept < len(others):
        stems[[stem for stem in others if stem != others[kept]]] = 0


def _apply_gains(stems: np.ndarray, gains: np.ndarray) -> None:
    stems *= gains.astype(np.float32)[:, None, None]


def build_augmentations(entries: Sequence[str | dict[str, Any]], target: int | None = None) -> list[Augmentation]:
    """The functions that a configuration's list names, in its order.

    Args:
        entries: names (``"rescale_db"``), or names with other ranges (``{"rescale_db": {"low": -6}}``).
        target: index of the only target among the stems; None for several.

    Returns:
        list of callables ``augmentation(stems, generator)``; they can be pickled.

    Raises:
        UserError: for an unknown name or parameter, and for one that needs a single target where there are several.
    """
    built: list[Augmentation] = []
    for entry in entries:
        name, options = next(iter(entry.items())) if isinstance(entry, dict) else (entry, {})
        function = _AUGMENTATIONS.get(name)
        allowed = set(inspect.signature(function).parameters) - {"stems", "generator", "target"}
        if unknown := set(options or {}) - allowed:
            raise UserError(
                f"augmentation {name!r} has no parameter {sorted(unknown)[0]!r}; it has {', '.join(sorted(allowed))}"
            )
        if "target" in inspect.signature(function).parameters:
            if target is None:
                raise UserError(f"augmentation {name!r} needs a single target; 'silent_source' takes several")
            options = {**(options or {}), "target": target}
        built.append(functools.partial(function, **(options or {})))
    return built


def remix_batch(sources: torch.Tensor, generator: torch.Generator | None = None) -> torch.Tensor:
    """Exchange each source among the items of a batch, on the device where they are: new mixtures for no reading.

    Source ``s`` of every item comes from an item drawn by a permutation of its own; nothing else changes, so the
    mixture to train on is the sum over sources of what this returns. With one target, remix the target and the rest:
    ``torch.stack([target, mixture - target], 1)``.

    Args:
        sources: parts that sum to the mixtures.
        generator: on any device.

    Shape: (batch, n_src, channels, time) or (batch, n_src, time), same out.
    """
    device = generator.device if generator is not None else "cpu"
    batch, n_src = sources.shape[:2]
    order = torch.stack([torch.randperm(batch, generator=generator, device=device) for _ in range(n_src)], 1)
    # a few numbers, for which nobody waits
    return sources[order.to(sources.device, non_blocking=True), torch.arange(n_src, device=sources.device)]


def peak_normalise(mixture: torch.Tensor, sources: torch.Tensor, floor: float = 1e-6) -> None:
    """Divide both, in place, by the largest magnitude in either (by 1 when that is below ``floor``).

    Shape: (channels, time) and (n_src, channels, time), float32 tensors.
    """
    peak = max(max(-low, high) for low, high in (torch.aminmax(part) for part in (mixture, sources)))
    if peak >= floor:
        mixture *= 1 / peak
        sources *= 1 / peak
