"""``fit``: trains one model, whatever the recipe, and continues exactly where an earlier run of the folder stopped."""

import signal
import threading
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import torch

from ..common.errors import UserError
from ..common.files import full_disk_explained, remove_leftovers
from ..common.memory import keep_freed_memory
from ..common.precision import PRECISIONS, choose_precision, supports
from ..experiment.energy import LEDGER_FILE, Ledger, make_meter
from ..experiment.run import RunRecord, now
from ..models.base import as_model, count_params
from .autocast import Precision
from .devices import choose_devices, gather, make_fabric, on_first_rank, peak_memory
from .feed.batching import largest_batch, split_batch
from .feed.ring import collate
from .feed.sampling import StepSampler, TolerantDataset, make_loader, stop_workers
from .loggers import Log, make_loggers
from .loop import Interrupted, Loop
from .optimization import make_optim
from .options import TrainingOptions, call_with_section, section_defaults
from .starting import freeze, start_from
from .state.checkpoints import Checkpoints, exclusive, load
from .state.mending import exports_behind, is_finished, mend_best, newest_checkpoint, outcome
from .state.state import RunState
from .systems import MusicSystem


def training_options(conf) -> TrainingOptions:
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
    model,
    train_set,
    val_set,
    loss_func,
    conf,
    exp_dir,
    system_cls=MusicSystem,
    run_info=None,
    allow_changes=False,
    ledger=None,
):
    """Train ``model``; called again on the same folder, continue it bit by bit (on CPU), or do nothing if it is done.

    For a run that can be repeated, call :func:`.loop.seed_everything` with ``conf["training"]["seed"]`` before the
    model is built.

    Args:
        model (SeparationModel): to train; holds the best weights afterwards.
        train_set: ``train_set[(epoch, index)]`` -> ``(mixture, sources)``, drawn from (seed, epoch, index) alone.
        val_set: ``val_set[index]`` -> ``(mixture, sources)``, whole recordings.
        loss_func (callable): ``loss(est_targets, targets)``.
        conf (dict): configuration; sections ``training`` (:class:`.options.TrainingOptions`), ``optim``
            (:func:`.optimization.make_optim`), ``loader`` (:func:`.sampling.make_loader`), ``inference``, ``energy``
            (:func:`asteroid_bsrnn.experiment.energy.make_meter`) are read here; the whole is stored.
        exp_dir (str or Path): experiment folder.
        system_cls (type): :class:`.system.MusicSystem` or :class:`.system.SpeechSystem`.
        run_info (dict, optional): further entries of ``run.json`` (protocol, variant, corpus, source, ...).
        allow_changes (bool): accept other values of patience, epochs and learning rate than the folder was begun with;
            the change is recorded.
        ledger (str or Path, optional): energy ledger; None: ``exp_dir/energy.json``.

    Returns:
        dict: status, epochs, best_epoch, best (monitored value), monitor, best_model (path), exp_dir.

    Raises:
        UserError: whatever the user can mend: configuration, folder, disk, unreadable data, divergence.
        Interrupted: a ``SystemExit`` after SIGTERM or SIGUSR1, with everything saved.
    """
    options = training_options(conf)
    if not len(val_set):
        raise UserError("the validation set is empty: at least one recording is needed to choose the best model")
    exp_dir = Path(exp_dir)
    fabric = make_fabric(options.devices, options.accelerator, options.effective_batch)
    if fabric.device.type == "cpu":
        keep_freed_memory()
    run = _Run(fabric, options, conf, exp_dir, dict(run_info or {}), ledger)
    with full_disk_explained(exp_dir), ExitStack() as stack:
        if fabric.is_global_zero:
            stack.enter_context(exclusive(exp_dir / "checkpoints"))
        return run.execute(model, train_set, val_set, loss_func, system_cls, allow_changes, stack)


