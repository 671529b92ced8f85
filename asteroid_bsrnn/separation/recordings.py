"""Separate arrays and files of any rate, length and number of channels; rate, length, channels and level are kept."""

import time
from pathlib import Path

import numpy as np
import torch

from ..audio.channel_order import DEFAULT as DEFAULT_LAYOUT
from ..audio.read import AudioReader
from ..audio.write import check_format
from ..common.errors import AudioError, UserError
from .ensemble import Separator
from .stem_files import StemFormat, write_stems
from .values import as_mixture, as_names, as_part, as_rate

__all__ = ["Separator", "separate", "separate_file", "stem_paths"]


def separate(
    model,
    wav,
    sample_rate,
    sources=None,
    consistent=False,
    batch=None,
    progress=None,
    device="auto",
    precision=None,
    shifts=1,
    layout=0,
    **inference,
):
    """Separate a recording in memory.

    Args:
        model (Module, str, list of these, or Separator): what separates; a list is averaged.
        wav (Tensor or array): the recording, floats of any kind.
        sample_rate (int): of ``wav``, in Hz; estimates have it too.
        sources (str or list of str, optional): only these, in the order of the model.
        consistent (bool): share out what is missing, so that the estimates of all sources sum to ``wav``.
        batch (int, optional): segments per pass; None: see :meth:`Separator.stream`. The result does not depend on it.
        progress (callable, optional): called as ``progress(done, total)``, in samples.
        device, precision, shifts: see :class:`Separator` (which has its own when it is given as ``model``).
        layout (int): see :meth:`Separator.stream`.
        **inference: scheme, segment, overlap, hop, window: see :func:`asteroid_bsrnn.separation.segments.make_plan`.

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
    parts, total = [], mixture.shape[-1]
    for _, part in separated_parts(separator, [mixture], sample_rate, batch, progress, total, layout, **inference):
        parts.append(part)
    stems = torch.cat(parts, dim=-1)
    if consistent:
        stems = stems + (mixture - stems.sum(0)) / len(stems)
    stems = stems[[separator.sources.index(name) for name in wanted]]
    stems = stems if wav.ndim == 2 else stems[:, 0]
    return stems.to(wav) if isinstance(wav, torch.Tensor) else stems.numpy().astype(wav.dtype)


def separated_parts(separator, blocks, sample_rate, batch=None, progress=None, total=0, layout=0, **inference):
    """Separate a stream, beside the mixture.

    Yields:
        tuple: consecutive parts of the mixture (channels, time) and of its estimates (n_src, channels, time), of equal
        length, together exactly as long as the recording.
    """
    waiting, n_done = [], 0

    def passing():
        for block in blocks:
            waiting.append(block)
            yield block

    for estimates in separator.stream(passing(), sample_rate, batch, layout, **inference):
        mixture = torch.cat(waiting, dim=-1)
        length = min(mixture.shape[-1], estimates.shape[-1])
        waiting[:] = [mixture[:, length:].clone()]
        n_done += length
        if length:
            yield mixture[:, :length], estimates[..., :length]
        if progress is not None:
            progress(n_done, max(total, n_done))


def song_name(path) -> str:
    """Name of the folder for the stems of a file: its name without suffix, or all of it where nothing else is left."""
    name, stem = Path(path).name, Path(path).stem
    return name.lstrip(".") or "recording" if stem in ("", ".", "..") else stem


def stem_paths(path, out_dir, sources, complement=False, fmt="wav"):
    """Where the stems of a file go: ``out_dir/<song>/<source>.<fmt>``, complements as ``no_<source>``.

    Returns:
        dict: name of the stem -> Path.
    """
    names = [*sources, *(f"no_{name}" for name in sources if complement)]
    for name in names:
        if Path(name).name != name or name in ("", ".", ".."):
            raise UserError(f"the model has a source called {name!r}, which cannot be a file name")
    return {name: Path(out_dir) / song_name(path) / f"{name}.{fmt}" for name in names}


def separate_file(
    separator,
    path,
    out_dir,
    sources=None,
    complement=False,
    consistent=False,
    fmt="wav",
    bits=None,
    offset=0.0,
    duration=None,
    batch=None,
    progress=None,
    tolerant=False,
    **inference,
):
    """Separate a file into files, in constant memory.

    A model of two channels gets left and right of front, side and back as pairs, and centre, LFE and other single
    loudspeakers each alone; a file that names no loudspeakers is taken to have the usual ones for 3 to 8 channels.

    Args:
        separator (Separator, Module or str): what separates.
        path (str or Path): any audio file.
        out_dir (str or Path): stems go to ``out_dir/<song>/<source>.<fmt>``, with rate, length, channels and tags of
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
    begun, sources = time.perf_counter(), as_names(sources)
    if not isinstance(separator, Separator):
        separator = Separator(separator, sources=None if consistent else sources)
    wanted = check_stems(separator, sources, complement, consistent, fmt)
    form = StemFormat(fmt, check_format(fmt, bits), consistent and len(separator.sources) > 1, complement)
    info, reader, total = _open(path, offset, duration, tolerant)
    paths = stem_paths(path, out_dir, wanted, complement, fmt)
    _refuse_own_input(path, paths)
    columns = [*separator.sources, *(f"no_{name}" for name in separator.sources if complement)]
    layout = info.layout or DEFAULT_LAYOUT.get(info.channels, 0)
    parts = separated_parts(separator, reader, info.sample_rate, batch, progress, total, layout, **inference)
    target_folder = next(iter(paths.values())).parent
    made = _missing_folders(target_folder)
    try:
        targets = [paths.get(name) for name in columns]
        gain = write_stems(parts, targets, info.sample_rate, info.channels, form, info.tags, total, info.layout)
    except BaseException as error:
        for folder in made:
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
        if isinstance(error, OSError):
            raise AudioError(target_folder, f"stems cannot be written: {error.strerror or error}") from None
        raise
    seconds = time.perf_counter() - begun
    facts = {"sample_rate": info.sample_rate, "channels": info.channels, "frames": reader.n_read, "gain": gain}
    facts["remarks"] = reader.remarks
    cost = {"seconds": round(seconds, 3), "rtf": round(seconds * info.sample_rate / reader.n_read, 5)}
    return {"file": str(path), "stems": {name: str(target) for name, target in paths.items()}, **facts, **cost}


