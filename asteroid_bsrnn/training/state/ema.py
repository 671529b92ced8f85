"""Exponential moving average of the weights."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ...common.errors import UserError


class WeightAverage:
    """Running mean of a model's state, ``mean <- decay * mean + (1 - decay) * weights`` after every step.

    Args:
        model: followed model; entries that are not floating point are copied.
        decay: in (0, 1).
    """

    def __init__(self, model: torch.nn.Module, decay: float) -> None:
        if not 0 < decay < 1:
            raise UserError(f"training.ema must lie between 0 and 1 or be null, not {decay!r}")
        self.model, self.decay = model, decay
        self.mean = {name: value.detach().clone() for name, value in model.state_dict().items()}

    @torch.no_grad()
    def update(self) -> None:
        """Take one step towards the present weights."""
        for name, value in self.model.state_dict().items():
            if value.is_floating_point():
                self.mean[name].lerp_(value, 1 - self.decay)
            else:
                self.mean[name].copy_(value)

    def state_dict(self) -> dict[str, torch.Tensor]:
        """The mean, by the names of the model's own state."""
        return self.mean

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        """Take up the mean of :meth:`state_dict`."""
        for name, value in self.mean.items():
            value.copy_(state[name])

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within this block the model holds the mean."""
        own = {name: value.detach().clone() for name, value in self.model.state_dict().items()}
        self.model.load_state_dict(self.mean)
        try:
            yield
        finally:
            self.model.load_state_dict(own)
