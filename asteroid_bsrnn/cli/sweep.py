"""``asteroid-bsrnn sweep``: train many variants, sources and seeds of a recipe, and show where they stand."""

import argparse
from typing import Any


def add_parser(subparsers: Any) -> None:
    """Add the subcommand's parser."""
    parser = subparsers.add_parser("sweep", help="train many variants and seeds of a recipe, here or on SLURM")
    parser.add_argument("recipe_dir", metavar="RECIPE_DIR", help="folder with run.sh")
    parser.add_argument("--variants", required=True, help="names of the recipe's variants, with commas")
    parser.add_argument("--sources", default="all", help="all: one job trains all; names with commas: one job each")
    parser.add_argument("--seeds", default="", help="numbers with commas; empty: the configuration's")
    parser.add_argument("--stage", type=int, default=2, help="first stage of run.sh")
    parser.add_argument("--stop_stage", type=int, default=2, help="last stage of run.sh")
    parser.add_argument("--options", default="", help='further options of run.sh in one string: "--demo true"')
    parser.add_argument("--jobs", type=int, default=1, help="jobs at a time on this machine")
    parser.add_argument("--status", action="store_true", help="start nothing, only show the table")
    parser.add_argument("--slurm", action="store_true", help="queue the jobs on SLURM instead of running them here")
    parser.add_argument("--hours", type=float, default=24, help="SLURM: time limit; a job that hits it is queued again")
    parser.add_argument("--gpus", type=int, default=1, help="SLURM: GPUs per job")
    parser.add_argument("--cpus", type=int, default=8, help="SLURM: CPU cores per job")
    parser.add_argument("--slurm_set", nargs="*", default=[], metavar="KEY=VALUE", help="SLURM: partition=gpu ...")


def run(args: argparse.Namespace) -> int:
    """Start what is not finished, then print the table; exit code 1 when a job failed."""
    import shlex
    from pathlib import Path

    from ..common.cluster import slurm_parameters
    from ..common.errors import UserError
    from ..recipe.launch import make_jobs, results, submit, table

    try:
        seeds: list[int | None] = [int(seed) for seed in args.seeds.split(",") if seed] or [None]
    except ValueError:
        raise UserError(f"--seeds must be whole numbers with commas, not {args.seeds!r}") from None
    if args.jobs < 1:
        raise UserError(f"--jobs must be 1 or more, not {args.jobs}")
    stages, options = (args.stage, args.stop_stage), shlex.split(args.options)
    jobs = make_jobs(args.recipe_dir, args.variants.split(","), args.sources.split(","), seeds, stages, options)
    if not args.status:
        slurm = slurm_parameters(args.hours, args.gpus, args.cpus, args.slurm_set) if args.slurm else None
        submit(jobs, Path(jobs[0].recipe_dir) / "exp" / "sweep_logs", slurm, args.jobs)
    rows = results(jobs)
    print(table(rows))
    return int(any(row["state"] == "failed" for row in rows))
