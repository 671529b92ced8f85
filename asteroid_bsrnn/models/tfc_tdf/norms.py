"""Norms of this family by name."""

from collections.abc import Callable, Iterable

from torch import nn

from ...common.errors import UserError

NORMS: dict[str, Callable[[int], nn.Module]] = {
    "BatchNorm": nn.BatchNorm2d,
    "SyncBatchNorm": nn.SyncBatchNorm,
    "none": lambda n_chan: nn.Identity(),
}
GROUPED = "GroupNorm"


def norm(norm_type: str, n_chan: int) -> nn.Module:
    """A norm of (batch, n_chan, frames, bins).

    Args:
        norm_type: "BatchNorm", "SyncBatchNorm" (its statistics over all processes), "InstanceNorm" (affine, statistics
            of each map), "GroupNorm2" (any number of groups) or "none".
        n_chan: channels.
    """
    if norm_type == "InstanceNorm":
        return nn.InstanceNorm2d(n_chan, affine=True)
    if norm_type.startswith(GROUPED):
        return nn.GroupNorm(int(norm_type[len(GROUPED) :]), n_chan)
    return NORMS[norm_type](n_chan)


def check_norm(norm_type: str, widths: Iterable[int]) -> None:
    """Refuse an unknown norm, or one whose groups do not divide every width.

    Raises:
        UserError: naming the width.
    """
    groups = norm_type[len(GROUPED) :] if isinstance(norm_type, str) and norm_type.startswith(GROUPED) else None
    if groups is None and norm_type not in (*NORMS, "InstanceNorm") or groups is not None and not groups.isdigit():
        known = ", ".join([*NORMS, "InstanceNorm", "GroupNorm with its number of groups (GroupNorm8)"])
        raise UserError(f"unknown norm_type {norm_type!r}: known are {known}")
    n_groups = int(groups or 0)
    for width in widths if groups is not None else ():
        if n_groups == 0 or width % n_groups:
            raise UserError(f"norm_type {norm_type}: its groups do not divide {width} channels")
