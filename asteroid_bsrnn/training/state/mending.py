"""What a folder holds when training is asked for: nothing, a run to continue, a finished or a damaged one."""

from collections.abc import Callable
from pathlib import Path

from ...common.errors import UserError
from ...common.files import atomic_path
from ...experiment.history import HISTORY_FILE, last_epoch
from ...experiment.run import CHANGEABLE, RunRecord
from ...experiment.run_file import RUN_FILE
from .checkpoints import Checkpoints, damage, weights_epoch, weights_files
from .progress import Progress

BEGUN = (RUN_FILE, "best_model.pth", "best_k_models.json", HISTORY_FILE)  # a run writes them after a checkpoint
OUTCOME = ("status", "epochs", "best_epoch", "best", "monitor", "skipped_steps", "unreadable")
WAYS_ON = "nothing was changed: restore {} from a copy, or start anew in another folder (another tag)"


def is_finished(record: RunRecord, changes: dict) -> bool:
    """True if the run has ended by itself and no change (see :func:`.record.compare`) asks for more of it."""
    return record.run.status == "finished" and not any(key in CHANGEABLE for key in changes)


def newest_checkpoint(exp_dir: Path, checkpoints: Checkpoints, report: Callable = print) -> Path | None:
    """The checkpoint to continue from; None if there is nothing to continue. Changes nothing.

    Raises:
        UserError: if a run has begun here and no checkpoint of it can be read.
    """
    newest = checkpoints.newest(report)
    begun = any((exp_dir / name).exists() for name in BEGUN) or weights_files(checkpoints.folder)
    if newest is None and begun:
        raise UserError(
            f"{exp_dir} holds a run, but {checkpoints.folder} has no checkpoint to continue it from; "
            f"{WAYS_ON.format('a resume_*.ckpt')}"
        )
    return newest


def refuse_damaged(exp_dir: Path, conf: dict, allow_changes: bool, trained: bool) -> None:
    """Refuse early the folder of one model of several that :func:`.training.fit` would refuse.

    Args:
        trained: the experiment holds something of this model, so that its folder cannot be empty.

    Raises:
        UserError: if it can neither be continued nor begun.
    """
    record = RunRecord(exp_dir, conf)
    if is_finished(record, record.changes(allow_changes)):
        return
    newest = newest_checkpoint(exp_dir, Checkpoints(exp_dir / "checkpoints"), report=lambda text: None)
    if newest is None and trained:
        raise UserError(f"{exp_dir} is empty, though its model was trained before; {WAYS_ON.format('the folder')}")


def exports_behind(exp_dir: Path, progress: Progress) -> bool:
    """Whether the files made from a restored state may lack its last epoch (a kill came between).

    False: they have an epoch more, whose validation is done again; until then they are better than the state knows.

    Raises:
        UserError: if they are of still later epochs, which training would overwrite.
    """
    epochs = [weights_epoch(path) for path in weights_files(exp_dir / "checkpoints")]
    last = max([last_epoch(exp_dir), *epochs])
    if last > progress.epoch + 1:
        raise UserError(
            f"{exp_dir} holds results up to epoch {last}, but its newest readable checkpoint is of epoch "
            f"{progress.epoch + 1}; {WAYS_ON.format('a later resume_*.ckpt')}"
        )
    return last <= progress.epoch


def outcome(record: RunRecord) -> dict:
    """What :func:`.training.fit` returns of a run that was finished before."""
    found = {key: getattr(record.run, key) for key in OUTCOME}
    return {**found, "best_model": str(record.folder / "best_model.pth"), "exp_dir": str(record.folder)}


def mend_best(record: RunRecord) -> Path | None:
    """``best_model.pth`` of a finished run, from its copy among the checkpoints if it is missing or broken.

    Returns:
        Path, or None if no epoch of the run had a finite score.

    Raises:
        UserError: if the copy is gone or broken as well.
    """
    epoch, best = record.run.best_epoch, record.folder / "best_model.pth"
    if epoch is None:
        return None
    reason = damage(best, weights=True)
    if reason is None:
        return best
    for copy in weights_files(record.folder / "checkpoints"):
        if weights_epoch(copy) == epoch and damage(copy, weights=True) is None:
            replace_by_copy(best, copy)
            print(f"{best} could not be read ({reason}): mended from {copy}")
            return best
    raise UserError(
        f"{best} cannot be read ({reason}), nor is there a readable epoch={epoch}-step=*.pth in "
        f"{record.folder / 'checkpoints'} to mend it from; {WAYS_ON.format('one of the two')}"
    )


def replace_by_copy(path: Path, copy: Path) -> None:
    """Give ``path`` the content of ``copy``, whole or not at all."""
    with atomic_path(path) as partial:
        partial.write_bytes(copy.read_bytes())
