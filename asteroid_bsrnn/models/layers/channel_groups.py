"""Any number of channels for a model that reads a fixed number of them."""

from collections.abc import Callable

import torch


def in_groups(
    run: Callable[[torch.Tensor], torch.Tensor], wav: torch.Tensor, size: int | None, groups: list | None = None
) -> torch.Tensor:
    """Give a model its number of channels: groups of them, each filled up by repeating its own channels.

    Estimates of repeated channels are averaged. So a stereo model hears mono as two equal channels.

    Args:
        run: (batch, size, time) -> (batch, n_src, size, time).
        wav: (batch, channels, time), or spectra with (bins, frames) in the place of time, here and below.
        size: channels that ``run`` takes; any number if None.
        groups: lists of up to ``size`` channels that ``run`` hears together, each channel in one of them; consecutive
            ones if None.

    Shape:
        (batch, channels, time) -> (batch, n_src, channels, time)
    """
    if size is None or wav.shape[1] == size:
        return run(wav)
    batch, n_chan, *rest = wav.shape
    groups = groups or [list(range(first, min(first + size, n_chan))) for first in range(0, n_chan, size)]
    index = torch.tensor([[group[place % len(group)] for place in range(size)] for group in groups], device=wav.device)
    out = run(wav[:, index].reshape(-1, size, *rest))
    out = out.reshape(batch, len(groups), -1, size, *rest).transpose(1, 2).flatten(2, 3)
    total = out.new_zeros(batch, out.shape[1], n_chan, *rest).index_add_(2, index.flatten(), out)
    return total / torch.bincount(index.flatten(), minlength=n_chan).view(-1, *(1 for _ in rest))
