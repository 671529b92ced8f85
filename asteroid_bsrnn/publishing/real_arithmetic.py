"""Complex numbers as pairs of real tensors, for runtimes that know no complex type.

Within :class:`RealArithmetic` a model computes what it always does, unchanged, and what would be a complex tensor is a
:class:`Pair`: the graph that an exporter sees holds real tensors only.

Letters of shapes: N signal, F bin, T frame, L sample, W sample of a window.
"""

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from ..dsp import inverse_stft
from .onnx_recurrent import gru_layer, lstm_layer, stacked

_MOVES = set(
    "clone contiguous expand expand_as flatten mT movedim permute repeat reshape select squeeze sum mean t transpose unflatten "
    "unsqueeze view view_as float double to".split()
)


class Pair:
    """A complex tensor as its real and its imaginary part.

    Methods that move or add values work on both parts; everything else that is asked of it (shape, device) is the real
    part's.
    """

    def __init__(self, real: torch.Tensor, imag: Any) -> None:
        self.real, self.imag = real, imag

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.real, name)
        if name not in _MOVES:
            return found
        if not callable(found):
            return Pair(found, getattr(self.imag, name))
        return lambda *args, **options: self.each(lambda part: getattr(part, name)(*args, **options))

    def each(self, function: Callable[[torch.Tensor], torch.Tensor]) -> "Pair":
        """A linear function of both parts."""
        return Pair(function(self.real), function(self.imag))

    def __getitem__(self, index: Any) -> "Pair":
        return self.each(lambda part: part[index])

    def __setitem__(self, index: Any, value: float) -> None:
        self.real[index], self.imag[index] = value, 0

    def __len__(self) -> int:
        return len(self.real)

    def __add__(self, other: Any) -> "Pair":
        other = as_pair(other)
        return Pair(self.real + other.real, self.imag + other.imag)

    def __sub__(self, other: Any) -> "Pair":
        other = as_pair(other)
        return Pair(self.real - other.real, self.imag - other.imag)

    def __mul__(self, other: Any) -> "Pair":
        if not isinstance(other, Pair):
            return self.each(lambda part: part * other)
        real = self.real * other.real - self.imag * other.imag
        return Pair(real, self.real * other.imag + self.imag * other.real)

    def __truediv__(self, other: Any) -> "Pair":
        return self.each(lambda part: part / other)

    __rmul__, __radd__ = __mul__, __add__

    def abs(self) -> torch.Tensor:
        """Magnitude."""
        return (self.real.square() + self.imag.square()).sqrt()

    def split(self, *args: Any, **options: Any) -> list["Pair"]:
        """As ``Tensor.split``."""
        parts = self.real.split(*args, **options), self.imag.split(*args, **options)
        return [Pair(*both) for both in zip(*parts)]

    def unbind(self, dim: int = 0) -> list["Pair"]:
        """As ``Tensor.unbind``."""
        return [Pair(*both) for both in zip(self.real.unbind(dim), self.imag.unbind(dim))]

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), options: Any = None) -> Any:
        """A function of PyTorch that was given a pair; the mode below has had it before if it is one of its own."""
        return _call(function, args, options or {})


