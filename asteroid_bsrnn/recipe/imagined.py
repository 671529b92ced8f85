"""Counting without computing: tensors that have a shape and no values, so that networks of any size cost no memory."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode


@contextmanager
def imagined() -> Iterator[None]:
    """Within this block tensors have no values; what would read one (a check, an inverse STFT's) takes it as passed."""
    with FakeTensorMode(), _Answers():
        yield


def _recurrent(
    x_TBI: torch.Tensor, state: torch.Tensor, weights: list[torch.Tensor], biases: bool, layers: int, *more: Any
) -> tuple[torch.Tensor, torch.Tensor]:
    """The products of all steps of a GRU at once: PyTorch would take it apart, step by step."""
    n_each, both = (4 if biases else 2), more[2]
    for layer in range(layers):
        hidden = []
        for index in range(layer * (1 + both), (layer + 1) * (1 + both)):
            w_ih, w_hh = weights[n_each * index : n_each * index + 2]
            gates = x_TBI @ w_ih.mT
            gates = gates + gates.new_empty(*gates.shape[:-1], w_hh.shape[1]) @ w_hh.mT
            hidden.append(gates[..., : w_hh.shape[1]])
        x_TBI = torch.cat(hidden, dim=-1)
    return x_TBI, state


class _Answers(TorchFunctionMode):
    """Answers what a tensor without values cannot."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.Tensor.__bool__:
            return True
        if func is torch.istft:
            return _inverse(*args, **(kwargs or {}))
        if func is torch.gru:
            return _recurrent(*args)
        return func(*args, **(kwargs or {}))


def _inverse(
    spec: torch.Tensor,
    n_fft: int,
    hop_length: int | None = None,
    *values: Any,
    length: int | None = None,
    **options: Any,
) -> torch.Tensor:
    """The shape of what ``torch.istft`` gives."""
    natural = (hop_length or n_fft // 4) * (spec.shape[-1] - 1)
    return spec.real.new_empty(*spec.shape[:-2], natural if length is None else length)
