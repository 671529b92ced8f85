"""Commands as jobs of a SLURM cluster, through submitit: queued as one array, continued after their time limit."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from .errors import UserError

_POLL = 0.2  # s
_SIGNAL_DELAY = 180  # s before the time limit, in which a command can finish what it must


@dataclass
class Continued:
    """A job that submitit queues again at its time limit; when it is called again, it goes on where it stopped."""

    process: subprocess.Popen[bytes] | None = field(default=None, init=False, compare=False)  # once it runs

    def checkpoint(self) -> Any:
        """At the time limit: let the process save, then queue the job again."""
        from submitit.helpers import DelayedSubmission

        if self.process is not None:
            stop_group(self.process)
        job: Any = replace(self)  # without the process
        return DelayedSubmission(job)


@dataclass
class Command(Continued):
    """One command; what submitit pickles and runs.

    Args:
        words: the program and its arguments.
        folder: where it is called; the present one if None.
        accepted: exit codes that do not make the job fail.
    """

    words: list[str]
    folder: str | None = None
    accepted: tuple[int, ...] = (0,)

    def __call__(self) -> int:
        self.process = subprocess.Popen(self.words, cwd=self.folder, start_new_session=True)
        code = wait_for(self.process)
        if code not in self.accepted:
            raise RuntimeError(f"exit code {code} of {' '.join(self.words)}")
        return code


def wait_for(process: subprocess.Popen[bytes]) -> int:
    """The exit code of ``process``; unlike ``process.wait()`` it lets a signal handler see the process end."""
    while (code := process.poll()) is None:
        time.sleep(_POLL)
    return code


def stop_group(process: subprocess.Popen[bytes], grace: float = 100.0) -> None:
    """Ask the group of ``process`` to stop (SIGTERM) and wait until all of it is gone, at most ``grace`` seconds."""
    end = time.monotonic() + grace
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
        while time.monotonic() < end:
            process.poll()  # an ended leader counts until it is asked for
            os.killpg(process.pid, 0)
            time.sleep(0.1)


def slurm_parameters(hours: float, gpus: int, cpus: int, pairs: Sequence[str] = ()) -> dict[str, Any]:
    """Parameters of a job for submitit.

    Args:
        hours: time limit; a job that hits it is queued again.
        gpus, cpus: of a job.
        pairs: further options of ``sbatch``, ``KEY=VALUE``.

    Raises:
        UserError: for one of these that is no pair.
    """
    for pair in pairs:
        if "=" not in pair:
            raise UserError(f"--slurm_set takes KEY=VALUE, not {pair!r}")
    given = (pair.split("=", 1) for pair in pairs)
    extra = {f"slurm_{key}": int(value) if value.isdecimal() else value for key, value in given}
    first: dict[str, Any] = {"timeout_min": round(hours * 60), "cpus_per_task": cpus, "tasks_per_node": 1}
    graphics = {"gpus_per_node": gpus} if gpus else {}
    return {**first, **graphics, "slurm_signal_delay_s": _SIGNAL_DELAY, **extra}


def submit_array(jobs: Sequence[Callable[[], Any]], log_dir: str | Path, parameters: dict[str, Any]) -> list[Any]:
    """Queue jobs on SLURM as one array; returns submitit's jobs at once.

    Raises:
        UserError: if submitit or SLURM is missing.
    """
    try:
        import submitit
    except ImportError:
        raise UserError("--slurm needs submitit: pip install 'asteroid_bsrnn[cluster]'") from None
    try:
        executor = submitit.AutoExecutor(str(log_dir), cluster="slurm")
    except RuntimeError as error:
        raise UserError(f"SLURM cannot be used here: {error}") from None
    executor.update_parameters(name="asteroid-bsrnn", **parameters)
    with executor.batch():
        return [executor.submit(job) for job in jobs]
