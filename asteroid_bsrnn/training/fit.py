"""``fit``: trains one model, whatever the recipe, and continues exactly where an earlier run of the folder stopped."""

from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from asteroid.models import BaseModel
from lightning_fabric import Fabric

from ..common.errors import UserError
from ..common.files import full_disk_explained, remove_leftovers
from ..common.memory import keep_freed_memory
from ..common.precision import PRECISIONS, choose_precision, supports, use_tf32
from ..experiment.energy import LEDGER_FILE, make_meter
from ..experiment.run import RunRecord
from ..models.base import as_model
from .devices import choose_devices, lost_ranks_explained, make_fabric, on_first_rank
from .feed.sampling import TrainingSet, ValidationSet, stop_workers
from .fitting import make_feed
from .loggers import Log, make_loggers
from .loop import Loop
from .notes import RunNotes
from .optimization import make_optim
from .options import TrainingOptions, call_with_section, section_defaults
from .starting import freeze, start_from
from .state.checkpoints import Checkpoints, exclusive, load
from .state.mending import exports_behind, is_finished, mend_best, newest_checkpoint, outcome
from .state.state import RunState
from .stopping import Interrupted, stop_signals
from .systems import MusicSystem, RecordingSystem


def training_options(conf: dict[str, Any]) -> TrainingOptions:
    """Section ``training`` of a configuration, checked, for this machine too: call it before data are read.

    Raises:
        UserError: for a wrong value, a device that is not there, or a precision that this processor does not have (that
            of a GPU is tried by :func:`fit`, on the one that each process gets).
    """
    options = call_with_section(TrainingOptions, "training", conf)
    if choose_devices(options.devices, options.accelerator, options.effective_batch)[2] == "cpu":
        choose_precision(options.precision, "cpu", "training.precision")
    return options


def fit(
    model: BaseModel,
    train_set: TrainingSet,
    val_set: ValidationSet,
    loss_func: Callable[..., torch.Tensor],
    conf: dict[str, Any],
    exp_dir: str | Path,
    system_cls: type[RecordingSystem] = MusicSystem,
    run_info: dict[str, Any] | None = None,
    allow_changes: bool = False,
    ledger: str | Path | None = None,
) -> dict[str, Any]:
    """Train ``model``; called again on the same folder, continue it bit by bit (on CPU), or do nothing if it is done.

    For a run that can be repeated, call :func:`.loop.seed_everything` with ``conf["training"]["seed"]`` before the
    model is built.

    Args:
        model: to train; holds the best weights afterwards.
        train_set: ``train_set[(epoch, index)]`` -> ``(mixture, sources)``, drawn from (seed, epoch, index) alone.
        val_set: ``val_set[index]`` -> ``(mixture, sources)``, whole recordings.
        loss_func: ``loss(est_targets, targets)``.
        conf: configuration; sections ``training`` (:class:`.options.TrainingOptions`), ``optim``
            (:func:`.optimization.make_optim`), ``loader`` (:func:`.sampling.make_loader`), ``inference``, ``energy``
            (:func:`asteroid_bsrnn.experiment.energy.make_meter`) are read here; the whole is stored.
        exp_dir: experiment folder.
        system_cls: :class:`.systems.MusicSystem` or :class:`.systems.SpeechSystem`.
        run_info: further entries of ``run.json`` (protocol, variant, corpus, source, ...).
        allow_changes: accept other values of patience, epochs and learning rate than the folder was begun with;
            the change is recorded.
        ledger: energy ledger; None: ``exp_dir/energy.json``.

    Returns:
        status, epochs, best_epoch, best (monitored value), monitor, best_model (path), exp_dir.

    Raises:
        UserError: whatever the user can mend: configuration, folder, disk, unreadable data, divergence.
        Interrupted: a ``SystemExit`` after SIGTERM or SIGUSR1, with everything saved.
    """
    options = training_options(conf)
    if not len(val_set):
        raise UserError("the validation set is empty: at least one recording is needed to choose the best model")
    exp_dir, ledger = Path(exp_dir), Path(ledger or Path(exp_dir) / LEDGER_FILE)
    fabric = make_fabric(options.devices, options.accelerator, options.effective_batch)
    use_tf32(options.tf32)
    if fabric.device.type == "cpu":
        keep_freed_memory()
    record, checkpoints = RunRecord(exp_dir, conf, section_defaults(conf)), Checkpoints(exp_dir / "checkpoints")
    options = replace(options, precision=fabric.broadcast(_precision(options.precision, record, fabric.device)))
    with full_disk_explained(exp_dir), lost_ranks_explained(fabric), ExitStack() as stack:
        if fabric.is_global_zero:
            stack.enter_context(exclusive(checkpoints.folder))
        # what the folder holds: a finished run, one to continue, or nothing
        changes = record.changes(allow_changes)
        if is_finished(record, changes):
            return _finished(fabric, record, model)
        newest = _newest_checkpoint(fabric, exp_dir, checkpoints, ledger)
        # what is trained, on what
        info = {**(run_info or {}), **_set_weights(fabric, options, model, is_new=newest is None)}
        system = _make_system(fabric, options, conf, model, loss_func, system_cls)
        system.complete = getattr(val_set, "complete", True)
        state = RunState(fabric, model, system.optimizer, system.scheduler, options, checkpoints)
        loader = make_feed(system, state, conf, train_set)
        # where it stands
        behind = _restore(state, newest) if newest else False
        if newest and state.finished() and record.run.status == "finished":
            return _finished(fabric, record, model)
        # who looks on
        first = fabric.is_global_zero
        log = Log(first, make_loggers(conf.get("logging"), exp_dir, state.progress.global_step) if first else [])
        stack.callback(log.close)
        if newest is None:
            _save_first(state, record)
        meter = None
        if fabric.local_rank == 0:
            meter = call_with_section(make_meter, "energy", conf, ledger, info.get("source"))
        notes = RunNotes(fabric, record, options, info, ledger)
        stop = stack.enter_context(stop_signals())
        loop = Loop(system, state, loader, val_set, log, meter, stop)
        return _train(loop, notes, newest is not None, changes, behind)


