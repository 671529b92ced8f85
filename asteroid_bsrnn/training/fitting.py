"""What a device holds: the largest micro-batch whose whole training step fits, tried before training begins."""

from collections.abc import Callable
from typing import Any, Protocol

import torch

from ..common.errors import UserError
from ..models.base import as_model
from .autocast import Precision
from .devices import gather
from .feed.batching import Split, largest_batch, split_batch
from .feed.ring import RingLoader, collate
from .feed.sampling import StepSampler, TolerantDataset, TrainingSet, make_loader
from .options import call_with_section
from .state.state import RunState
from .systems import RecordingSystem

CPU_BATCH = 2  # items; more make a processor no faster
SHARE = 0.92  # of what a card has free: blocks of many sizes never fill it


class Memory(Protocol):
    """Of a device: what may be used, and what a task needs, both in bytes."""

    limit: int

    def peak(self, task: Callable[[], None]) -> int:
        """Run the task; the most that was taken meanwhile. May raise ``torch.cuda.OutOfMemoryError``."""


class CardMemory:
    """Memory of a CUDA device as PyTorch's allocator takes it, other processes' shares left out."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        torch.cuda.empty_cache()
        self.limit = int(SHARE * (torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device)))

    def peak(self, task: Callable[[], None]) -> int:
        """See :class:`Memory`."""
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(self.device)
        task()
        torch.cuda.synchronize(self.device)
        return torch.cuda.max_memory_reserved(self.device)


class Trial:
    """A whole training step, of which nothing remains: weights, statistics and the optimizer are as before.

    It holds what a step of the run holds: the averages of the weights (made with ``state``), gradients, the optimizer's
    state, and what DDP takes for its buckets.

    Args:
        system: with its model on the device.
        state: optimizer, averages, options.
        data: first items of the first epoch are taken.
        memory: of the device; None: nothing is measured.

    Attributes:
        unused: whether a trained parameter got no gradient.
    """

    def __init__(self, system: RecordingSystem, state: RunState, data: TolerantDataset, memory: Memory | None) -> None:
        self.system, self.state, self.data, self.memory = system, state, data, memory
        self.trained = [p for p in system.model.parameters() if p.requires_grad]
        self.weights = {name: value.detach().cpu().clone() for name, value in system.model.state_dict().items()}
        self.buffers = {name: value.detach().cpu().clone() for name, value in system.model.named_buffers()}
        self.unused = False

    def __call__(self, size: int) -> None:
        """Try ``size`` items.

        Raises:
            torch.cuda.OutOfMemoryError: if they do not fit.
        """
        try:
            if self.memory is None:
                self.step(size)
            elif self.memory.peak(lambda: self.step(size)) > self.memory.limit:
                raise torch.cuda.OutOfMemoryError(f"a step of {size} items leaves nothing free")
        finally:
            self.forget()

    def step(self, size: int) -> None:
        """Forward and backward pass, clipping, optimizer."""
        fabric, optimizer = self.state.fabric, self.state.optimizer
        precision = Precision(self.state.options.precision, fabric.device.type)
        batch, _ = collate([self.data[(0, index % len(self.data))] for index in range(size)])
        buckets = [torch.empty_like(p) for p in self.trained] if fabric.world_size > 1 else []
        with precision.autocast():
            total, count = self.system.step_totals(fabric.to_device(batch), 0, keep_all=True)
        precision.scaler.scale(total / count).backward()
        self.unused = any(p.grad is None for p in self.trained)
        precision.scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_(self.trained, self.state.options.clip or float("inf"))
        optimizer.step()
        del buckets

    @torch.no_grad()
    def forget(self) -> None:
        """Put everything back."""
        self.state.optimizer.zero_grad(set_to_none=True)
        self.state.optimizer.state.clear()
        self.system.model.load_state_dict(self.weights)
        for name, value in self.system.model.named_buffers():  # those that are not saved too
            value.copy_(self.buffers[name])


def make_feed(system: RecordingSystem, state: RunState, conf: dict[str, Any], train_set: TrainingSet) -> RingLoader:
    """The loader of this rank's micro-batches, which fit in the memory of every device; its batch sampler holds the position."""
    data = TolerantDataset(train_set, state.options.seed)
    split = fit_to_device(system, state, data)
    sampler = StepSampler(len(data), split, state.fabric.global_rank, state.options.seed)
    return call_with_section(make_loader, "loader", conf, data, sampler)


def fit_to_device(
    system: RecordingSystem, state: RunState, data: TolerantDataset, memory: Memory | None = None
) -> Split:
    """How a step is cut so that it fits on every device: ``training.batch`` items at a time or fewer, ``auto`` as many as fit.

    With ``training.activation_checkpointing: auto`` the model recomputes where otherwise not even one item fits. DDP is
    told whether the model leaves parameters without a gradient.

    Args:
        system, state, data: see :class:`Trial`.
        memory: of the device; None: a card's, and none on a processor, whose micro-batches are what is configured,
            or two items.

    Raises:
        UserError: on every rank, if one item does not fit somewhere.
    """
    options, fabric = state.options, state.fabric
    if memory is None and fabric.device.type == "cuda":
        memory = CardMemory(fabric.device)
    wanted, world = options.effective_batch, fabric.world_size
    most = options.batch if isinstance(options.batch, int) else CPU_BATCH if memory is None else wanted
    if memory is None and world == 1:
        return split_batch(wanted, most, world)
    trial, model = Trial(system, state, data, memory), as_model(system.model)

    def largest() -> int:
        if memory is None:
            trial(1)
            return split_batch(wanted, most, world).batch
        return largest_batch(trial, wanted, most, world)

    sizes = gather(fabric, _or_none(largest))
    if not min(sizes) and options.activation_checkpointing == "auto" and model.activation_checkpointing is not None:
        system.model.activation_checkpointing = True
        sizes = gather(fabric, _or_none(largest))
    if not min(sizes):
        raise UserError(
            "one training item does not fit in the memory of this GPU: try training.activation_checkpointing "
            "auto, training.precision bf16, or shorter segments"
        )
    if world > 1:
        strategy: Any = fabric.strategy
        strategy.expect_unused(any(gather(fabric, trial.unused)))
    return split_batch(wanted, min(sizes), world)


def _or_none(largest: Callable[[], int]) -> int:
    """What fits; 0 where nothing does, which every rank must know before it raises."""
    try:
        return largest()
    except torch.cuda.OutOfMemoryError:
        return 0