class RealArithmetic(TorchFunctionMode):
    """Functions that make, take or end complex tensors work with :class:`Pair` instead."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), options: Any = None) -> Any:
        return _call(function, args, options or {}) if function in _FUNCTIONS else function(*args, **(options or {}))


def as_pair(value: Any) -> Pair:
    """A pair as it is, a real tensor or number with the imaginary part 0."""
    return value if isinstance(value, Pair) else Pair(value, 0.0)


def stft(wav: torch.Tensor, n_fft: int, hop_length: int, win_length: int | None = None, **options: Any) -> Pair:
    """As ``torch.stft``."""
    with torch._C.DisableTorchFunction():
        spec = torch.stft(wav, n_fft, hop_length, win_length, **{**options, "return_complex": True})
        return Pair(*torch.view_as_real(spec).unbind(-1))


def rfft(signal: torch.Tensor, n: int | None = None, dim: int = -1, norm: str | None = None) -> Pair:
    """As ``torch.fft.rfft``."""
    with torch._C.DisableTorchFunction():
        return Pair(*torch.view_as_real(torch.fft.rfft(signal, n, dim, norm)).unbind(-1))


def irfft(spec: Pair, n: int | None = None, dim: int = -1, norm: str | None = None) -> torch.Tensor:
    """As ``torch.fft.irfft``."""
    with torch._C.DisableTorchFunction():
        parts = torch.stack([spec.real, spec.imag], -1)
        return torch.fft.irfft(torch.view_as_complex(parts), n, dim, norm)


def istft(
    spec: Pair,
    n_fft: int,
    hop_length: int,
    win_length: int | None = None,
    window: torch.Tensor | None = None,
    center: bool = True,
    normalized: bool = False,
    length: int | None = None,
) -> torch.Tensor:
    """As ``torch.istft`` of centred spectra: (..., bins, frames) -> (..., time).

    Frames are added in pieces of one hop each, of which a window has a whole number once zeros are put behind it.
    """
    win_length = win_length or n_fft
    window = spec.real.new_ones(win_length) if window is None else window
    left = (n_fft - win_length) // 2
    window_W = F.pad(window, (left, n_fft - win_length - left))
    frames = irfft(spec.transpose(-1, -2), n_fft, norm="ortho" if normalized else "backward")
    n_frames = frames.shape[-2]
    wav = _overlapped(frames * window_W, hop_length) / _overlapped(
        window_W.square().expand(n_frames, n_fft), hop_length
    ).clamp(min=1e-11)
    start = n_fft // 2 if center else 0
    stop = start + length if length is not None else wav.shape[-1] - start
    return F.pad(wav, (0, n_fft))[..., start:stop] if length is not None else wav[..., start:stop]


def _overlapped(frames: torch.Tensor, hop: int) -> torch.Tensor:
    """Sum of frames that begin ``hop`` samples apart: (..., frames, window) -> (..., hop * (frames - 1) + window)."""
    n_frames, width = frames.shape[-2:]
    n_pieces = -(-width // hop)
    pieces = F.pad(frames, (0, n_pieces * hop - width)).unflatten(-1, (n_pieces, hop))
    moved = [F.pad(pieces[..., index, :], (0, 0, index, n_pieces - 1 - index)) for index in range(n_pieces)]
    return functools.reduce(torch.add, moved).flatten(-2)[..., : hop * (n_frames - 1) + width]


def _complex_pad(spec: Any, pad: Any, mode: str = "constant", value: float | None = None) -> Any:
    if isinstance(spec, Pair):
        return spec.each(lambda part: F.pad(part, pad, mode, value))
    with torch._C.DisableTorchFunction():
        return F.pad(spec, pad, mode, value)


def _joined(join: Callable[..., torch.Tensor]) -> Callable[..., Any]:
    def run(tensors: Any, *args: Any, **options: Any) -> Any:
        if not any(isinstance(tensor, Pair) for tensor in tensors):
            with torch._C.DisableTorchFunction():
                return join(tensors, *args, **options)
        real = join([tensor.real for tensor in tensors], *args, **options)
        return Pair(real, join([tensor.imag for tensor in tensors], *args, **options))

    return run


def _conv1d(signal: torch.Tensor, weight: torch.Tensor, bias: Any = None, stride: int = 1, *more: Any) -> torch.Tensor:
    """As ``F.conv1d``; of one channel in double precision as a matrix product, as runtimes have no such convolution."""
    if signal.dtype != torch.float64 or more or bias is not None or signal.shape[1] != 1:
        return F.conv1d(signal, weight, bias, stride, *more)
    frames_NMW = signal[:, 0].unfold(-1, weight.shape[-1], stride)
    return (frames_NMW @ weight[:, 0].t()).transpose(1, 2)


def _own_istft(spec: Pair, n_fft: int, n_hop: int, window: torch.Tensor, **options: Any) -> torch.Tensor:
    """As :func:`asteroid_bsrnn.dsp.inverse_stft.istft`."""
    return istft(spec, n_fft, n_hop, len(window), window, **options)


def _index_add(total: torch.Tensor, dim: int, index: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
    """As ``Tensor.index_add``, a product with zeros and ones: onnxruntime's threads lose sums that share a place."""
    places = torch.arange(total.shape[dim], device=index.device)
    ones_NM = (index[:, None] == places).to(source.dtype)
    return total + (source.movedim(dim, -1) @ ones_NM).movedim(-1, dim)


_FUNCTIONS: dict[Any, Callable[..., Any]] = {
    inverse_stft.istft: _own_istft,
    F.conv1d: _conv1d,
    torch.Tensor.index_add: _index_add,
    torch.lstm: stacked(lstm_layer),
    torch.gru: stacked(gru_layer),
    torch.stft: stft,
    torch.istft: istft,
    torch.fft.rfft: rfft,
    torch.fft.irfft: irfft,
    torch.complex: Pair,
    torch.polar: lambda size, angle: Pair(size * angle.cos(), size * angle.sin()),
    torch.view_as_complex: lambda parts: Pair(*parts.unbind(-1)),
    torch.view_as_real: lambda pair: torch.stack([pair.real, pair.imag], -1),
    torch.cat: _joined(torch.cat),
    torch.stack: _joined(torch.stack),
    torch.abs: lambda value: value.abs(),
}
_OF_PAIRS: dict[Any, Callable[..., Any]] = {
    F.pad: _complex_pad,
    torch.Tensor.mul: lambda tensor, pair: pair * tensor,
    torch.Tensor.__mul__: lambda tensor, pair: pair * tensor,
    torch.Tensor.__rmul__: lambda tensor, pair: pair * tensor,
    torch.Tensor.view_as: lambda tensor, pair: tensor.view_as(pair.real),
}


def _call(function: Any, args: Any, options: dict[str, Any]) -> Any:
    known = _FUNCTIONS.get(function) or _OF_PAIRS.get(function)
    if known is None:
        raise TypeError(f"{getattr(function, '__name__', function)} has no form without complex numbers here")
    return known(*args, **options)
