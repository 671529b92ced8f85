"""What the user sees of a run: plain lines, a progress bar on a terminal, and curves in the loggers that he names.

A logger is one of Lightning's. The list ``logging`` of a configuration names them, with their arguments where they need any::

    logging: [tensorboard, csv, {wandb: {project: bands}}, {my_package.MyLogger: {colour: red}}]

Without that list it is TensorBoard, where it is installed.
"""

import importlib
import inspect
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from pytorch_lightning import loggers as lightning
from tqdm import tqdm

from ..common.errors import UserError
from ..common.registry import Registry

Entry = str | Mapping[str, Mapping[str, Any]]
_LIGHTNING = {
    "tensorboard": "TensorBoardLogger",
    "csv": "CSVLogger",
    "wandb": "WandbLogger",
    "mlflow": "MLFlowLogger",
    "comet": "CometLogger",
}


def _found(name: str) -> type | None:
    """Lightning's logger of a short name, or a class by its import path."""
    if name.lower() in _LIGHTNING:
        return getattr(lightning, _LIGHTNING[name.lower()])
    module, dot, cls = name.rpartition(".")
    return getattr(importlib.import_module(module), cls, None) if dot else None


LOGGERS = Registry("logger", _found)
register_logger = LOGGERS.register


def make_loggers(entries: Sequence[Entry] | None, folder: Path, start_step: int = 0) -> list[lightning.Logger]:
    """The loggers that a configuration names.

    Args:
        entries: names, or ``{name: arguments}``; None: TensorBoard if it is installed.
        folder: experiment folder, into which loggers of files write.
        start_step: step at which an interrupted run goes on; later points of TensorBoard are dropped.

    Raises:
        UserError: for an unknown logger, one whose package is not installed, or arguments that it refuses.
    """
    if entries is None:
        with suppress(UserError):
            return [_make("tensorboard", {}, folder, start_step)]
        return []
    made = []
    for entry in entries:
        named = {entry: {}} if isinstance(entry, str) else entry
        if not isinstance(named, Mapping) or len(named) != 1:
            raise UserError(f"logging: an entry is a name or {{name: arguments}}, got {entry!r}")
        made += [_make(name, dict(arguments or {}), folder, start_step) for name, arguments in named.items()]
    return made


def _make(name: str, arguments: dict[str, Any], folder: Path, start_step: int) -> lightning.Logger:
    try:
        cls = LOGGERS.get(name)
    except (UserError, ImportError) as error:
        short = ", ".join(_LIGHTNING)
        raise UserError(f"logging: {error}; short names are {short}, others are import paths") from None
    takes = inspect.signature(cls).parameters
    if cls in (lightning.TensorBoardLogger, lightning.CSVLogger):
        place = {
            "name": name.lower(),
            "version": "" if cls is lightning.TensorBoardLogger else f"from_step_{start_step}",
        }
        arguments = {
            **place,
            **({"purge_step": start_step or None} if name.lower() == "tensorboard" else {}),
            **arguments,
        }
    if "save_dir" in takes:
        arguments = {"save_dir": str(folder), **arguments}
    try:
        return cls(**arguments)
    except (ImportError, TypeError, ValueError) as error:
        raise UserError(f"logging: {name}: {' '.join(str(error).split())}") from None


class Log:
    """Prints on the first rank only; the bar appears on terminals only, so that log files stay readable.

    Args:
        first_rank: False silences everything.
        loggers: Lightning loggers that get curves: losses of steps, scores of epochs.
    """

    def __init__(self, first_rank: bool = True, loggers: Sequence[lightning.Logger] = ()) -> None:
        self.first_rank, self.loggers = first_rank, loggers
        self.bar = tqdm(disable=True)

    def line(self, text: str) -> None:
        """One line, above the bar if there is one."""
        if self.first_rank:
            tqdm.write(text, file=sys.stdout)
            sys.stdout.flush()

    def start_bar(self, title: str, total: int, done: int = 0) -> None:
        """Begin a bar of so many steps."""
        off = True if not self.first_rank else None  # None: off where stderr is no terminal
        self.bar = tqdm(desc=title, total=total, initial=done, disable=off, leave=False, dynamic_ncols=True)

    def advance(self, loss: float | None = None, step: int | None = None) -> None:
        """One step further; its loss is a point of the curve ``step_loss``."""
        self.bar.update()
        if loss is not None:
            self.bar.set_postfix(loss=f"{loss:.4g}", refresh=False)
            self.scalars({"step_loss": loss}, step)

    def stop_bar(self) -> None:
        """Take the bar away."""
        self.bar.close()

    def scalars(self, values: Mapping[str, float], step: int | None) -> None:
        """Points of the loggers' curves."""
        for logger in self.loggers:
            logger.log_metrics({name: float(value) for name, value in values.items() if _is_number(value)}, step=step)

    def close(self) -> None:
        """End the bar and what loggers keep open."""
        self.stop_bar()
        for logger in self.loggers:
            with suppress(OSError):  # a full disk, which the run has told about
                logger.save()
                logger.finalize("success")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
