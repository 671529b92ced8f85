"""Inverse STFT that never waits for the device: ``torch.istft`` reads a value back to check its window at every call."""

import torch
from torch.nn import functional as F
from torch.overrides import handle_torch_function, has_torch_function
from torch.utils.weak import WeakTensorKeyDictionary

_KEPT = 8  # envelopes per window: recordings differ in length, segments do not
_ENVELOPES = WeakTensorKeyDictionary()  # window -> {(hop, frames): envelope}


def istft(
    spec: torch.Tensor,
    n_fft: int,
    n_hop: int,
    window: torch.Tensor,
    *,
    normalized: bool = False,
    length: int | None = None,
) -> torch.Tensor:
    """What ``torch.istft`` gives of centred, one-sided spectra, without its check that the windows cover every sample.

    Frames are weighted by the window again, added where they overlap and divided by the sum of the squared windows, the
    envelope, which is computed once for as long as ``window`` lives. Nothing is read back, so that a CUDA graph can hold
    it. The caller answers for the cover: a Hann window and a hop of at most half of it.

    Args:
        n_fft, n_hop: in samples.
        window: real, at most ``n_fft`` samples; a shorter one lies in the middle.
        normalized: whether the spectra were divided by the root of ``n_fft``.
        length: samples of the result; what no frame reaches is zero. None: ``n_hop * (frames - 1)``.

    Shape:
        (items, n_fft // 2 + 1, frames), complex -> (items, length), real

    References
        D. Griffin and J. Lim, "Signal Estimation from Modified Short-Time Fourier Transform", TASSP 1984, Eq. 6.
    """
    if has_torch_function((spec,)):  # whoever answers for torch's functions answers for this one
        return handle_torch_function(istft, (spec,), spec, n_fft, n_hop, window, normalized=normalized, length=length)
    pairs_BTN2 = torch.view_as_real(spec.resolve_conj()).transpose(1, 2)  # gradients lie in memory as torch's do
    frames_BTN = torch.fft.irfft(torch.view_as_complex(pairs_BTN2), n_fft, norm="ortho" if normalized else "backward")
    total_BL = _overlap_add(frames_BTN * _filled(window, n_fft), n_hop)
    n_frames = spec.shape[-1]
    end = n_hop * (n_frames - 1) if length is None else length
    kept = slice(n_fft // 2, n_fft // 2 + end)
    wav_BL = total_BL[:, kept] / _envelope(window, n_fft, n_hop, n_frames)[kept]
    return F.pad(wav_BL, (0, end - wav_BL.shape[-1])) if wav_BL.shape[-1] < end else wav_BL


def _filled(window: torch.Tensor, n_fft: int) -> torch.Tensor:
    left = (n_fft - window.shape[0]) // 2
    return F.pad(window, (left, n_fft - window.shape[0] - left)) if window.shape[0] < n_fft else window


def _overlap_add(frames_BTN: torch.Tensor, n_hop: int) -> torch.Tensor:
    """(items, frames, n_fft) -> (items, n_fft + n_hop * (frames - 1)); the adjoint of ``unfold``."""
    n_items, n_frames, n_fft = frames_BTN.shape
    size = [n_items, n_fft + n_hop * (n_frames - 1)]
    return torch.ops.aten.unfold_backward(frames_BTN, size, 1, n_fft, n_hop)


def _envelope(window: torch.Tensor, n_fft: int, n_hop: int, n_frames: int) -> torch.Tensor:
    """Sum of the squared windows, (n_fft + n_hop * (frames - 1),)."""
    known = _ENVELOPES.setdefault(window, {})
    key = n_fft, n_hop, n_frames
    if key not in known:
        if len(known) >= _KEPT:
            known.pop(next(iter(known)))
        with torch.inference_mode(False), torch.no_grad():  # of use for training too
            squares_N = _filled(window, n_fft).square()
            known[key] = _overlap_add(squares_N.expand(1, n_frames, -1), n_hop)[0]
    return known[key]
