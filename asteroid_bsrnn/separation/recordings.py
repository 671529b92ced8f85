"""Separate arrays and files of any rate, length and number of channels; rate, length, channels and level are kept."""

import os
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..common.errors import UserError
from .ensemble import Forward, Separator
from .many.entries import Entry
from .many.identities import song_name
from .many.places import places_at
from .opened import OpenRecording, Progress
from .request import Request
from .stem_files import Part
from .values import among, as_mixture, as_names, as_rate
from .whole_song import mono_mix_level_of


def separate(
    model: Any,
    wav: Any,
    sample_rate: float,
    sources: str | Sequence[str] | None = None,
    consistent: bool = False,
    batch: int | None = None,
    progress: Progress | None = None,
    device: str = "auto",
    precision: str | None = None,
    shifts: int = 1,
    layout: int = 0,
    **inference: Any,
) -> Any:
    """Separate a recording in memory.

    Args:
        model (Module, str, list of these, or Separator): what separates; a list is averaged.
        wav (Tensor or array): the recording, floats of any kind.
        sample_rate (int): of ``wav``, in Hz; estimates have it too.
        sources (str or list of str, optional): only these, in the order of the model.
        consistent (bool): share out what is missing, so that the estimates of all sources sum to ``wav``.
        batch (int, optional): segments per pass; None: the usual number of the device. The result does not depend on it.
        progress (callable, optional): called as ``progress(done, total)``, in samples.
        device, precision, shifts: see :class:`Separator` (which has its own when it is given as ``model``).
        layout (int): see :meth:`Separator.stream`.
        **inference: scheme, segment, overlap, hop, window, standardise: see :meth:`Separator.how`.

    Shape:
        (channels, time) -> (n_src, channels, time), or (time,) -> (n_src, time); kind and device are ``wav``'s

    Raises:
        UserError: if the recording is empty, not finite or of another shape, or the model cannot separate it.
    """
    sources, sample_rate = as_names(sources), as_rate(sample_rate)
    wav = wav if isinstance(wav, torch.Tensor) else np.asarray(wav)
    mixture = as_mixture(wav)
    separator = model
    if not isinstance(model, Separator):
        separator = Separator(model, None, device, precision, shifts, None if consistent else sources)
    wanted = check_stems(separator, sources, consistent=consistent)
    standardise, plan = separator.how(**inference)
    level = mono_mix_level_of([mixture]) if standardise else None
    batch, total = separator.usual_batch if batch is None else batch, mixture.shape[-1]
    parts = separated_parts(separator, [mixture], sample_rate, batch, progress, total, layout, None, level, **plan)
    stems = torch.cat([part for _, part in parts], dim=-1)
    if consistent:
        stems = stems + (mixture - stems.sum(0)) / len(stems)
    stems = stems[[separator.sources.index(name) for name in wanted]]
    stems = stems if wav.ndim == 2 else stems[:, 0]
    return stems.to(wav) if isinstance(wav, torch.Tensor) else stems.numpy().astype(wav.dtype)


def separated_parts(
    separator: Separator,
    blocks: Iterable[torch.Tensor],
    sample_rate: int,
    batch: int = 1,
    progress: Progress | None = None,
    total: int = 0,
    layout: int = 0,
    forward: Forward | None = None,
    level: tuple[float, float] | None = None,
    **plan: Any,
) -> Generator[Part, None, None]:
    """Separate a stream, beside the mixture.

    Args:
        forward: see :meth:`Separator.stream`.
        level: mean and deviation that are taken out of the recording and put back into each estimate.

    Yields:
        tuple: consecutive parts of the mixture (channels, time) and of its estimates (n_src, channels, time), of equal
        length, together exactly as long as the recording.
    """
    waiting: list[torch.Tensor] = []
    n_done = 0
    mean, std = level or (0.0, 1.0)

    def passing() -> Iterator[torch.Tensor]:
        for block in blocks:
            waiting.append(block)
            yield (block - mean) / std if level else block

    for estimates in separator.stream(passing(), sample_rate, batch, layout, forward, **plan):
        estimates = estimates * std + mean if level else estimates
        mixture = torch.cat(waiting, dim=-1)
        length = min(mixture.shape[-1], estimates.shape[-1])
        waiting[:] = [mixture[:, length:].clone()]
        n_done += length
        if length:
            yield mixture[:, :length], estimates[..., :length]
        if progress is not None:
            progress(n_done, max(total, n_done))


