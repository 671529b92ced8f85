"""``--slurm N``: the same command as an array of N tasks, each with its shard, and a last task that sums up."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

_PROGRAM = ("-m", "asteroid_bsrnn")


def add_slurm_options(parser: argparse.ArgumentParser) -> None:
    """Add the options to a command that has ``--shard``."""
    group = parser.add_argument_group("on a SLURM cluster (pip install 'asteroid_bsrnn[cluster]')")
    add = group.add_argument
    add("--slurm", type=int, metavar="N", help="queue N tasks that share the work, and return")
    add("--hours", type=float, default=24.0, help="time limit of a task, which then is queued again (default: 24)")
    add("--gpus", type=int, default=0, help="of a task (default: 0)")
    add("--cpus", type=int, default=8, help="cores of a task (default: 8)")
    add(
        "--slurm_set", action="append", default=[], metavar="KEY=VALUE", help="partition=gpu, array_parallelism=50, ..."
    )


def own_words(words: Sequence[str]) -> list[str]:
    """The words of a command line without these options."""
    parser = argparse.ArgumentParser(add_help=False)
    add_slurm_options(parser)
    return parser.parse_known_args(list(words))[1]


def queue_shards(args: argparse.Namespace, log_dir: Path, last: Callable[[], Any] | None = None) -> int:
    """Queue one task per shard, and one when all have ended.

    Args:
        args: with ``words``, the command line, and the options above.
        log_dir: for submitit's logs.
        last: what that one does; by default it calls the command whole, which finds the work done.

    Returns:
        int: 0.
    """
    from ..common.cluster import Command, slurm_parameters, submit_array
    from ..common.errors import UserError

    if args.slurm < 1:
        raise UserError(f"--slurm takes the number of tasks, from 1 on, not {args.slurm}")
    command = [sys.executable, *_PROGRAM, *own_words(args.words)]
    shards = [[*command, "--shard", f"{number}/{args.slurm}"] for number in range(1, args.slurm + 1)]
    parameters = slurm_parameters(args.hours, args.gpus, args.cpus, args.slurm_set)
    folder, accepted = str(Path.cwd()), (0, 1)  # 1: some items failed, which the records say
    tasks = submit_array([Command(words, folder, accepted) for words in shards], log_dir, parameters)
    number = tasks[0].job_id.partition("_")[0]
    parameters = {
        **slurm_parameters(args.hours, 0, args.cpus, args.slurm_set),
        "slurm_dependency": f"afterany:{number}",
    }
    final = submit_array([last or Command(command, folder, accepted)], log_dir, parameters)
    print(f"job {number}: {len(tasks)} tasks; job {final[0].job_id} sums up when they have ended; logs in {log_dir}")
    return 0
