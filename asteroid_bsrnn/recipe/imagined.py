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


class _Answers(TorchFunctionMode):
    """Answers what a tensor without values cannot."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.Tensor.__bool__:
            return True
        if func is torch.istft:
            return _inverse(*args, **(kwargs or {}))
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