def stem_names(sources: Sequence[str], complement: bool = False) -> list[str]:
    """Names of the stems, complements after all others; a UserError for one that no file can have."""
    names = [*sources, *(f"no_{name}" for name in sources if complement)]
    for name in names:
        if Path(name).name != name or name in ("", ".", ".."):
            raise UserError(f"the model has a source called {name!r}, which cannot be a file name")
    return names


def separate_file(
    separator: Any,
    path: str | Path,
    out_dir: str | Path,
    sources: str | Sequence[str] | None = None,
    complement: bool = False,
    consistent: bool = False,
    fmt: str = "wav",
    bits: int | None = None,
    offset: float = 0.0,
    duration: float | None = None,
    batch: int | None = None,
    progress: Progress | None = None,
    tolerant: bool = False,
    **inference: Any,
) -> dict[str, Any]:
    """Separate a file into files, in constant memory.

    A model of two channels gets left and right of front, side and back as pairs, and centre, LFE and other single
    loudspeakers each alone; a file that names no loudspeakers is taken to have the usual ones for 3 to 8 channels.

    Args:
        separator (Separator, Module or str): what separates.
        path (str or Path): any audio file, or its address (``https://``, ``s3://``, ..., see :mod:`.addresses`).
        out_dir (str or Path): folder, or address of one; stems go to ``out_dir/<song>/<source>.<fmt>``, with rate, length, channels and tags of
            the file. All of them appear, or none.
        sources (str or list of str, optional): write only these.
        complement (bool): also write ``no_<source>``, the mixture less the stem.
        consistent (bool): make the stems sum to the mixture, to the last bit of the format.
        fmt (str): ``"wav"``, ``"flac"`` or ``"mp3"``.
        bits (int, optional): 16, 24 or 32 (float); by default 32 for wav, 24 for flac.
        offset, duration (float): separate only this part, in seconds.
        batch, progress, **inference: as in :func:`separate`.
        tolerant (bool): decode damaged stretches as players do, and name them in ``remarks``.

    Returns:
        dict: ``file``, ``stems`` {name: path}, ``sample_rate``, ``channels``, ``frames``, ``gain``, ``remarks`` (what was
        wrong with the file though it could be read), ``seconds``, ``rtf`` (seconds of computing per second of audio).

    Raises:
        AudioError: if the file cannot be read or the stems cannot be written.
        UserError: for options that contradict each other.
    """
    begun, sources, places = time.perf_counter(), as_names(sources), places_at(out_dir, fmt)
    if not isinstance(separator, Separator):
        separator = Separator(separator, sources=None if consistent else sources)
    wanted = check_stems(separator, sources, complement, consistent, fmt)
    standardise, plan = separator.how(**inference)
    batch = separator.usual_batch if batch is None else batch
    request = Request(tuple(wanted), complement, consistent, fmt, bits, batch, tolerant, plan, standardise)
    entry, names = Entry(song_name(path), os.fspath(path)), stem_names(wanted, complement)
    with places.fetched(entry) as file, places.kept(entry, names) as targets:
        opened = OpenRecording(separator.sources, file, targets, request, offset, duration)
        how = (opened.info.sample_rate, batch, progress, opened.total, opened.layout, None, opened.level)
        opened.write(separated_parts(separator, opened.reader, *how, **plan))
    stems = {name: str(place) for name, place in places.stems(entry, names).items()}
    return {**opened.result(time.perf_counter() - begun), "file": str(path), "stems": stems}


def check_stems(
    separator: Separator,
    sources: str | Sequence[str] | None = None,
    complement: bool = False,
    consistent: bool = False,
    fmt: str = "wav",
) -> list[str]:
    """Names of the stems to write.

    Raises:
        UserError: for a source that the model does not have, or options that contradict each other.
    """
    wanted = among(separator.sources, as_names(sources))
    if consistent and fmt == "mp3":
        raise UserError("mp3 stems cannot sum to the mixture exactly: choose wav or flac, or leave consistent out")
    if consistent and len(separator.sources) == 1 and not complement:
        only = separator.sources[0]
        raise UserError(f"consistent needs stems that make up the mixture; the model has {only} only: add complement")
    return list(wanted)
