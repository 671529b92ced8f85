"""What a device holds: the largest micro-batch whose training step fits, tried before training begins."""

import torch

from .devices import gather
from .feed.batching import Split, largest_batch, split_batch
from .feed.ring import collate
from .feed.sampling import TolerantDataset
from .state.state import RunState
from .systems import RecordingSystem


def fit_to_device(system: RecordingSystem, state: RunState, data: TolerantDataset) -> Split:
    """How a step is cut so that it fits on every device: ``training.batch`` items at a time, on a GPU or fewer."""
    if state.fabric.device.type == "cuda":
        return fitting_split(system, state, data)
    return split_batch(state.options.effective_batch, state.options.batch, state.fabric.world_size)


def fitting_split(system: RecordingSystem, state: RunState, data: TolerantDataset) -> Split:
    """Halve the batch per device, and accumulate more, until a step fits in the memory of every GPU.

    Weights, gradients and running statistics are afterwards as before.
    """
    options, fabric = state.options, state.fabric
    buffers = {name: value.clone() for name, value in system.model.named_buffers()}  # running statistics

    def try_batch(size: int) -> None:
        batch, _ = collate([data[(0, index)] for index in range(size)])
        with state.precision.autocast():
            loss = system.common_step(fabric.to_device(batch), 0)
        loss.backward()

    wanted, world = options.effective_batch, fabric.world_size
    size = min(gather(fabric, largest_batch(try_batch, wanted, options.batch, world)))
    system.model.zero_grad(set_to_none=True)
    with torch.no_grad():
        for name, value in system.model.named_buffers():
            value.copy_(buffers[name])
    return split_batch(wanted, size, world)
