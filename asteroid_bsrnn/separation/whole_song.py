"""What is done to a recording as a whole around its separation: standardised, shifted at random."""

import math
from collections.abc import Callable, Iterable

import numpy as np
import torch

Run = Callable[[torch.Tensor], torch.Tensor]


def mono_mix_level(wav_CL: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation (unbiased) of the mean over channels; silence has the deviation 1. Scalars."""
    mono_L = wav_CL.mean(0)
    std = mono_L.std() if len(mono_L) > 1 else mono_L.new_zeros(())
    return mono_L.mean(), torch.where(std > 0, std, torch.ones_like(std))


def mono_mix_level_of(blocks: Iterable[torch.Tensor]) -> tuple[float, float]:
    """:func:`mono_mix_level` of a recording that comes in blocks, (channels, time) each, in constant memory.

    The same to the last bit for any number of threads, which PyTorch's sums are not.
    """
    n, mean, squares = 0, 0.0, 0.0
    for block_CL in blocks:
        mono_L = block_CL.double().mean(0).cpu().numpy()
        n_here, delta = mono_L.size, float(mono_L.mean()) - mean
        squares += float(np.square(mono_L - mono_L.mean()).sum()) + delta**2 * n * n_here / (n + n_here)
        n, mean = n + n_here, mean + delta * n_here / (n + n_here)
    std = math.sqrt(squares / (n - 1)) if n > 1 else 0.0
    return mean, std or 1.0


def standardised(run: Run, wav_CL: torch.Tensor, by: bool | str = True) -> torch.Tensor:
    """``run`` on the recording less the mean of its mono mix, divided by the deviation of that; both are undone.

    Args:
        by: ``"channels"`` takes mean and deviation of all samples of all channels instead.

    Shape:
        (channels, time) -> (n_src, channels, time)
    """
    mean, std = mono_mix_level(wav_CL.reshape(1, -1) if by == "channels" else wav_CL)
    return run((wav_CL - mean) / std) * std + mean


def shifted(run: Run, count: int, most: int, seed: int = 0) -> Run:
    """The mean of ``run`` over random delays of the recording, from the same seed for every recording.

    Args:
        count: of delays.
        most: largest delay, samples.
    """

    def average(wav_CL: torch.Tensor) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        total: torch.Tensor | int = 0
        for _ in range(count):
            delay = int(torch.randint(most + 1, (), generator=generator))
            total = total + run(torch.nn.functional.pad(wav_CL, (delay, 0)))[..., delay:] / count
        return torch.as_tensor(total)

    return average
