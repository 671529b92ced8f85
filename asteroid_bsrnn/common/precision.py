"""What a device can compute in: tried on small layers, since the names of devices and libraries do not tell."""

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, overload

import torch

from .errors import UserError

PRECISIONS = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
CHOICES = (*PRECISIONS, "auto")
_HALF_LAYERS = (torch.nn.RNNBase, torch.nn.Linear, torch.nn.Conv1d, torch.nn.Conv2d)
_GAIN = 1.2  # bf16 that is emulated takes 1.3 to 4 times as long as fp32, where it is built in a quarter to 0.6


@cache
def supports(precision: str, device: str | torch.device) -> bool:
    """Whether recurrent, linear and convolution layers run on ``device`` in ``precision``, forwards and backwards.

    The answer is that of tiny layers under autocast; no random number is drawn from the caller's generators. Emulation
    counts as long as it works: see :func:`choose_precision` for what is worth the while.

    Args:
        precision: a key of :data:`PRECISIONS`.
        device: such as ``"cpu"`` or ``"cuda:1"``; it must be there.
    """
    dtype, device = PRECISIONS[precision], torch.device(device)
    if dtype is None:
        return True
    try:
        with warnings.catch_warnings():  # autocast warns of a type that it does not know, and then leaves it at fp32
            warnings.simplefilter("ignore")
            return all(_runs(layer.to(device), x.to(device), dtype) for layer, x in _small_layers())
    except (RuntimeError, TypeError, AssertionError):
        return False


def _small_layers() -> Iterator[tuple[torch.nn.Module, torch.Tensor]]:
    """(layer, input) of each kind in which models spend their time, in fp32 on the CPU."""
    real: dict[str, Any] = {"dtype": torch.float32, "device": "cpu"}
    with torch.random.fork_rng(devices=[]):
        yield torch.nn.LSTM(8, 8, bidirectional=True, **real), torch.ones(4, 2, 8, **real)
        yield torch.nn.Linear(8, 8, **real), torch.ones(2, 8, **real)
        yield torch.nn.Conv1d(8, 8, 3, **real), torch.ones(2, 8, 9, **real)
        yield torch.nn.Conv2d(8, 8, 3, **real), torch.ones(2, 8, 9, 9, **real)


def _runs(layer: torch.nn.Module, x: torch.Tensor, dtype: torch.dtype) -> bool:
    """Whether the layer computes in ``dtype`` and gives finite gradients."""
    with torch.inference_mode(False), torch.enable_grad():
        with torch.autocast(x.device.type, dtype):
            y = layer(x.clone())  # a clone is no tensor of inference mode
        y = y[0] if isinstance(y, tuple) else y
        y.float().sum().backward()
    return y.dtype == dtype and all(p.grad is not None and bool(p.grad.isfinite().all()) for p in layer.parameters())


def use_tf32(allowed: bool) -> None:
    """Allow or forbid TensorFloat-32 in products, convolutions and recurrent layers on a card; PyTorch allows the latter two."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = allowed


def full_precision(device: str | torch.device) -> torch.autocast:
    """Context without automatic mixed precision: losses, permutation search and scores are computed as they are given."""
    return torch.autocast(torch.device(device).type, enabled=False)


@overload
def widened(value: torch.Tensor) -> torch.Tensor: ...


@overload
def widened(value: tuple[Any, ...] | list[Any]) -> tuple[Any, ...]: ...


def widened(value: torch.Tensor | tuple[Any, ...] | list[Any]) -> torch.Tensor | tuple[Any, ...]:
    """A tensor, or a tuple of them, with 16-bit numbers as 32-bit ones; others as they are."""
    if isinstance(value, (tuple, list)):
        return tuple(map(widened, value))
    return value.float() if value.dtype in (torch.float16, torch.bfloat16) else value


def check_name(precision: str, what: str = "precision") -> None:
    """Refuse a name that is not in :data:`CHOICES`.

    Raises:
        UserError: naming ``what`` was given and what is allowed.
    """
    if precision not in CHOICES:
        raise UserError(f"{what} {precision!r} is unknown; allowed are {', '.join(CHOICES)}")


def choose_precision(wanted: str, device: str | torch.device, what: str = "precision") -> str:
    """The key of :data:`PRECISIONS` to compute in; ``"auto"`` is bf16 where that is there and fast, else fp32.

    Raises:
        UserError: if the name is unknown or the device cannot compute in it; says what to use instead.
    """
    check_name(wanted, what)
    if wanted == "auto":
        return "bf16" if supports("bf16", device) and _is_faster("bf16", device) else "fp32"
    if not supports(wanted, device):
        there = " or ".join(name for name in PRECISIONS if supports(name, device))
        raise UserError(f"{what} {wanted} cannot be had on device {str(device)!r} here: use {there}")
    return wanted


@cache
def _is_faster(precision: str, device: str | torch.device) -> bool:
    """Whether a linear layer gains by 16 bits; the best of a few turns each, so that a busy machine changes nothing."""
    size = 512 if torch.device(device).type == "cpu" else 2048
    x = torch.ones(size, size, dtype=torch.float32, device=device)
    best = {None: float("inf"), PRECISIONS[precision]: float("inf")}
    for _ in range(6):
        for dtype in best:
            best[dtype] = min(best[dtype], _seconds(x, dtype))
    return best[None] > _GAIN * best[PRECISIONS[precision]]


def _seconds(x: torch.Tensor, dtype: torch.dtype | None) -> float:
    """Duration of a product in ``dtype`` (None: as given), until its result is there."""
    start = time.perf_counter()
    with torch.no_grad(), torch.autocast(x.device.type, dtype, enabled=dtype is not None):
        torch.nn.functional.linear(x, x)[0, 0].item()
    return time.perf_counter() - start


@contextmanager
def layers_in(dtype: torch.dtype | None, model: torch.nn.Module, device_type: str) -> Iterator[None]:
    """Let the layers that take the time compute in 16 bits and hand on 32.

    Autocast over the whole network is 15 % faster on CPUs, and its error is 7 dB larger: above -40 dB for the largest.
    """
    layers = [layer for layer in model.modules() if dtype and isinstance(layer, _HALF_LAYERS)]

    def lowered(forward: Callable[..., Any]) -> Callable[..., Any]:
        def run(*inputs: Any, **options: Any) -> Any:
            with torch.autocast(device_type, dtype):
                return _in_fp32(forward(*inputs, **options))

        return run

    try:
        for layer in layers:
            layer.__dict__["forward"] = lowered(layer.forward)
        yield
    finally:
        for layer in layers:
            layer.__dict__.pop("forward", None)


def _in_fp32(value: Any) -> Any:
    return tuple(map(_in_fp32, value)) if isinstance(value, tuple) else value.float()
