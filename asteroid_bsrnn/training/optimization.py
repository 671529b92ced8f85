"""Optimizer and learning-rate schedule of the published protocols."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from asteroid.engine.optimizers import make_optimizer

from ..common.errors import UserError
from .starting import parameter_groups

Parameter = torch.nn.Parameter
Optimizer = torch.optim.Optimizer
Scheduler = torch.optim.lr_scheduler.LRScheduler
FUSED = ("adam", "adamw", "sgd")  # of PyTorch; one kernel for all weights on a card
SCHEDULERS = ("step", "plateau", "none")
WARMUP = "warmup_steps"  # key of the optimizer's groups


def effective_lr(lr: float, lr_reference_batch: float | None, effective_batch: int) -> float:
    """Learning rate that is used: ``lr * effective_batch / lr_reference_batch``, or ``lr`` without a reference."""
    return lr * effective_batch / lr_reference_batch if lr_reference_batch else lr


def make_optim(
    parameters: Iterable[Parameter] | Iterable[tuple[str, Parameter]],
    effective_batch: int,
    mode: str = "max",
    *,
    optimizer: str = "adam",
    lr: float = 1e-3,
    lr_reference_batch: int | None = 16,
    betas: Sequence[float] = (0.9, 0.999),
    eps: float = 1e-8,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    amsgrad: bool = False,
    scheduler: str = "step",
    step_size: int = 2,
    gamma: float = 0.98,
    plateau_factor: float = 0.5,
    plateau_patience: int = 5,
    lr_factors: dict | None = None,
    plateau_start: int | None = None,
    warmup_steps: int | None = None,
) -> tuple[Optimizer, Scheduler | None]:
    """Optimizer and scheduler; the scheduler is stepped once per epoch, after validation.

    Args:
        parameters: what to train: parameters, or pairs of a name and a parameter.
        effective_batch: items per optimizer step, over all devices and accumulated micro-batches.
        mode: ``"max"`` if a larger monitored value is better, else ``"min"``; the direction of ``plateau``.
        optimizer: any name that ``asteroid.engine.optimizers.make_optimizer`` knows.
        lr: learning rate at ``lr_reference_batch``.
        lr_reference_batch: items; None or 0: ``lr`` is used as it is.
        betas: of Adam and its kin; other optimizers take neither these nor ``eps``.
        eps: of Adam and its kin.
        momentum: of the optimizers that have one (``rmsprop``, ``sgd``); 0 elsewhere.
        weight_decay: as the optimizer defines it.
        amsgrad: of Adam and AdamW.
        scheduler: ``"step"`` (``gamma`` every ``step_size`` epochs), ``"plateau"`` or ``"none"``.
        step_size: epochs.
        gamma: factor of ``step``.
        plateau_factor: factor of ``plateau``.
        plateau_patience: epochs without improvement that ``plateau`` waits for.
        lr_factors: pattern of names -> factor of the learning rate; see :func:`.starting.parameter_groups`.
        plateau_start: epochs at the beginning that ``plateau`` does not look at.
        warmup_steps: steps over which the rate grows linearly to what the schedule says; over all
            epochs, whatever their length. See :func:`warmed_up`.

    Returns:
        Optimizer, scheduler (None for ``"none"``).

    Raises:
        UserError: for an unknown name, or a momentum or amsgrad that the optimizer does not have.
    """
    for key, value in (("plateau_start", plateau_start), ("warmup_steps", warmup_steps)):
        if value is not None and value < 0:
            raise UserError(f"optim.{key} must be a whole number from 0 on or null, not {value!r}")
    if scheduler not in SCHEDULERS:
        raise UserError(f"optim.scheduler {scheduler!r} is unknown; allowed are {', '.join(SCHEDULERS)}")
    rate = effective_lr(lr, lr_reference_batch, effective_batch)
    given: list[Any] = list(parameters)
    plain = [entry[1] if isinstance(entry, tuple) else entry for entry in given]
    fused = optimizer in FUSED and plain[0].device.type == "cuda"
    own: dict[str, Any] = {"betas": tuple(betas), "eps": eps} if "adam" in optimizer.lower() else {}
    wanted = {"momentum": momentum, "amsgrad": amsgrad, "fused": fused}
    own.update({key: value for key, value in wanted.items() if value})
    groups = parameter_groups(given, rate, lr_factors) if lr_factors else plain
    try:
        optim = make_optimizer(groups, optimizer=optimizer, lr=rate, weight_decay=weight_decay, **own)
    except ValueError as error:
        raise UserError(f"optim: {error}") from None
    except TypeError as error:
        for key, allowed in (("momentum", "0"), ("amsgrad", "false")):
            if key in str(error):
                raise UserError(f"optim.{key} must be {allowed}: {optimizer} has none") from None
        raise
    if warmup_steps:
        for group in optim.param_groups:
            group[WARMUP] = warmup_steps
    if scheduler == "step":
        return optim, torch.optim.lr_scheduler.StepLR(optim, step_size, gamma)
    if scheduler == "plateau":
        return optim, LatePlateau(
            plateau_start or 0, optim, mode=mode, factor=plateau_factor, patience=plateau_patience
        )
    return optim, None


def load_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Take up a saved state; which kernels compute the step is this device's choice, not the saved one's."""
    groups = zip(state["param_groups"], optimizer.param_groups)
    own = [{**saved, "fused": group["fused"]} if "fused" in group else saved for saved, group in groups]
    optimizer.load_state_dict({**state, "param_groups": own})


class LatePlateau(torch.optim.lr_scheduler.ReduceLROnPlateau):
    """Learning rate that falls at a plateau, blind for the first ``start`` epochs.

    Args:
        start: epochs.
        optimizer, **keywords: as of the parent.
    """

    def __init__(self, start: int, optimizer: Optimizer, **keywords: Any) -> None:
        super().__init__(optimizer, **keywords)
        self.start, self.n_seen = start, 0

    def step(self, metrics: Any, epoch: int | None = None) -> None:  # type: ignore[override]  # as the parent's
        """Once per epoch, with the monitored value."""
        self.n_seen += 1
        if self.n_seen > self.start:
            super().step(metrics, epoch)


def warmup_factor(optimizer: Optimizer, step: int) -> float:
    """What the learning rate of the step with this number (the first is 0) is multiplied with, up to 1."""
    steps = optimizer.param_groups[0].get(WARMUP)
    return min(1.0, (step + 1) / steps) if steps else 1.0


@contextmanager
def warmed_up(optimizer: Optimizer, step: int) -> Iterator[None]:
    """The learning rate of one step: a function of its number, so that a run that continues needs no further state."""
    factor = warmup_factor(optimizer, step)
    rates = [group["lr"] for group in optimizer.param_groups]
    if factor < 1:
        for group, rate in zip(optimizer.param_groups, rates):
            group["lr"] = rate * factor
    yield
    for group, rate in zip(optimizer.param_groups, rates):
        group["lr"] = rate


def scale_lr(optimizer: Optimizer, scheduler: Scheduler | None, factor: float) -> None:
    """Multiply the learning rate, now and at every later epoch; used when it is changed on resume."""
    for group in optimizer.param_groups:
        group["lr"] *= factor
        if "initial_lr" in group:
            group["initial_lr"] *= factor
    if scheduler is not None and hasattr(scheduler, "base_lrs"):
        scheduler.base_lrs = [rate * factor for rate in scheduler.base_lrs]
