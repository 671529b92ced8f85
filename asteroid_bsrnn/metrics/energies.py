"""The sums under every SDR of music: energies of targets and errors frame by frame, in float64, in little memory."""

from functools import reduce
from typing import Any

import torch

from ..common.errors import UserError


def check_signals(est_targets: Any, targets: Any, shape: str) -> None:
    """Refuse what cannot be scored.

    Args:
        est_targets: estimates.
        targets: references.
        shape: the axes that both must have, for example ``"(batch, n_src, channels, time)"``.

    Raises:
        TypeError: if one of them is not a real floating-point tensor.
        UserError: for another number of axes, shapes that differ, and an empty axis.
    """
    axes = [name.strip() for name in shape.strip("()").split(",")]
    for name, signal in (("est_targets", est_targets), ("targets", targets)):
        if not (torch.is_tensor(signal) and signal.is_floating_point()):
            kind = signal.dtype if torch.is_tensor(signal) else type(signal).__name__
            raise TypeError(f"{name} must be a floating-point tensor {shape}, got {kind}")
        if signal.ndim != len(axes):
            raise UserError(f"{name} must be {shape}, got {signal.ndim} axes {tuple(signal.shape)}")
    for axis, n_est, n_target in zip(axes, est_targets.shape, targets.shape):
        if n_est != n_target:
            raise UserError(f"est_targets and targets differ in {axis}: {n_est} against {n_target}")
        if n_est == 0:
            raise UserError(f"est_targets and targets are empty along {axis}")


def check_finite(energies: torch.Tensor) -> None:
    """Refuse NaN and infinite samples, seen from the energies that they spoil (a look at every sample costs more).

    Args:
        energies: target or error energies, (..., n_frames), or samples.

    Raises:
        UserError: if a sample of the estimates or the references was NaN or infinite.
    """
    if not torch.isfinite(energies).all():
        raise UserError("est_targets or targets contain NaN or infinite samples")


def in_float64(signal: torch.Tensor) -> torch.Tensor:
    """``signal`` in float64, on the CPU when its device has no float64 (MPS)."""
    return (signal.cpu() if signal.device.type == "mps" else signal).detach().to(torch.float64)


def frame_energies(
    est_targets: torch.Tensor, targets: torch.Tensor, frame_len: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Energies of targets and of errors in consecutive frames, and which signals are silent there.

    A signal is silent in a frame when the sum of its channels is exactly 0 at every sample, museval's rule: a
    stereo signal in exact anti-phase counts as silent.

    Args:
        est_targets: estimates.
        targets: references.
        frame_len: length of a frame in samples; the last one may be shorter.

    Shape:
        - est_targets, targets: (..., channels, time)
        - output: three tensors (..., n_frames): target energy, error energy (float64), silence of either (bool)

    Raises:
        UserError: for NaN or infinite samples.
    """
    lead, starts = targets.shape[:-2], range(0, targets.shape[-1], frame_len)
    energies: tuple[list[torch.Tensor], list[torch.Tensor]] = ([], [])
    silences = []
    for window in (slice(start, start + frame_len) for start in starts):
        est_frame, target_frame = est_targets[..., window], targets[..., window]
        silences.append(_is_silent(target_frame) | _is_silent(est_frame))
        for estimate, target in zip(est_frame.flatten(0, -3), target_frame.flatten(0, -3)):  # one signal fits the cache
            target = in_float64(target)
            energies[0].append(_energy(target))
            energies[1].append(_energy(in_float64(estimate) - target))
    signal, error = (torch.stack(sums).reshape(len(starts), *lead).movedim(0, -1) for sums in energies)
    check_finite(signal)
    check_finite(error)
    return signal, error, torch.stack(silences, -1).to(signal.device)


def _energy(wav: torch.Tensor) -> torch.Tensor:
    """Sum of squares over channels and time."""
    flat = wav.reshape(-1)
    return torch.dot(flat, flat)


def _is_silent(wav: torch.Tensor) -> torch.Tensor:
    """Whether the channels cancel at every sample, in the signal's own precision, as in museval.

    Every 64th sample is looked at first, which settles most frames.
    """
    silent = _cancels(wav[..., ::64])
    return _cancels(wav) if silent.any() else silent


def _cancels(wav: torch.Tensor) -> torch.Tensor:
    """Channels are added in order, as numpy does: with more than two, the order decides what is exactly zero."""
    return ~reduce(torch.add, wav.unbind(-2)).any(-1)


class FrameEnergies:
    """Energies of a song in frames of one second, from blocks of whole seconds.

    Args:
        sample_rate: Hz.
    """

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate, self.n_samples = sample_rate, 0
        self._parts: list[list[torch.Tensor]] = []

    def update(self, est_targets: torch.Tensor, targets: torch.Tensor, mixture: torch.Tensor | None = None) -> None:
        """Add a block, (n_src, channels, time) twice.

        Raises:
            ValueError: for NaN or infinite samples.
        """
        self._parts.append([part.cpu() for part in frame_energies(est_targets, targets, self.sample_rate)])
        self.n_samples += targets.shape[-1]

    def all(self) -> list[torch.Tensor]:
        """Energies of references and of errors and silence, (n_src, n_frames) each."""
        return [torch.cat(parts, -1) for parts in zip(*self._parts)]

    def whole_seconds(self) -> list[torch.Tensor]:
        """The same without the broken second at the end; a song shorter than a second is one frame."""
        n_frames = max(self.n_samples // self.sample_rate, 1)
        return [part[..., :n_frames] for part in self.all()]