def check_stems(separator, sources=None, complement=False, consistent=False, fmt="wav"):
    """Names of the stems to write.

    Raises:
        UserError: for a source that the model does not have, or options that contradict each other.
    """
    sources = as_names(sources)
    unknown = [name for name in sources or () if name not in separator.sources]
    if unknown:
        raise UserError(f"unknown source {unknown[0]!r}: the model has {', '.join(separator.sources)}")
    if consistent and fmt == "mp3":
        raise UserError("mp3 stems cannot sum to the mixture exactly: choose wav or flac, or leave consistent out")
    if consistent and len(separator.sources) == 1 and not complement:
        only = separator.sources[0]
        raise UserError(f"consistent needs stems that make up the mixture; the model has {only} only: add complement")
    return [name for name in separator.sources if not sources or name in sources]


def _open(path, offset, duration, tolerant):
    """Header, reader and expected length of the part of a file."""
    offset, duration = as_part(offset, duration)
    reader = AudioReader(path, tolerant=tolerant)
    info = reader.info
    if offset or duration is not None:
        frames = -1 if duration is None else max(1, round(duration * info.sample_rate))
        reader = AudioReader(path, round(offset * info.sample_rate), frames, tolerant=tolerant)
    left = max(0, info.frames - reader.start)
    return info, reader, left if reader.frames < 0 else min(left, reader.frames)


def _refuse_own_input(path, paths):
    for target in paths.values():
        if target.is_dir():
            raise AudioError(target, "is a folder where a stem should go")
        if target.exists() and target.samefile(path):
            raise UserError(f"{target} is the recording itself: choose another folder for the stems")
    folder = next(part for part in (target.parent, *target.parent.parents) if part.exists())
    if not folder.is_dir():
        raise AudioError(folder, "is a file where a folder for the stems should be")


def _missing_folders(folder):
    """The folders that will be made for ``folder``, innermost first."""
    return [part for part in (folder, *folder.parents) if not part.exists()]
