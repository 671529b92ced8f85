"""Channels: any number of them for a model of one or two, and speech estimates that agree across them."""

import torch

from .segments import best_order

_RIDGE = 1e-4  # of a source's energy


def explain(wav: torch.Tensor, estimate: torch.Tensor) -> torch.Tensor:
    """Put sources without order or level into the order of the first channel, scaled to explain the mixture.

    Scale-invariant training leaves level and sign of each output open. The gains are those of least squares for
    ``wav = sum(gain * estimate)`` per item and channel, with a little regularisation for outputs that are alike.

    Shape:
        (batch, channels, time), (batch, n_src, channels, time) -> (batch, n_src, channels, time)
    """
    first = estimate[:, :, 0]
    orders = [[best_order(e[:, chan], f) for chan in range(e.shape[1])] for e, f in zip(estimate, first)]
    order = torch.tensor(orders).transpose(1, 2)[..., None].expand_as(estimate).to(estimate.device)
    sources = estimate.gather(1, order).transpose(1, 2).double()  # (batch, channels, n_src, time)
    sources = sources / sources.norm(dim=-1, keepdim=True).clamp(min=1e-12)
    ridge = _RIDGE * torch.eye(sources.shape[2], dtype=sources.dtype, device=sources.device)
    gains = torch.linalg.solve(sources @ sources.transpose(-1, -2) + ridge, sources @ wav.double()[..., None])
    return (gains * sources).transpose(1, 2).to(wav)