def _precision(wanted: str, record: RunRecord, device: torch.device) -> str:
    """What to compute in; where that is left open, as the run began, if this device can."""
    begun = record.run.precision
    if wanted == "auto" and begun in PRECISIONS and supports(begun, device):
        return begun
    return choose_precision(wanted, device, "training.precision")


def _finished(fabric: Fabric, record: RunRecord, model: BaseModel) -> dict[str, Any]:
    """Nothing is left to do: give the model its best weights."""
    best = on_first_rank(fabric, mend_best, record)
    if best is not None:
        model.load_state_dict(load(best)["state_dict"])
    return outcome(record)


def _newest_checkpoint(fabric: Fabric, exp_dir: Path, checkpoints: Checkpoints, ledger: Path) -> Path | None:
    """The checkpoint that every rank loads, None for a new run; what a kill left unfinished is cleared away."""
    newest = on_first_rank(fabric, newest_checkpoint, exp_dir, checkpoints)
    if fabric.is_global_zero:
        checkpoints.remove_partial()
        remove_leftovers(ledger.parent)
    return newest


def _set_weights(fabric: Fabric, options: TrainingOptions, model: BaseModel, is_new: bool) -> dict[str, Any]:
    """Weights that a new run starts from, and those that stay as they are; what ``run.json`` says of the former."""
    info = {}
    if is_new and options.init_from is not None:
        report = print if fabric.is_global_zero else _silent
        info["init"] = start_from(model, options.init_from, options.strict, report)
    if options.freeze:
        freeze(model, options.freeze)
    return info


def _silent(text: str) -> None:
    """Report nothing: another rank does."""


def _make_system(
    fabric: Fabric,
    options: TrainingOptions,
    conf: dict[str, Any],
    model: BaseModel,
    loss_func: Callable[..., torch.Tensor],
    system_cls: type[RecordingSystem],
) -> RecordingSystem:
    """Model, loss, optimizer and scheduler, on the device."""
    if options.activation_checkpointing not in (False, "auto"):
        if as_model(model).activation_checkpointing is None:
            raise UserError(f"training.activation_checkpointing: {type(model).__name__} has no such option")
        model.activation_checkpointing = options.activation_checkpointing
    model.to(fabric.device)
    optimizer, scheduler = call_with_section(
        make_optim, "optim", conf, model.named_parameters(), options.effective_batch, options.mode
    )
    return system_cls(model, optimizer, loss_func, None, scheduler=scheduler, config=conf)


def _restore(state: RunState, newest: Path) -> bool:
    """Take up a checkpoint; whether the exports lack its last epoch."""
    state.restore(newest)
    return on_first_rank(state.fabric, exports_behind, state.exp_dir, state.progress)


def _save_first(state: RunState, record: RunRecord) -> None:
    """Write the first checkpoint before ``run.json``: where that is, there once was something to continue from."""
    if state.fabric.is_global_zero:
        record.write_conf()
    state.save()


def _train(loop: Loop, notes: RunNotes, goes_on: bool, changes: dict[str, Any], behind: bool) -> dict[str, Any]:
    """Run the loop to its end, or to the error that ends it, and note which."""
    try:
        notes.begin(loop, goes_on, changes)
        loop.run(behind)
    except BaseException as error:
        stopped = isinstance(error, (Interrupted, KeyboardInterrupt))
        with suppress(OSError, UserError):  # a full disk again: what is said is the first error
            _close(loop, notes, "interrupted" if stopped else "failed")
        raise
    _close(loop, notes, "finished")
    return loop.state.summary("finished")


def _close(loop: Loop, notes: RunNotes, status: str) -> None:
    """Stop what runs beside the training, and note how it ended; the note does not depend on the rest."""
    try:
        stop_workers(loop.loader)
        if loop.meter:
            loop.meter.stop(interrupted=status != "finished")
    finally:
        notes.end(loop, status)
