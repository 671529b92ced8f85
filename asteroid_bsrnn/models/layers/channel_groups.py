"""Any number of channels for a model that reads a fixed number of them."""
from typing import Callable, Optional

import torch


def in_groups(run: Callable[[torch.Tensor], torch.Tensor], wav: torch.Tensor, size: Optional[int]) -> torch.Tensor:
    """Give a model its number of channels: consecutive groups, the last one filled by repeating its own channels.

    Estimates of repeated channels are averaged. So a stereo model hears mono as two equal channels.

    Args:
        run: (batch, size, time) -> (batch, n_src, size, time).
        wav: (batch, channels, time).
        size: channels that ``run`` takes; any number if None.

    Shape:
        (batch, channels, time) -> (batch, n_src, channels, time)
    """
    if size is None or wav.shape[1] == size:
        return run(wav)
    batch, n_chan, length = wav.shape
    groups = [torch.arange(first, min(first + size, n_chan)) for first in range(0, n_chan, size)]
    index = torch.stack([group[torch.arange(size) % len(group)] for group in groups]).to(wav.device)
    out = run(wav[:, index].reshape(-1, size, length))
    out = out.reshape(batch, len(groups), -1, size, length).transpose(1, 2).flatten(2, 3)
    total = out.new_zeros(batch, out.shape[1], n_chan, length).index_add_(2, index.flatten(), out)
    return total / torch.bincount(index.flatten(), minlength=n_chan)[:, None]
