"""Many recordings on a Ray cluster, or on a local Ray: a pool of workers, each with one model on one device.

Ray Data hands out the work, starts a worker anew that died and gives it its recordings again, and returns each record
once. Nothing here schedules.
"""

import json
import math
import os
import platform
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..common.errors import UserError
from .device_pool import Tell, Work
from .ensemble import Separator
from .many.entries import Entry
from .many.journal import Summary
from .many.pipeline import separate_many
from .many.sharing import Sharing
from .recordings import stem_names

_MOST_BLOCKS = 10_000  # what Ray's scheduler keeps up with
_AT_ONCE = 8  # entries that a worker is given together; if it dies, another one is given all of them

Do = Callable[[list[dict[str, Any]]], Iterable[dict[str, Any]]]


class RayWorker:
    """What each worker of the pool holds; Ray builds it there.

    Args:
        build: gives the function from entries to their records; called once in each worker, it loads the model.
    """

    def __init__(self, build: Callable[[], Do]) -> None:
        self.work = build()

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, list[str]]:
        """Entries to records, both as JSON: their keys differ from one to the next."""
        records = self.work([json.loads(entry) for entry in batch["entry"]])
        return {"record": [json.dumps(record) for record in records]}


def run_on_ray(
    entries: Sequence[dict[str, Any]], build: Callable[[], Do], threads: int = 1
) -> Iterator[dict[str, Any]]:
    """Run ``build()(entries)`` for all entries on the cluster, some at a time, by a worker per GPU.

    Args:
        entries: what is to be done, of plain values.
        build: see :class:`RayWorker`; Ray pickles it.
        threads: cores of a worker where there are no GPUs.

    Yields:
        dict: the record of each entry, in no order, as soon as it is there.

    Raises:
        UserError: if Ray is not installed.
    """
    ray = start_ray()
    if not entries:
        return
    there = ray.cluster_resources()
    gpus, cores = int(there.get("GPU", 0)), int(there.get("CPU", 1))
    size = min(len(entries), gpus or max(1, cores // threads))
    resources = {"num_gpus": 1} if gpus else {"num_cpus": threads}
    blocks = min(_MOST_BLOCKS, max(size, math.ceil(len(entries) / _AT_ONCE)))
    rows = ray.data.from_items([{"entry": json.dumps(entry)} for entry in entries], override_num_blocks=blocks)
    pool = ray.data.ActorPoolStrategy(size=size)
    done = rows.map_batches(RayWorker, fn_constructor_args=(build,), batch_size=None, compute=pool, **resources)
    for row in done.iter_rows():
        yield json.loads(row["record"])


@dataclass(frozen=True)
class RayBuild:
    """What a worker builds: a function from entries to results; see :class:`RayWorker`.

    Args:
        work: what is to be done.
        threads: of a worker without a GPU.
        folder: where the command was called; relative paths begin there if the worker has it.
    """

    work: Work
    threads: int
    folder: str

    def __call__(self) -> Do:
        if os.path.isdir(self.folder):
            os.chdir(self.folder)
        separator = self.work.build("auto", self.threads)
        where = {"device": str(separator.device), "host": platform.node()}

        def do(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = []
            separate_many(
                separator, [Entry(**entry) for entry in entries], self.work.places, self.work.request,
                tell=lambda entry, result: found.append({"id": entry.id, **where, **result}),
            )  # fmt: skip
            return found

        return do


def separate_on_ray(work: Work, separator: Separator, tell: Tell, threads: int = 1) -> Summary:
    """Separate recordings on the cluster; records are written here, as results come.

    Args:
        separator: as the workers build it, for the records of earlier runs; it does not separate.
        tell: called once for each recording with its result.
        threads: cores of a worker without a GPU.
    """
    begun, summary, sharing = time.perf_counter(), Summary(), work.sharing(separator)
    sharing.begin(work.entries)

    def told(entry: Entry, result: dict[str, Any]) -> None:
        summary.add(result)
        tell(entry, result)

    left = {entry.id: entry for entry in work.entries if _is_left(entry, work, sharing, told)}
    build = RayBuild(work, threads, os.getcwd())
    for result in run_on_ray([asdict(entry) for entry in left.values()], build, threads=threads):
        entry = left[result.pop("id")]
        sharing.note(entry, result)
        told(entry, result)
    summary.seconds = time.perf_counter() - begun
    return summary


def _is_left(entry: Entry, work: Work, sharing: Sharing, told: Tell) -> bool:
    """Whether a recording is to be done; if not, it is told why."""
    if work.overwrite:
        return True
    names = stem_names(work.request.sources, work.request.complement)
    existing = work.places.exist(entry, names)
    done = work.skip_existing or sharing.records.status.get(entry.key(sharing.job)) == "done"
    if done and len(existing) == len(names):
        told(entry, {"file": entry.path, "status": "skipped"})
        return False
    if existing and not done:
        error = f"{existing[0]} exists: choose --overwrite or --skip-existing"
        told(entry, {"file": entry.path, "status": "failed", "error": error})
        return False
    return True


def start_ray() -> Any:
    """The module ``ray``, connected: to what it already is, to ``RAY_ADDRESS``, else to a Ray of this machine.

    Raises:
        UserError: if it is not installed.
    """
    try:
        import ray
        import ray.data
    except ImportError:
        raise UserError("--ray needs Ray: pip install 'asteroid_bsrnn[ray]'") from None
    if not ray.is_initialized():
        ours = {name: value for name, value in os.environ.items() if name.startswith("ASTEROID_BSRNN_")}
        ray.init(runtime_env={"env_vars": ours}, log_to_driver=False)
    ray.data.DataContext.get_current().enable_progress_bars = False
    return ray
