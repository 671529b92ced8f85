"""Many trainings: one job per variant, source and seed, on this machine or on a SLURM cluster, and their table."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..common.cluster import Continued, submit_array, wait_for
from ..common.errors import UserError
from ..experiment.evaluation import FINAL_FILE, read_final
from ..experiment.run_file import Run, read_run
from .variants import variant_file

STATES = ("waiting", "running", "interrupted", "failed", "finished")


@dataclass
class RecipeJob(Continued):
    """One call of ``./run.sh``; what submitit pickles and runs.

    Args:
        recipe_dir: folder with ``run.sh``.
        variant: name of one of the recipe's.
        source: ``"all"`` or one source.
        seed: None: the configuration's.
        stages: first and last stage of ``run.sh``.
        options: further options of ``run.sh``, as given.
    """

    recipe_dir: str
    variant: str
    source: str = "all"
    seed: int | None = None
    stages: tuple[int, int] = (2, 2)
    options: list[str] = field(default_factory=list)

    @property
    def tag(self) -> str:
        """Name of the experiment's folder."""
        return self.variant if self.seed is None else f"{self.variant}_seed{self.seed}"

    @property
    def exp_dir(self) -> Path:
        """Folder of the experiment, or of one source in it."""
        folder = Path(self.recipe_dir) / "exp" / self.tag
        return folder if self.source == "all" else folder / self.source

    def command(self) -> list[str]:
        """Words of the call."""
        words = ["bash", "run.sh", "--stage", str(self.stages[0]), "--stop_stage", str(self.stages[1])]
        words += ["--python_path", sys.executable, "--variant", self.variant, "--tag", self.tag]
        words += [] if self.source == "all" else ["--source", self.source]
        words += [] if self.seed is None else ["--seed", str(self.seed)]
        return words + list(self.options)

    def done(self) -> bool:
        """True when training has finished, and evaluation too where it is wanted."""
        evaluated = (self.exp_dir / FINAL_FILE).exists()
        return state_of(self.exp_dir) == "finished" and (evaluated or self.stages[1] < 3)

    def __call__(self) -> int:
        self.process = subprocess.Popen(self.command(), cwd=self.recipe_dir, start_new_session=True)
        return wait_for(self.process)


def make_jobs(
    recipe_dir: str | Path,
    variants: Iterable[str],
    sources: Sequence[str] = ("all",),
    seeds: Sequence[int | None] = (None,),
    stages: tuple[int, int] = (2, 2),
    options: Iterable[str] = (),
) -> list[RecipeJob]:
    """One job per variant, source and seed.

    Raises:
        UserError: for a folder that is no recipe, or a variant that it does not have.
    """
    recipe_dir = Path(recipe_dir).resolve()
    if not (recipe_dir / "run.sh").is_file():
        raise UserError(f"{recipe_dir} is no recipe: it has no run.sh")
    for name in variants:
        variant_file(recipe_dir, name)
    return [
        RecipeJob(str(recipe_dir), variant, source, seed, (stages[0], stages[1]), list(options))
        for variant in variants
        for seed in seeds
        for source in sources
    ]


def submit(
    jobs: Iterable[RecipeJob],
    log_dir: str | Path,
    slurm: dict[str, Any] | None = None,
    at_once: int = 1,
    report: Callable[[str], Any] = print,
) -> list[Any]:
    """Start the jobs that are not finished.

    Args:
        jobs: from :func:`make_jobs`.
        log_dir: submitit's logs.
        slurm: parameters of ``submitit.AutoExecutor`` for a SLURM cluster; the call returns when the
            jobs are queued. None: processes of this machine; the call returns when they have ended.
        at_once: how many run at a time on this machine.

    Returns:
        Submitit's jobs.
    """
    try:
        import submitit
    except ImportError:
        raise UserError("sweeps need submitit: pip install 'asteroid_bsrnn[cluster]'") from None
    jobs = [job for job in jobs if not job.done()]
    if slurm is not None:
        submitted = submit_array(jobs, log_dir, slurm)
        report(f"{len(submitted)} jobs queued; logs in {log_dir}")
        return submitted
    local, submitted = submitit.LocalExecutor(str(log_dir)), []
    local.update_parameters(timeout_min=60 * 24 * 365)
    for job in jobs:
        while sum(not other.done() for other in submitted) >= at_once:
            time.sleep(0.5)
        submitted.append(local.submit(job))
        report(f"started {job.tag}, {job.source}; logs in {submitted[-1].paths.stdout.parent}")
    for started in submitted:
        started.wait()
    return submitted


def state_of(exp_dir: str | Path) -> str:
    """One of ``STATES``. A run whose record says that it runs, but that no process holds, was interrupted."""
    run = read_run(exp_dir)
    if run is None:
        return "waiting"
    status = run.status
    if status == "running" and not any(_held(folder) for folder in Path(exp_dir).glob("**/checkpoints")):
        return "interrupted"
    return status if status is not None and status in STATES else "waiting"


def _held(folder: Path) -> bool:
    """True while a process trains with these checkpoints."""
    from ..training.state.checkpoints import exclusive

    try:
        with exclusive(folder):
            return False
    except UserError:
        return True


def results(jobs: Iterable[RecipeJob]) -> list[dict[str, Any]]:
    """State and scores of each job: a list of rows, ready for a table.

    A row holds ``variant, source, seed, state, epochs, best, kwh``, then whatever ``final_metrics.json`` holds.
    """
    rows = []
    for job in jobs:
        run = read_run(job.exp_dir) or Run()
        row: dict[str, Any] = {
            "variant": job.variant,
            "source": job.source,
            "seed": job.seed,
            "state": state_of(job.exp_dir),
        }
        known = [model for model in run.outcomes if model.best is not None]  # several models: their mean and sum
        row["epochs"] = sum(model.epochs or 0 for model in known) if known else None
        row["best"] = sum(model.best or 0.0 for model in known) / len(known) if known else None
        row["kwh"] = _kwh(job)
        rows.append({**row, **(read_final(job.exp_dir) or {})})
    return rows


def _kwh(job: RecipeJob) -> float | None:
    from ..experiment.energy import LEDGER_FILE, Ledger

    tag_dir = Path(job.recipe_dir) / "exp" / job.tag
    paths = [path for path in (job.exp_dir / LEDGER_FILE, tag_dir / LEDGER_FILE) if path.exists()]
    return Ledger(paths[0]).total(source=None if job.source == "all" else job.source) if paths else None


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as aligned text, one line each; columns of every row, missing values as ``-``."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    lines = [columns] + [[_text(row.get(key)) for key in columns] for row in rows]
    widths = [max(len(line[place]) for line in lines) for place in range(len(columns))]
    return "\n".join("  ".join(word.ljust(width) for word, width in zip(line, widths)).rstrip() for line in lines)


def _text(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
