"""Many recordings on a Ray cluster, or on a local Ray: a pool of workers, each with one model on one device.

Ray Data hands out the work, starts a worker anew that died and gives it its recordings again, and returns each record
once. Nothing here schedules.
"""

import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..common.errors import UserError

_MOST_BLOCKS = 10_000  # what Ray's scheduler keeps up with

Work = Callable[[list[dict[str, Any]]], Iterable[dict[str, Any]]]


def separate_columns(separator: Any, columns: Mapping[str, Any]) -> dict[str, Any]:
    """A batch of recordings in memory, as Ray Data's ``map_batches`` gives them: one column more for each source.

    Args:
        separator (Separator): what separates.
        columns: ``audio``, arrays of floats (channels, time) or (time,), of any lengths; ``sample_rate``, in Hz for each;
            others are passed on.

    Returns:
        dict: the columns, and for each source one of arrays shaped like the recordings.

    Raises:
        UserError: for a batch without these columns, or a source that is called like one of them.
    """
    from .recordings import separate

    missing = [name for name in ("audio", "sample_rate") if name not in columns]
    if missing:
        raise UserError(f"a batch needs the columns audio and sample_rate; it has {', '.join(columns) or 'none'}")
    taken = [name for name in separator.sources if name in columns]
    if taken:
        raise UserError(f"the batch has a column {taken[0]!r} already, which is a source of the model: rename it")
    pairs = zip(columns["audio"], columns["sample_rate"])
    stems = [separate(separator, np.asarray(wav, dtype="f4"), float(rate)) for wav, rate in pairs]
    found = {name: [stem[index] for stem in stems] for index, name in enumerate(separator.sources)}
    return {**columns, **{name: _ragged(arrays) for name, arrays in found.items()}}


def _ragged(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """An array of arrays, which Ray takes for a column whatever their lengths are."""
    column = np.empty(len(arrays), dtype=object)
    for index, array in enumerate(arrays):
        column[index] = array
    return column


class RayWorker:
    """What each worker of the pool holds; Ray builds it there.

    Args:
        build: gives the function from entries to their records; called once in each worker, it loads the model.
    """

    def __init__(self, build: Callable[[], Work]) -> None:
        self.work = build()

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, list[str]]:
        """Entries to records, both as JSON: their keys differ from one to the next."""
        records = self.work([json.loads(entry) for entry in batch["entry"]])
        return {"record": [json.dumps(record) for record in records]}


def run_on_ray(
    entries: Sequence[dict[str, Any]],
    build: Callable[[], Work],
    workers: int | None = None,
    threads: int = 1,
    at_once: int = 8,
) -> Iterator[dict[str, Any]]:
    """Run ``build()(entries)`` for all entries on the cluster, some at a time.

    Args:
        entries: what is to be done, of plain values.
        build: see :class:`RayWorker`; Ray pickles it.
        workers: how many; by default one per GPU of the cluster, or one per ``threads`` cores where it has none.
        threads: cores of a worker.
        at_once: entries that a worker is given together. If it dies, another one is given all of them.

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
    size = min(len(entries), workers or gpus or max(1, cores // threads))
    resources = {"num_gpus": 1} if gpus else {"num_cpus": threads}
    blocks = min(_MOST_BLOCKS, max(size, math.ceil(len(entries) / at_once)))
    rows = ray.data.from_items([{"entry": json.dumps(entry)} for entry in entries], override_num_blocks=blocks)
    pool = ray.data.ActorPoolStrategy(size=size)
    done = rows.map_batches(RayWorker, fn_constructor_args=(build,), batch_size=None, compute=pool, **resources)
    for row in done.iter_rows():
        yield json.loads(row["record"])


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
