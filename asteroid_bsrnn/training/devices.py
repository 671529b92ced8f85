"""What to train on: CPU, one GPU or several, on one machine or many, through Lightning's Fabric."""

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch

from ..common.errors import UserError

ACCELERATORS = ("auto", "cpu", "gpu")
PATIENCE = timedelta(minutes=10)
"""How long a process waits for the others before it takes them for lost: one that validates the longest recording, say."""


def _launched():
    """Who started one process per device already: (devices per machine, machines, Lightning's environment), or None."""
    from lightning_fabric.plugins.environments import SLURMEnvironment, TorchElasticEnvironment

    if "LOCAL_WORLD_SIZE" in os.environ and "WORLD_SIZE" in os.environ:  # torchrun
        local = int(os.environ["LOCAL_WORLD_SIZE"])
        return local, int(os.environ["WORLD_SIZE"]) // local, TorchElasticEnvironment()
    if int(os.environ.get("SLURM_NTASKS", 1)) > 1 and "SLURM_PROCID" in os.environ:  # srun
        nodes = int(os.environ.get("SLURM_NNODES", 1))
        return int(os.environ["SLURM_NTASKS"]) // nodes, nodes, SLURMEnvironment(auto_requeue=False)
    return None


def is_first_process() -> bool:
    """Whether this process is the only one of a run, or its first; known before :func:`make_fabric` joins them."""
    launched = _launched()
    return launched[2].global_rank() == 0 if launched else int(os.environ.get("LOCAL_RANK", 0)) == 0


def choose_devices(devices, accelerator, effective_batch):
    """Number of devices on this machine, number of machines, and Lightning's name of the accelerator.

    Args:
        devices (int or str): ``"auto"``: all GPUs that can share the effective batch evenly; one process on CPU.
        accelerator (str): ``"auto"`` (GPU where there is one), ``"cpu"`` or ``"gpu"``.
        effective_batch (int): items per optimizer step.

    Raises:
        UserError: for a GPU that is not there, or a count that is no positive number.
    """
    if accelerator not in ACCELERATORS:
        raise UserError(f"training.accelerator {accelerator!r} is unknown; allowed are {', '.join(ACCELERATORS)}")
    n_gpus = torch.cuda.device_count() if accelerator != "cpu" else 0
    if accelerator == "gpu" and not n_gpus:
        raise UserError("training.accelerator is gpu, but no CUDA device can be seen here")
    kind = "cuda" if n_gpus else "cpu"
    launched = _launched()
    if launched:
        return launched[:2] + (kind,)
    if devices == "auto":
        return max(n for n in range(1, max(n_gpus, 1) + 1) if effective_batch % n == 0), 1, kind
    if not isinstance(devices, int) or devices < 1:
        raise UserError(f"training.devices must be auto or a number from 1 on, not {devices!r}")
    if n_gpus and devices > n_gpus:
        raise UserError(f"training.devices is {devices}, but only {n_gpus} GPUs can be seen here")
    return devices, 1, kind


def make_fabric(devices="auto", accelerator="auto", effective_batch=1):
    """Start (or join) the processes of this run; afterwards every rank goes on with its own ``Fabric``."""
    from lightning_fabric import Fabric
    from lightning_fabric.plugins.environments import LightningEnvironment

    n_devices, n_nodes, kind = choose_devices(devices, accelerator, effective_batch)
    strategy = _data_parallel() if n_devices * n_nodes > 1 else "auto"
    launched = _launched()  # else this process starts the others, also in a SLURM job of a single task
    environment = launched[2] if launched else LightningEnvironment()
    fabric = Fabric(accelerator=kind, devices=n_devices, num_nodes=n_nodes, strategy=strategy, plugins=[environment])
    fabric.launch()
    return fabric


def _data_parallel() -> Any:
    """DDP whose gradients live in its buckets, and which looks for parameters without a gradient only if it is told to."""
    from lightning_fabric.strategies import DDPStrategy

    class DataParallel(DDPStrategy):
        def expect_unused(self, unused: bool) -> None:
            """Whether some parameters get no gradient, as in some of the host's models; said before the module is set up."""
            self._ddp_kwargs["find_unused_parameters"] = unused

    return DataParallel(timeout=PATIENCE, gradient_as_bucket_view=True)


@contextmanager
def lost_ranks_explained(fabric: Any) -> Iterator[None]:
    """Within this block the failure of an exchange between processes is the user's to understand.

    Raises:
        UserError: where another process of the run ended, or did not answer for :data:`PATIENCE`.
    """
    try:
        yield
    except RuntimeError as error:
        exchange = isinstance(error, torch.distributed.DistError) or any(
            name in str(error) for name in ("gloo", "NCCL")
        )
        if fabric.world_size == 1 or not exchange:
            raise
        raise UserError(
            f"process {fabric.global_rank} of {fabric.world_size} lost another one of this run (it ended, or did not answer "
            f"for {PATIENCE.seconds // 60} minutes): look at its last lines, then run the same command again to continue"
        ) from error


def gather(fabric, value):
    """List of every rank's ``value`` (any plain object)."""
    if fabric.world_size == 1:
        return [value]
    found = [None] * fabric.world_size
    torch.distributed.all_gather_object(found, value)
    return found


def on_first_rank(fabric, function, *args):
    """``function(*args)`` on the first rank alone; its result, or its :class:`UserError`, on every rank."""
    found = None, None
    if fabric.is_global_zero:
        try:
            found = function(*args), None
        except UserError as error:
            found = None, str(error)
    value, refusal = fabric.broadcast(found)
    if refusal is not None:
        raise UserError(refusal)
    return value


def peak_memory(device):
    """Largest memory in bytes that this process has used: on the GPU, else of the whole process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
