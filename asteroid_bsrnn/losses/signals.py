"""What losses of waveforms share: the estimates that they compare, and the spectra that they compare them by."""

from collections.abc import Callable

import torch


def waveforms_of(est_targets: torch.Tensor | tuple[torch.Tensor, ...], targets: torch.Tensor) -> torch.Tensor:
    """Estimated waveforms, alone or the first of a tuple, in the precision of the targets.

    Raises:
        ValueError: if their shapes differ.
    """
    estimates = est_targets[0] if isinstance(est_targets, (tuple, list)) else est_targets
    if estimates.shape != targets.shape:
        raise ValueError(f"estimates {tuple(estimates.shape)} and targets {tuple(targets.shape)} differ in shape")
    return estimates.to(targets.dtype)


def centred_stft(
    wav: torch.Tensor,
    n_fft: int,
    hop: int,
    window_len: int | None = None,
    window: Callable[..., torch.Tensor] = torch.hann_window,
    normalized: bool = False,
) -> torch.Tensor:
    """Complex STFT over the last axis, in 32 bits at least; a signal too short to be reflected is extended with zeros.

    Args:
        wav: of any shape.
        n_fft, hop: in samples.
        window_len: samples of a window that is shorter than ``n_fft``.
        window: makes it from its length.
        normalized: divide by the root of ``n_fft``.

    Shape:
        (..., time) -> (items, bins, frames)
    """
    mode = "reflect" if wav.shape[-1] > n_fft // 2 else "constant"
    length = window_len or n_fft
    with torch.autocast(wav.device.type, enabled=False):
        wav = wav.reshape(-1, wav.shape[-1]).to(torch.promote_types(wav.dtype, torch.float32))
        weights = window(length, dtype=wav.dtype, device=wav.device)
        return torch.stft(wav, n_fft, hop, length, weights, pad_mode=mode, normalized=normalized, return_complex=True)
