"""CUDA without a card: tensors that know their device and have no values, and a list of what would wait for the card.

Real autograd and autocast, on PyTorch's FakeTensorMode. Import it in a process of its own, before torch: the
guard (``fake_cuda_guard.cpp``, built as ``$FAKE_CUDA_GUARD``) cannot be taken back.
"""

import ctypes
import os

ctypes.CDLL(os.environ["FAKE_CUDA_GUARD"])  # torch asks only once, when it is imported, whether there is CUDA

import collections  # noqa: E402
import traceback  # noqa: E402
from collections.abc import Iterator  # noqa: E402
from contextlib import contextmanager  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402
from unittest import mock  # noqa: E402

import torch  # noqa: E402
from torch import nn  # noqa: E402
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode  # noqa: E402
from torch.overrides import TorchFunctionMode  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

READ_BACK = ("_local_scalar_dense", "equal", "nonzero", "masked_select", "_unique2", "unique_dim", "unique_consecutive")
COPIES = ("_to_copy", "copy_", "_copy_from")


class Waits(TorchDispatchMode):
    """Counts what the host would wait for: values read back, results whose size depends on values, blocking copies.

    Attributes:
        seen (Counter): "operation at place in the package" -> how often.
    """

    def __init__(self) -> None:
        super().__init__()
        self.seen: collections.Counter[str] = collections.Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name, kwargs = func.__name__.split(".")[0], kwargs or {}
        first = args[0] if args else None
        on_card = isinstance(first, torch.Tensor) and first.device.type == "cuda"
        if on_card and name in READ_BACK:
            self.note(name)
            if name == "_local_scalar_dense":
                return 1.0 if first.is_floating_point() else first.dtype == torch.bool or 1
            if name == "equal":
                return True
        if on_card and name in ("index", "index_put", "index_put_"):
            self.indices(name, args[1])
        if name == "repeat_interleave" and on_card and kwargs.get("output_size") is None:
            self.note(name)
        out = func(*args, **kwargs)
        if name in COPIES:
            self.copy(name, out, args, kwargs)
        return out

    def indices(self, name: str, indices: Any) -> None:
        """Boolean indices have to be counted, those on the CPU to be copied."""
        for index in indices:
            if index is not None and (index.dtype == torch.bool or index.device.type == "cpu"):
                self.note(f"{name} by {index.dtype} on {index.device.type}")

    def copy(self, name: str, out: Any, args: Any, kwargs: Any) -> None:
        """A copy between card and host waits unless it was asked not to."""
        source = args[1] if name == "copy_" else args[0]
        devices = source.device.type, out.device.type
        if devices[0] != devices[1] and not (kwargs.get("non_blocking") or (name == "copy_" and args[2:3] == (True,))):
            self.note("copy {} -> {}".format(*devices))

    def listed(self, tensor: torch.Tensor) -> list:
        """What ``tolist`` gives of a vector: one copy, whatever the number of values."""
        if tensor.device.type == "cuda":
            self.note("tolist")
        return getattr(tensor, "known", [1.0] * tensor.numel())

    def note(self, what: str) -> None:
        self.seen[f"{what} at {_place()}"] += 1


def _place() -> str:
    """The last line of the package that led here, else of whatever asked."""
    stack = (frame for frame in traceback.extract_stack() if frame.filename != __file__)
    frames = [frame for frame in stack if "/site-packages/torch/" not in frame.filename]
    ours = [frame for frame in frames if "asteroid_bsrnn/" in frame.filename]
    last = (ours or frames)[-1]
    return f"{'/'.join(Path(last.filename).parts[-2:])}:{last.lineno}"


class Answers(TorchFunctionMode):
    """cuDNN's recurrent layers (shape and type of what they give, gradients for all that they take), and lists of values."""

    def __init__(self, waits: Waits) -> None:
        super().__init__()
        self.waits = waits

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        if name in ("tensor", "as_tensor", "new_tensor") and not isinstance(args[-1], torch.Tensor):
            owner = args[0] if name == "new_tensor" else None
            device = (kwargs or {}).get("device") or getattr(owner, "device", None)
            if device is not None and torch.device(device).type == "cuda":
                self.waits.note("copy of numbers")
                host = torch.tensor(args[-1], dtype=(kwargs or {}).get("dtype") or getattr(owner, "dtype", None))
                return torch.empty(host.shape, dtype=host.dtype, device=device)
        if name == "arange":
            out = func(*args, **(kwargs or {}))
            out.known = list(range(*args)) if all(isinstance(value, int) for value in args) else []
            return out
        if func is torch.istft and args[0].device.type == "cuda":
            self.waits.note(name)
            return args[0].real.mean(-2)[..., :1].expand(-1, kwargs["length"]).contiguous()
        if name not in ("lstm", "gru"):
            return func(*args, **(kwargs or {}))
        packed = isinstance(args[3], (list, tuple))  # then (data, batch sizes, state, parameters, ...)
        x, params, both = args[0], args[2 + packed], args[7 + packed]
        under_autocast = torch.is_autocast_enabled("cuda")
        dtype = torch.get_autocast_dtype("cuda") if under_autocast else x.dtype
        if not under_autocast and params[0].dtype != x.dtype:
            raise RuntimeError(f"{name}: input is {x.dtype}, weights are {params[0].dtype}")
        size = params[1].shape[1] * (2 if both else 1)
        with torch.autocast("cuda", enabled=False):
            mixed = x.float().mean(-1, keepdim=True) + sum(parameter.float().mean() for parameter in params)
            out = mixed.expand(*x.shape[:-1], size).to(dtype)
        state = out[:1]
        return (out, state, state) if name == "lstm" else (out, state)


@contextmanager
def fake_cuda() -> Iterator[Waits]:
    """Within this block ``device="cuda"`` works, without values; gives the list of waits."""
    never = mock.patch("torch.cuda.amp.common.amp_definitely_not_available", return_value=False)
    scaler = mock.patch("torch.amp.grad_scaler.torch.cuda.is_available", return_value=True)
    bf16 = mock.patch("torch.cuda.is_bf16_supported", return_value=True)
    waits = Waits()
    lists = mock.patch.object(FakeTensor, "tolist", lambda tensor: waits.listed(tensor))
    with never, scaler, bf16, lists, FakeTensorMode(), waits, Answers(waits):
        yield waits


def fake(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor of this shape and type on the card."""
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="cuda")


def to_card(module: nn.Module) -> nn.Module:
    """Parameters and buffers of a real module replaced by such; what is not registered stays where it is."""
    known: dict[int, nn.Parameter] = {}
    for part in module.modules():
        for name, value in part._parameters.items():
            if value is not None:
                if id(value) not in known:
                    known[id(value)] = nn.Parameter(fake(value), requires_grad=value.requires_grad)
                part._parameters[name] = known[id(value)]
        for name, value in part._buffers.items():
            if value is not None:
                part._buffers[name] = fake(value)
        if isinstance(part, nn.RNNBase):
            part._flat_weights = [getattr(part, name) for name in part._flat_weights_names]
    return module
