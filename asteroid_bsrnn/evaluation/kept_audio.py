"""Recordings kept for listening, chosen by a seeded rule rather than by hand."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile as sf
import torch

from ..common.files import atomic_folder, atomic_path


def chosen(n_items: int, n_examples: int, seed: int) -> set[int]:
    """Indices of the examples: the first ``n_examples`` of a seeded shuffle (-1 for all)."""
    order = np.random.default_rng(seed).permutation(n_items)
    return set(order[: n_items if n_examples < 0 else n_examples].tolist())


def write_wav(path: Path, wav: torch.Tensor, sample_rate: int) -> None:
    """Write (channels, time) or (time,) as 32-bit float WAV: no clipping, no change of level."""
    with atomic_path(path) as partial:
        sf.write(partial, torch.as_tensor(wav).detach().cpu().float().numpy().T, sample_rate, subtype="FLOAT")


def write_music_example(
    folder: Path,
    mixture: torch.Tensor,
    estimates: torch.Tensor,
    targets: torch.Tensor,
    sources: Sequence[str],
    sample_rate: int,
    seconds: float | None = None,
) -> None:
    """Write ``mixture.wav``, ``<source>_estimate.wav`` and ``<source>.wav``; the folder appears when it is complete.

    Args:
        folder: ``examples/<track>``.
        mixture, estimates, targets: (channels, time), and twice (n_src, channels, time).
        sources: names.
        sample_rate: samples per second.
        seconds: length of the excerpt from the middle; None for all of it.
    """
    length = mixture.shape[-1] if seconds is None else min(int(seconds * sample_rate), mixture.shape[-1])
    start = (mixture.shape[-1] - length) // 2
    files = {"mixture": mixture, **{f"{source}_estimate": wav for source, wav in zip(sources, estimates)}}
    files.update(zip(sources, targets))
    with atomic_folder(folder) as partial:
        for name, wav in files.items():
            write_wav(partial / f"{name}.wav", wav[..., start : start + length], sample_rate)


def write_speech_example(
    folder: Path,
    mixture_id: str,
    system: str,
    mix: torch.Tensor,
    estimates: torch.Tensor,
    targets: torch.Tensor,
    sample_rate: int,
) -> None:
    """Write one utterance in the layout of the supplement's page; the mixture comes last, as the sign of completeness.

    Args:
        folder: ``examples``; gets ``references/s1/<id>.wav``, ``<system>/s1/<id>.wav``, ..., ``mix/<id>.wav``.
        mixture_id: name of the files.
        system: name of the system's folder.
        mix, estimates, targets: (time,), and twice (n_src, time), in the order of the references.
        sample_rate: samples per second.
    """
    for name, wavs in (("references", targets), (system, estimates)):
        for index, wav in enumerate(wavs):
            write_wav(folder / name / f"s{index + 1}" / f"{mixture_id}.wav", wav, sample_rate)
    write_wav(folder / "mix" / f"{mixture_id}.wav", mix, sample_rate)
