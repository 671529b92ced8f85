"""Section ``training`` of a configuration, checked; and what an absent key of any section stands for."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from .. import losses, models
from ..common.errors import UserError
from ..common.precision import check_name
from ..common.typed import check_types
from ..data import data_defaults
from ..models.layers.checks import whole
from ..separation.segments import apply_segments
from .feed.sampling import make_loader
from .optimization import make_optim
from .systems import MONITORS

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """Keys of section ``training``; the defaults are the published protocol of the music models.

    Args:
        epochs: at most so many.
        patience: validations without improvement after which training stops.
        monitor: ``"usdr"`` or ``"si_sdr"`` (larger is better), or ``"loss"``: validation score that decides.
        effective_batch: items per optimizer step over all devices.
        batch: most items that one device holds at a time; the rest is accumulated. ``"auto"``: as many as fit on a card,
            two on a processor.
        clip: largest global norm of the gradient; None: no clipping.
        precision: ``"fp32"``, ``"bf16"`` or ``"fp16"`` (automatic mixed precision), or ``"auto"``: bf16 where the
            device has it and gains by it, else fp32; a run that goes on keeps what it began with.
        seed: the only source of randomness.
        ema: decay of the weights' moving average, which is then validated and exported.
        remix_batch: music: exchange each stem among the items of a batch, on the device; more mixtures at no cost.
        tf32: on a card, round the factors of products to 10 bits (TensorFloat-32) where they are said to be fp32.
        activation_checkpointing: recompute activations in the backward pass to save memory: all, or those of a share of
            the model's stages between 0 and 1; ``"auto"``: where otherwise not even one item fits.
        checkpoint_every: optimizer steps between two checkpoints; there is always one after each epoch.
        keep_best: how many of the best models are kept in ``checkpoints/``.
        max_bad_steps: steps in a row that are not finite before training goes back to the last checkpoint.
        max_unreadable: share of an epoch's draws that may hit unreadable files.
        devices: per machine; ``"auto"``: all GPUs that can share the effective batch, or one process.
        accelerator: ``"auto"``, ``"cpu"`` or ``"gpu"``.
        init_from: weights to start from: a name, file, folder, address or hub id. A run that goes on does
            not read it again.
        strict: with ``init_from``: every weight must be there and fit; False: those that fit are taken.
        freeze: patterns of names of weights that stay as they are (``"*band_split*"``).
    """

    epochs: int = 200
    patience: int = 10
    monitor: str = "usdr"
    effective_batch: int = 8
    batch: int | str = 2
    clip: float | None = 5.0
    precision: str = "fp32"
    seed: int = 42
    ema: float | None = None
    remix_batch: bool = False
    tf32: bool = False
    activation_checkpointing: bool | float | str = False
    checkpoint_every: int = 500
    keep_best: int = 5
    max_bad_steps: int = 10
    max_unreadable: float = 0.01
    devices: int | str = "auto"
    accelerator: str = "auto"
    init_from: str | None = None
    strict: bool = True
    freeze: list[str] | None = None

    def __post_init__(self) -> None:
        if self.monitor not in MONITORS:
            raise UserError(f"training.monitor {self.monitor!r} is unknown; allowed are {', '.join(MONITORS)}")
        check_name(self.precision, "training.precision")
        counts = ("epochs", "patience", "effective_batch", "checkpoint_every", "keep_best")
        for key in counts if self.batch == "auto" else ("batch", *counts):
            whole(f"training.{key}", getattr(self, key))
        share = self.activation_checkpointing
        if share != "auto" and (isinstance(share, str) or not 0 <= share <= 1):
            raise UserError(
                "training.activation_checkpointing must be true, false, auto or a share of the stages between 0 and 1, "
                f"not {share!r}"
            )
        whole("training.seed", self.seed, least=0)
        if self.clip is not None and not self.clip > 0:
            raise UserError(f"training.clip must be more than 0 or null, not {self.clip!r}")
        if self.max_bad_steps < 1 or not 0 <= self.max_unreadable <= 1:
            raise UserError("training.max_bad_steps must be 1 or more and max_unreadable between 0 and 1")

    @property
    def mode(self) -> str:
        """``"max"`` or ``"min"``: which monitored values are better."""
        return MONITORS[self.monitor]


def call_with_section(function: Callable[..., T], section: str, conf: dict[str, Any], *args: Any) -> T:
    """``function(*args, **conf[section])``; an unknown key or a wrong type is the user's mistake, named with its section."""
    values = conf.get(section) or {}
    check_types(values, function, section)
    try:
        return function(*args, **values)
    except TypeError as error:
        if "unexpected keyword argument" in str(error):
            key = str(error).split("'")[1]
            raise UserError(f"unknown key {section}.{key} in the configuration") from None
        raise


def section_defaults(conf: dict) -> dict[str, dict[str, Any]]:
    """``{"section": {"key": value}}``: what the reader of each section does where a configuration lacks a key.

    A run that began before there was such a key did just this, so it may go on with a configuration that says so.
    """
    readers: dict[str, Callable] = {
        "training": TrainingOptions,
        "optim": make_optim,
        "loader": make_loader,
        "inference": apply_segments,
    }
    defaults = {section: _arguments(reader) for section, reader in readers.items()}
    for section, key, table in (("model", "model_name", models), ("loss", "name", losses)):
        name = (conf.get(section) or {}).get(key)
        defaults[section] = _arguments(table.get(name)) if name else {}
    return {**defaults, "data": data_defaults(conf.get("data") or {})}


def _arguments(function: Callable) -> dict[str, Any]:
    parameters = inspect.signature(function).parameters.values()
    return {entry.name: entry.default for entry in parameters if entry.default is not inspect.Parameter.empty}
