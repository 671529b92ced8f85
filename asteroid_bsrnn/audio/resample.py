"""Streams from one sample rate to another: nothing shifted, nothing lost at the end."""

from collections.abc import Iterable, Iterator

import numpy as np
import soxr
import torch


def resample_blocks(blocks: Iterable[torch.Tensor], rate_in: int, rate_out: int) -> Iterator[torch.Tensor]:
    """Resample a stream.

    The filter's delay is compensated; n samples become exactly ceil(n * rate_out / rate_in), so that the way there and
    back never ends early.

    Args:
        blocks: consecutive parts, (..., time) each, float32.
        rate_in, rate_out: in Hz.

    Yields:
        Consecutive parts, (..., time).
    """
    if rate_in == rate_out:
        yield from blocks
        return
    resampler, n_in, n_out, shape = None, 0, 0, torch.Size()
    for block in blocks:
        if resampler is None:
            shape = block.shape[:-1]
            resampler = soxr.ResampleStream(rate_in, rate_out, shape.numel(), dtype="float32", quality="VHQ")
        n_in += block.shape[-1]
        part = resampler.resample_chunk(_as_frames(block))
        n_out += len(part)
        if len(part):
            yield _as_tensor(part, shape)
    if resampler is not None:
        n_left = -(-n_in * rate_out // rate_in) - n_out
        silence = np.zeros((rate_in // rate_out + 2, shape.numel()), dtype="f4")  # soxr rounds the length, we need all
        part = resampler.resample_chunk(silence, last=True)
        yield _as_tensor(part[:n_left], shape)


def resample(wav: torch.Tensor, rate_in: int, rate_out: int) -> torch.Tensor:
    """Resample a whole signal, (..., time), to exactly ceil(time * rate_out / rate_in) samples."""
    return torch.cat(list(resample_blocks([wav], rate_in, rate_out)), dim=-1)


def _as_frames(block: torch.Tensor) -> np.ndarray:
    return np.ascontiguousarray(block.reshape(-1, block.shape[-1]).T.cpu().numpy(), dtype="f4")


def _as_tensor(part: np.ndarray, shape: torch.Size) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(part.T)).reshape(*shape, -1)
