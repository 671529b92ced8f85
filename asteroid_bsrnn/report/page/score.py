"""Loads a clip, checks it, puts estimates into the references' order, scores them and finds references in disguise."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from ...common.errors import UserError
from ...metrics import best_permutation, sdr, si_sdr, usdr
from ..figures.spectrogram import read_wav
from .clips import Clip

COPY_DB = 60.0


@dataclass
class Scored:
    """A clip in memory.

    Args:
        clip: its files.
        sample_rate: Hz.
        mixture: (time, channels).
        references: source -> (time, channels).
        estimates: system -> {source: (time, channels)}, in the references' order.
        scores: system -> {source: {"in", "out", "gained"}}, dB.
        means: system -> scores of the whole clip, ``{label: (in, out, gained)}``.
        copies: estimates that are a reference: system, source, file, of, why.
        swapped: systems whose estimates were re-ordered.
        notes: what else a listener should know.
    """

    clip: Clip
    sample_rate: int
    mixture: np.ndarray
    references: dict[str, np.ndarray]
    estimates: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)
    scores: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    means: dict[str, dict[str, tuple[float, float, float]]] = field(default_factory=dict)
    copies: list[dict[str, str]] = field(default_factory=list)
    swapped: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def load(clip: Clip) -> Scored:
    """Read, check and score a clip.

    Args:
        clip: what to read.

    Raises:
        UserError: when files of the clip differ in length, sample rate or channels, or cannot be read.
    """
    mixture, sample_rate = read_wav(clip.mixture)

    def read(path: Path) -> np.ndarray:
        wav, rate = read_wav(path)
        for name, mine, wanted in (
            ("Hz", rate, sample_rate),
            ("samples", len(wav), len(mixture)),
            ("channels", wav.shape[1], mixture.shape[1]),
        ):
            if mine != wanted:
                raise UserError(f"{path} has {mine} {name}, but its mixture {clip.mixture} has {wanted}")
        return wav

    found = Scored(clip, sample_rate, mixture, {source: read(path) for source, path in clip.references.items()})
    _check_merged(found, read)
    for system, files in clip.estimates.items():
        absent = [source for source in found.references if source not in files]
        if absent:
            found.notes.append(f"{system} has no estimate of {', '.join(absent)}.")
        wavs = {source: read(path) for source, path in files.items()}
        order = _order(found, wavs) if clip.kind == "speech" else {source: source for source in wavs}
        if any(source != mine for source, mine in order.items()):
            found.swapped.append(system)
        found.estimates[system] = {source: wavs[mine] for source, mine in order.items()}
        _score(found, system)
        _find_copies(found, system, {source: files[mine] for source, mine in order.items()})
    return found


def _check_merged(found: Scored, read: Callable[[Path], np.ndarray]) -> None:
    """The mixture and references of the same clip in another folder must be the same recordings."""
    for other in found.clip.others:
        pairs = [(other.mixture, found.mixture)] + [
            (path, found.references[source]) for source, path in other.references.items()
        ]
        for path, wav in pairs:
            if np.abs(read(path) - wav).max() > 1e-4:
                raise UserError(
                    f"{path} is not the recording that {found.clip.mixture.parent} has for the clip {found.clip.name}"
                )


def _stack(wavs: Mapping[str, np.ndarray]) -> torch.Tensor:
    """(sources, time), first channel averaged over channels, for the speech scores."""
    return torch.from_numpy(np.stack([wav.mean(axis=1) for wav in wavs.values()]))


def _order(found: Scored, wavs: Mapping[str, np.ndarray]) -> dict[str, str]:
    order = best_permutation(_stack(wavs)[None], _stack(found.references)[None])[0].tolist()
    names = list(wavs)
    return {source: names[index] for source, index in zip(found.references, order)}


def _score(found: Scored, system: str) -> None:
    estimates = found.estimates[system]
    speech = found.clip.kind == "speech"
    found.scores[system] = {}
    for source, estimate in estimates.items():
        reference = found.references[source]
        before, after = (_db(wav, reference, speech) for wav in (found.mixture, estimate))
        found.scores[system][source] = {"in": before, "out": after, "gained": after - before}
    rows = found.scores[system].values()
    before, after, gained = (float(np.mean([row[key] for row in rows])) for key in ("in", "out", "gained"))
    found.means[system] = {"SI-SNR" if speech else "uSDR": (before, after, gained)}


def add_sdr(found: Scored) -> None:
    """Add the SDR of BSS Eval to the means of a clip of speech; it takes long, so only clips that are shown get it."""
    references = _stack(found.references)[None]
    mixture = torch.from_numpy(found.mixture.mean(axis=1)).expand_as(references)
    before = float(sdr(mixture, references, permute=False).mean())
    for system, estimates in found.estimates.items():
        after = float(sdr(_stack(estimates)[None], references, permute=False).mean())
        found.means[system]["SDR"] = (before, after, after - before)


def _db(estimate: np.ndarray, reference: np.ndarray, speech: bool) -> float:
    if speech:
        one, other = (torch.from_numpy(wav.mean(axis=1))[None, None] for wav in (estimate, reference))
        return float(si_sdr(one, other, permute=False))
    one, other = (torch.from_numpy(wav.T.copy())[None, None] for wav in (estimate, reference))
    return float(usdr(one, other))


def _find_copies(found: Scored, system: str, files: Mapping[str, Path]) -> None:
    """Flag every estimate that is a reference: the same samples (files may differ in their date), or closer than 60 dB."""
    for source, path in files.items():
        about = {"system": system, "source": source, "file": f"{path.parent.name}/{path.name}"}
        estimate = found.estimates[system][source]
        same = next((of for of, reference in found.references.items() if np.array_equal(estimate, reference)), None)
        if same is not None:
            found.copies.append({**about, "of": same, "why": "the signals are identical"})
            continue
        for of, reference in found.references.items():
            score = _db(found.estimates[system][source], reference, True)
            if score > COPY_DB:
                found.copies.append({**about, "of": of, "why": f"SI-SDR {score:.0f} dB"})
                break
