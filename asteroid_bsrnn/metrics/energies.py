"""The sums under every SDR of music: energies of targets and errors frame by frame, in float64, in little memory."""

from functools import reduce

import torch

from ..common.errors import UserError


def check_signals(est_targets, targets, shape):
    """Refuse what cannot be scored.

    Args:
        est_targets (torch.Tensor): estimates.
        targets (torch.Tensor): references.
        shape (str): the axes that both must have, for example ``"(batch, n_src, channels, time)"``.

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


def check_finite(energies):
    """Refuse NaN and infinite samples, seen from the energies that they spoil (a look at every sample costs more).

    Args:
        energies (torch.Tensor): target or error energies, (..., n_frames), or samples.

    Raises:
        UserError: if a sample of the estimates or the references was NaN or infinite.
    """
    if not torch.isfinite(energies).all():
        raise UserError("est_targets or targets contain NaN or infinite samples")


def in_float64(signal):
    """``signal`` in float64, on the CPU when its device has no float64 (MPS)."""
    return (signal.cpu() if signal.device.type == "mps" else signal).detach().to(torch.float64)


def frame_energies(est_targets, targets, frame_len):
    """Energies of targets and of errors in consecutive frames, and which signals are silent there.

    A signal is silent in a frame when the sum of its channels is exactly 0 at every sample, museval's rule: a
    stereo signal in exact anti-phase counts as silent.

    Args:
        est_targets (torch.Tensor): estimates.
        targets (torch.Tensor): references.
        frame_len (int): length of a frame in samples; the last one may be shorter.

    Shape:
        - est_targets, targets: (..., channels, time)
        - output: three tensors (..., n_frames): target energy, error energy (float64), silence of either (bool)

    Raises:
        UserError: for NaN or infinite samples.
    """
    lead, starts = targets.shape[:-2], range(0, targets.shape[-1], frame_len)
    signal, error, silent = [], [], []
    for window in (slice(start, start + frame_len) for start in starts):
        est_frame, target_frame = est_targets[..., window], targets[..., window]
        silent.append(_is_silent(target_frame) | _is_silent(est_frame))
        for estimate, target in zip(est_frame.flatten(0, -3), target_frame.flatten(0, -3)):  # one signal fits the cache
            target = in_float64(target)
            signal.append(_energy(target))
            error.append(_energy(in_float64(estimate) - target))
    signal, error = (torch.stack(sums).reshape(len(starts), *lead).movedim(0, -1) for sums in (signal, error))
    check_finite(signal)
    check_finite(error)
    return signal, error, torch.stack(silent, -1).to(signal.device)


def _energy(wav):
    """Sum of squares over channels and time."""
    flat = wav.reshape(-1)
    return torch.dot(flat, flat)


def _is_silent(wav):
    """Whether the channels cancel at every sample, in the signal's own precision, as in museval.

    Every 64th sample is looked at first, which settles most frames.
    """
    silent = _cancels(wav[..., ::64])
    return _cancels(wav) if silent.any() else silent


def _cancels(wav):
    """Channels are added in order, as numpy does: with more than two, the order decides what is exactly zero."""
    return ~reduce(torch.add, wav.unbind(-2)).any(-1)
