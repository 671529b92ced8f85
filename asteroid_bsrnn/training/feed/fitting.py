"""What feeds a run: the items, cut into batches that fit in the memory of every device."""

from typing import Any

from lightning_fabric import Fabric

from ..autocast import Precision
from ..devices import gather
from ..options import TrainingOptions, call_with_section
from ..systems import RecordingSystem
from .batching import Split, largest_batch, split_batch
from .ring import RingLoader, collate
from .sampling import StepSampler, TolerantDataset, TrainingSet, make_loader


def make_feed(
    fabric: Fabric, options: TrainingOptions, conf: dict[str, Any], system: RecordingSystem, train_set: TrainingSet
) -> RingLoader:
    """The loader of this rank's micro-batches; its batch sampler holds the position."""
    data = TolerantDataset(train_set, options.seed)
    split = split_batch(options.effective_batch, options.batch, fabric.world_size)
    if fabric.device.type == "cuda":
        split = fitting_split(fabric, options, system, data)
    sampler = StepSampler(len(data), split, fabric.global_rank, options.seed)
    return call_with_section(make_loader, "loader", conf, data, sampler)


def fitting_split(fabric: Fabric, options: TrainingOptions, system: RecordingSystem, data: TolerantDataset) -> Split:
    """Halve the batch per device, and accumulate more, until a step fits in the memory of every GPU.

    Weights, gradients and running statistics are afterwards as before.
    """
    precision = Precision(options.precision, fabric.device.type)
    buffers = {name: value.clone() for name, value in system.model.named_buffers()}  # running statistics

    def try_batch(size: int) -> None:
        batch, _ = collate([data[(0, index)] for index in range(size)])
        with precision.autocast():
            loss = system.common_step(fabric.to_device(batch), 0)
        loss.backward()

    wanted, world = options.effective_batch, fabric.world_size
    size = min(gather(fabric, largest_batch(try_batch, wanted, options.batch, world)))
    system.model.zero_grad(set_to_none=True)
    for name, value in system.model.named_buffers():
        value.copy_(buffers[name])
    return split_batch(wanted, size, world)
