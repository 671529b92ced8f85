"""Recordings kept for listening, chosen by a seeded rule rather than by hand."""

import numpy as np
import soundfile as sf
import torch

from ..common.files import atomic_path


def chosen(n_items, n_examples, seed):
    """Indices of the examples: the first ``n_examples`` of a seeded shuffle (-1 for all)."""
    order = np.random.default_rng(seed).permutation(n_items)
    return set(order[: n_items if n_examples < 0 else n_examples].tolist())


def write_wav(path, wav, sample_rate):
    """Write (channels, time) or (time,) as 32-bit float WAV: no clipping, no change of level."""
    with atomic_path(path) as partial:
        sf.write(partial, torch.as_tensor(wav).detach().cpu().float().numpy().T, sample_rate, subtype="FLOAT")


def write_music_example(folder, mixture, estimates, targets, sources, sample_rate, seconds=None):
    """Write ``mixture.wav``, ``<source>_estimate.wav`` and ``<source>.wav``; the folder appears when it is complete.

    Args:
        folder (Path): ``examples/<track>``.
        mixture, estimates, targets (torch.Tensor): (channels, time), and twice (n_src, channels, time).
        sources (list of str): names.
        sample_rate (int): samples per second.
        seconds (float, optional): length of the excerpt from the middle; None for all of it.
    """
    length = mixture.shape[-1] if seconds is None else min(int(seconds * sample_rate), mixture.shape[-1])
    start = (mixture.shape[-1] - length) // 2
    files = {"mixture": mixture, **{f"{source}_estimate": wav for source, wav in zip(sources, estimates)}}
    files.update(zip(sources, targets))
    partial = folder.with_name(f".{folder.name}.partial")
    for name, wav in files.items():
        write_wav(partial / f"{name}.wav", wav[..., start : start + length], sample_rate)
    _replace_folder(partial, folder)


def _replace_folder(partial, folder):
    """Put a complete folder into its place."""
    if folder.exists():
        for old in folder.iterdir():
            old.unlink()
        folder.rmdir()
    partial.replace(folder)


def write_speech_example(folder, mixture_id, system, mix, estimates, targets, sample_rate):
    """Write one utterance in the layout of the supplement's page; the mixture comes last, as the sign of completeness.

    Args:
        folder (Path): ``examples``; gets ``references/s1/<id>.wav``, ``<system>/s1/<id>.wav``, ..., ``mix/<id>.wav``.
        mixture_id (str): name of the files.
        system (str): name of the system's folder.
        mix, estimates, targets (torch.Tensor): (time,), and twice (n_src, time), in the order of the references.
        sample_rate (int): samples per second.
    """
    for name, wavs in (("references", targets), (system, estimates)):
        for index, wav in enumerate(wavs):
            write_wav(folder / name / f"s{index + 1}" / f"{mixture_id}.wav", wav, sample_rate)
    write_wav(folder / "mix" / f"{mixture_id}.wav", mix, sample_rate)
