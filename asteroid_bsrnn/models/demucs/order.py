"""Sources in another order: the output channels of the last layers, permuted in blocks."""

from collections.abc import Sequence
from typing import Any

import torch


def permute_sources(model: Any, order: Sequence[int]) -> dict[str, torch.Tensor]:
    """Weights of a network whose source ``i`` is source ``order[i]`` of ``model``. Exact.

    Args:
        model: with ``last_layers()``: names of transposed convolutions and their channels per source.
        order: index of the old source for each new one.
    """
    state = dict(model.state_dict())
    for name, width in model.last_layers():
        index = (torch.tensor(order)[:, None] * width + torch.arange(width)).flatten()
        state[f"{name}.weight"] = state[f"{name}.weight"][:, index.to(state[f"{name}.weight"].device)]
        state[f"{name}.bias"] = state[f"{name}.bias"][index.to(state[f"{name}.bias"].device)]
    return state
