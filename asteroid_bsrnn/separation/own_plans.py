"""Systems of several networks whose members each cut the recording in their own way, and are combined afterwards."""

import functools

import torch

from ..models.base import run_batch
from ..models.system import SeparationSystem
from .plans import make_plan
from .segments import apply_segments

_AROUND = ("standardise", "shifts", "shift", "shift_seed", "batch")  # of a plan: what is not the cutting


def follow_plans(model: torch.nn.Module) -> torch.nn.Module:
    """The model; in it, the members of systems with ``plans`` are run by these from now on, each on all that is given.

    Exact where the system is given whole recordings (its ``inference`` has long segments); a longer one is cut twice.

    Raises:
        UserError: for a plan that cannot be.
    """
    for system in model.modules():
        if isinstance(system, SeparationSystem) and system.plans:
            for plan in filter(None, system.plans):
                make_plan(int(system.sample_rate), **{key: plan[key] for key in plan if key not in _AROUND})
            system.run_member = functools.partial(_run_member, system)  # type: ignore[method-assign]
    return model


def _run_member(system: SeparationSystem, index: int, wav_BCL: torch.Tensor) -> torch.Tensor:
    """(batch, n_src, channels, time) of one member."""
    forward, plan = functools.partial(run_batch, system.networks[index]), (system.plans or [])[index]
    if plan is None:
        return forward(wav_BCL)
    return torch.stack([apply_segments(forward, wav_CL, int(system.sample_rate), **plan) for wav_CL in wav_BCL])
