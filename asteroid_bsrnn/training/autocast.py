"""Automatic mixed precision: what runs in 16 bits, and the loss scaling that fp16 needs."""

from contextlib import AbstractContextManager, nullcontext

import torch

from ..common.precision import PRECISIONS, choose_precision


class Precision:
    """Autocast and gradient scaling of one run.

    Args:
        name: ``"fp32"``, ``"bf16"``, ``"fp16"`` or ``"auto"``; weights and optimizer stay in 32 bits.
        device_type: ``"cpu"`` or ``"cuda"``.

    Attributes:
        scaler: scales losses for fp16, does nothing for the others.

    Raises:
        UserError: a precision that is unknown or that the device does not have.
    """

    def __init__(self, name: str, device_type: str) -> None:
        name = choose_precision(name, device_type, "training.precision")
        self.dtype, self.device_type = PRECISIONS[name], device_type
        self.scaler = torch.amp.GradScaler(device_type, init_scale=2.0**13, enabled=name == "fp16")

    def autocast(self) -> AbstractContextManager:
        """Context of the forward pass."""
        return torch.autocast(self.device_type, self.dtype) if self.dtype else nullcontext()

    def step(self, optimizer: torch.optim.Optimizer, finite: bool) -> bool:
        """Step where the gradients are finite; adapt the scale.

        Returns:
            True if overflow is the likely reason for gradients that are not finite, so that the scale was
            lowered and nothing is wrong with the run.
        """
        if finite:
            optimizer.step()  # not through the scaler, which would read back whether it may
            self.scaler.update()
            return False
        before = self.scaler.get_scale()
        self.scaler.update(before / 2)
        return before > 1.0

    def abandon(self) -> None:
        """Forget that the gradients of a step were unscaled, before they are computed anew."""
        self.scaler.update(self.scaler.get_scale())
