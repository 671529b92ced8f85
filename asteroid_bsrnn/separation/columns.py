"""Recordings in memory as columns of a batch, as Ray Data and the like hand them on."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..common.errors import UserError


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