class _Run:
    """One call of :func:`fit`: the parts are put together here, the work is done by :class:`.loop.Loop`."""

    def __init__(self, fabric, options, conf, exp_dir, info, ledger):
        self.fabric, self.conf, self.exp_dir, self.info = fabric, conf, exp_dir, info
        self.ledger = Path(ledger or exp_dir / LEDGER_FILE)
        self.checkpoints, self.record = (
            Checkpoints(exp_dir / "checkpoints"),
            RunRecord(exp_dir, conf, section_defaults(conf)),
        )
        self.options = replace(options, precision=fabric.broadcast(self._precision(options.precision)))

    def _precision(self, wanted):
        """What to compute in; where that is left open, as the run began, if this device can."""
        begun, device = self.record.run.precision, self.fabric.device
        if wanted == "auto" and begun in PRECISIONS and supports(begun, device):
            return begun
        return choose_precision(wanted, device, "training.precision")

    def execute(self, model, train_set, val_set, loss_func, system_cls, allow_changes, stack):
        changes = self.record.changes(allow_changes)
        if is_finished(self.record, changes):
            return self._finished(model)
        newest = self._newest_checkpoint()
        if newest is None and self.options.init_from is not None:
            report = print if self.fabric.is_global_zero else lambda text: None
            self.info["init"] = start_from(model, self.options.init_from, self.options.strict, report)
        if self.options.freeze:
            freeze(model, self.options.freeze)
        loop, state = self._build(model, train_set, val_set, loss_func, system_cls)
        behind = self._restore(state, newest) if newest else False
        if newest and state.finished() and self.record.run.status == "finished":
            return self._finished(model)
        first = self.fabric.is_global_zero
        loggers = make_loggers(self.conf.get("logging"), self.exp_dir, loop.progress.global_step) if first else []
        loop.log = Log(first, loggers)
        stack.callback(loop.log.close)
        if newest is None:
            self._save_first(state)
        if self.fabric.local_rank == 0:
            loop.meter = call_with_section(make_meter, "energy", self.conf, self.ledger, self.info.get("source"))
        return self._train(loop, newest, changes, behind)

    def _finished(self, model):
        """Nothing is left to do: give the model its best weights."""
        best = on_first_rank(self.fabric, mend_best, self.record)
        if best is not None:
            model.load_state_dict(load(best)["state_dict"])
        return outcome(self.record)

    def _newest_checkpoint(self):
        """Path that every rank loads, None for a new run."""
        newest = on_first_rank(self.fabric, newest_checkpoint, self.exp_dir, self.checkpoints)
        if self.fabric.is_global_zero:
            self.checkpoints.remove_partial()
            remove_leftovers(self.ledger.parent)
        return newest

    def _restore(self, state, newest):
        """Take up a checkpoint; whether the exports lack its last epoch."""
        state.restore(newest)
        return on_first_rank(self.fabric, exports_behind, self.exp_dir, state.progress)

    def _save_first(self, state):
        """Write the first checkpoint before ``run.json``: where that is, there once was something to continue from."""
        if self.fabric.is_global_zero:
            self.record.write_conf()
        state.save()

    def _build(self, model, train_set, val_set, loss_func, system_cls):
        options, fabric = self.options, self.fabric
        if options.activation_checkpointing:
            if as_model(model).activation_checkpointing is None:
                raise UserError(f"training.activation_checkpointing: {type(model).__name__} has no such option")
            model.activation_checkpointing = True
        model.to(fabric.device)
        optimizer, scheduler = call_with_section(
            make_optim, "optim", self.conf, model.named_parameters(), options.effective_batch, options.mode
        )
        system = system_cls(model, optimizer, loss_func, None, config=self.conf)
        system.complete = getattr(val_set, "complete", True)
        data = TolerantDataset(train_set, options.seed)
        split = split_batch(options.effective_batch, options.batch, fabric.world_size)
        if fabric.device.type == "cuda":
            split = self._fitting_split(system, data)
        sampler = StepSampler(len(data), split, fabric.global_rank, options.seed)
        loader = call_with_section(make_loader, "loader", self.conf, data, sampler)
        state = RunState(fabric, model, optimizer, scheduler, options, self.checkpoints)
        return Loop(system, state, loader, val_set), state

    def _fitting_split(self, system, data):
        """Halve the batch per device, and accumulate more, until a step fits in the memory of every GPU."""
        precision = Precision(self.options.precision, self.fabric.device.type)
        buffers = {name: value.clone() for name, value in system.model.named_buffers()}  # running statistics

        def try_batch(size):
            batch, _ = collate([data[(0, index)] for index in range(size)])
            with precision.autocast():
                loss = system.common_step(self.fabric.to_device(batch), 0)
            loss.backward()

        wanted, world = self.options.effective_batch, self.fabric.world_size
        size = min(gather(self.fabric, largest_batch(try_batch, wanted, self.options.batch, world)))
        system.model.zero_grad(set_to_none=True)
        for name, value in system.model.named_buffers():
            value.copy_(buffers[name])
        return split_batch(wanted, size, world)

    def _begin(self, loop, newest, changes):
        """Print and store what the run really uses."""
        split = loop.split
        values = {
            "seed": self.options.seed,
            "effective_batch": split.effective_batch,
            "batch": split.batch,
            "accumulation": split.accumulation,
            "devices": split.world_size,
            "device": str(self.fabric.device.type),
            "threads": torch.get_num_threads(),
            "precision": self.options.precision,
            "lr": loop.optimizer.param_groups[0]["lr"],
            "n_params": count_params(loop.system.model),
            "steps_per_epoch": loop.sampler.steps_per_epoch,
            **self.info,
        }
        loop.log.line(
            f"effective batch {split.effective_batch} = {split.batch} per device x {split.world_size} device(s) "
            f"({values['device']}) x {split.accumulation} accumulated; learning rate {values['lr']:g}; "
            f"{values['precision']}; {values['n_params']:,} parameters; {values['steps_per_epoch']} steps per epoch"
        )
        progress = loop.progress
        if newest:
            place = {"at": now(), "epoch": progress.epoch, "step": progress.step, "changes": changes}
            before = self.record.run
            values["resumed"] = [*before.resumed, place]
            values["lr_first"] = before.lr if before.lr_first is None else before.lr_first
            loop.log.line(f"continuing from epoch {progress.epoch + 1}, step {progress.step}")
            for key, (old, new) in changes.items():
                loop.log.line(f"changed since the run began: {key} from {old} to {new}")
        self.record.begin(**values)

    def _train(self, loop, newest, changes, behind):
        with _stop_signals(loop):
            try:
                if self.fabric.is_global_zero:
                    self._begin(loop, newest, changes)
                loop.run(behind)
            except BaseException as error:
                stopped = isinstance(error, (Interrupted, KeyboardInterrupt))
                with suppress(OSError, UserError):  # a full disk again: what is said is the first error
                    self._close(loop, "interrupted" if stopped else "failed")
                raise
            self._close(loop, "finished")
        return loop.state.summary("finished")

    def _close(self, loop, status):
        """Stop what runs beside the training, and note how it ended; the note does not depend on the rest."""
        try:
            stop_workers(loop.loader)
            if loop.meter:
                loop.meter.stop(interrupted=status != "finished")
        finally:
            if self.fabric.is_global_zero:
                self._end(loop, status)

    def _end(self, loop, status):
        summary = loop.state.summary(status)
        summary = {key: summary[key] for key in summary if key not in ("exp_dir", "best_model")}
        ledger = Ledger(self.ledger) if loop.meter else None
        energy = ledger and ledger.account(self.exp_dir, self.options.epochs, self.info.get("source"))
        memory = peak_memory(self.fabric.device)
        self.record.end(**summary, ended=now(), energy=energy, peak_memory_bytes=memory)
        if status == "interrupted":
            loop.log.line("interrupted: run the same command again to continue")


@contextmanager
def _stop_signals(loop):
    """SIGTERM and SIGUSR1 (time limit of a cluster) end the run after the present step, with everything saved."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number, frame):
        loop.stop_signal = number

    old = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGUSR1)}
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
