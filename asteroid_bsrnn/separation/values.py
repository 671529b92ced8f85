"""Values that users give, in the form that separation computes with, or refused in one sentence."""

import math
import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ..common.errors import UserError

_MOST_CHANNELS = 64  # of a short recording; longer ones with more rows than columns are (time, channels)


def as_rate(sample_rate: Any) -> int:
    """A sample rate in Hz: any kind of number that is whole."""
    if not isinstance(sample_rate, numbers.Real) or isinstance(sample_rate, bool) or not 0 < float(sample_rate) < 2**31:
        raise UserError(f"sample_rate is a number of Hz above 0, not {sample_rate!r}")
    if sample_rate != int(float(sample_rate)):
        raise UserError(f"sample_rate must be a whole number of Hz, not {sample_rate}")
    return int(float(sample_rate))


def as_names(sources: str | Sequence[str] | None) -> list[str] | None:
    """Names of sources as a list; one may be given as a text. None stays None."""
    return [sources] if isinstance(sources, str) else None if sources is None else list(sources)


def among(known: Sequence[str], wanted: Sequence[str] | None) -> tuple[str, ...]:
    """The wanted sources of a model, in its order; all of them where none is named."""
    unknown = [name for name in wanted or () if name not in known]
    if unknown:
        raise UserError(f"unknown source {unknown[0]!r}: the model has {', '.join(known)}")
    return tuple(name for name in known if not wanted or name in wanted)


def as_part(offset: Any, duration: Any) -> tuple[float, float | None]:
    """Offset and duration in seconds; a duration of infinity is None, the rest of the recording."""
    for name, value in (("offset", offset), ("duration", duration)):
        if value is not None and not isinstance(value, numbers.Real):
            raise UserError(f"{name} is a number of seconds, not {value!r}")
    duration = None if duration == math.inf else duration
    if not 0 <= offset < math.inf or (duration is not None and not duration > 0):
        raise UserError(
            f"offset must be at least 0 s (and finite) and duration more than 0 s, not {offset} and {duration}"
        )
    return float(offset), None if duration is None else float(duration)


def as_mixture(wav: Any) -> torch.Tensor:
    """A recording as float32 (channels, time) on the CPU, of its own memory where needed.

    Raises:
        UserError: if it is empty, not finite, of another kind or shape, or has its axes the other way round.
    """
    if isinstance(wav, np.ndarray):
        shape, kind, is_float = wav.shape, wav.dtype, np.issubdtype(wav.dtype, np.floating)
    else:
        shape, kind, is_float = tuple(wav.shape), wav.dtype, wav.is_floating_point()
    if len(shape) not in (1, 2) or 0 in shape or not is_float:
        raise UserError(f"a recording is floats of shape (channels, time) or (time,), not {kind} of shape {shape}")
    if len(shape) == 2 and shape[0] > max(shape[1], _MOST_CHANNELS):
        raise UserError(f"a recording has shape (channels, time), not {shape}: transpose it (wav.T)")
    given = torch.from_numpy(np.array(wav, dtype="f4")) if isinstance(wav, np.ndarray) else wav.detach().float().cpu()
    mixture = torch.atleast_2d(given)
    if not torch.isfinite(mixture).all():
        raise UserError("the recording has samples that are NaN or infinite")
    return mixture
