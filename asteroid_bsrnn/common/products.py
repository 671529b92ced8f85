"""Linear layers and convolutions on a processor where PyTorch does not take the quickest of its own ways.

PyTorch takes ``F.linear`` from MKL, which on AMD's processors leaves AVX-512 unused: half of what oneDNN reaches there. A
product is a convolution of width 1 too, and ``F.conv2d`` takes those from oneDNN where :func:`quick` says that it is worth
it: an operation of PyTorch like any other, with gradients of any order. Elsewhere the functions below are PyTorch's own.

``dilation=2`` means nothing to filters of width 1, but PyTorch gives such ones to MKL if it runs on one thread and the
batch is below 16, unless they are dilated (``ConvParams::use_mkldnn`` in aten/src/ATen/native/Convolution.cpp).

With ``ASTEROID_BSRNN_PLAIN`` set in the environment, everything is computed as PyTorch and Asteroid have it.

Legend: M rows, K features in, N features out, B batch, C channel, T frame.
"""

import functools
import os
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

PLAIN = bool(os.environ.get("ASTEROID_BSRNN_PLAIN"))
LEAST_PRODUCTS = 2**22  # multiply-adds; with fewer, the way there costs more than the product
LEAST_ROWS = 64  # with fewer, laying out the weights does
LEAST_VALUES = 2**16  # of the input of a dilated convolution
MOST_TAPS = 5  # of it


@functools.cache
def onednn_leads() -> bool:
    """Whether oneDNN multiplies faster than MKL here: known of AMD's processors with AVX-512."""
    found: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    both = torch.backends.mkldnn.is_available() and torch.backends.mkl.is_available()
    return both and "AMD" in found.get("cpu_name", "") and found.get("avx512_f", False)


def quick(x: torch.Tensor, weight: torch.Tensor) -> bool:
    """Whether to take a product of features with a weight (N, K, ...) from oneDNN: a large one of :func:`ordinary` ones."""
    if not onednn_leads() or not ordinary(x):
        return False
    n_rows = x.numel() // weight.shape[1]
    return n_rows >= LEAST_ROWS and n_rows * weight.numel() >= LEAST_PRODUCTS


def ordinary(x: torch.Tensor) -> bool:
    """Whether it is an fp32 tensor of a processor, outside autocast, while nothing is traced or exported."""
    if PLAIN or torch.jit.is_tracing() or torch.compiler.is_compiling() or type(x) not in (torch.Tensor, nn.Parameter):
        return False
    return x.device.type == "cpu" and x.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")


def linear(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """``F.linear``.

    Shape:
        (..., K), (N, K), (N,) -> (..., N)
    """
    if not quick(x, weight):
        return F.linear(x, weight, bias)
    x_1KM1 = x.reshape(1, -1, 1, weight.shape[1]).permute(0, 3, 1, 2)  # in memory (M, K) still: "channels last"
    y_1NM1 = F.conv2d(x_1KM1, weight[:, :, None, None], bias, dilation=2)
    return y_1NM1.permute(0, 2, 3, 1).reshape(*x.shape[:-1], len(weight))


def pointwise(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """``F.conv1d`` or ``F.conv2d`` of width 1.

    Shape:
        (B, K, ...), (N, K, 1 or 1, 1), (N,) -> (B, N, ...); without B too
    """
    conv = F.conv1d if weight.ndim == 3 else F.conv2d
    stride, padding, dilation = 1, 0, 2 if quick(x, weight) else 1
    return conv(x, weight, bias, stride, padding, dilation)


def dilated(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, padding: int, dilation: int
) -> torch.Tensor:
    """``F.conv1d`` in as many groups as channels, tap by tap: a sum of shifted inputs, each times its gains.

    For dilated filters PyTorch's own takes twice as long on a processor, with its gradient too.

    Shape:
        (B, C, T), (C, 1, taps), (C,) -> (B, C, T + 2 padding - (taps - 1) dilation); without B too
    """
    length = x.shape[-1] + 2 * padding - (weight.shape[-1] - 1) * dilation
    padded, gains_C1 = F.pad(x, (padding, padding)), weight[:, 0].split(1, dim=1)
    shifted = [padded[..., start : start + length] for start in range(0, len(gains_C1) * dilation, dilation)]
    total = shifted[0] * gains_C1[0] if bias is None else torch.addcmul(bias[:, None], shifted[0], gains_C1[0])
    for part, gain_C1 in zip(shifted[1:], gains_C1[1:]):
        total = torch.addcmul(total, part, gain_C1)
    return total


class Linear(nn.Linear):
    """``nn.Linear``, its product by :func:`linear`."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return linear(input, self.weight, self.bias)


class Conv1d(nn.Conv1d):
    """``nn.Conv1d``, by :func:`pointwise` or :func:`dilated` if that is all it is."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        if (self.kernel_size, self.stride, self.padding, self.groups) == ((1,), (1,), (0,), 1):
            return pointwise(input, self.weight, self.bias)
        if self._is_dilated() and input.numel() >= LEAST_VALUES and ordinary(input):
            return dilated(input, self.weight, self.bias, int(self.padding[0]), self.dilation[0])
        return super().forward(input)

    def _is_dilated(self) -> bool:
        each = self.groups == self.in_channels == self.out_channels
        plain = self.stride == (1,) and self.padding_mode == "zeros" and isinstance(self.padding, tuple)
        return each and plain and self.dilation[0] > 1 and 1 < self.kernel_size[0] <= MOST_TAPS
