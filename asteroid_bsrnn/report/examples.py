"""Sound examples of an experiment as labelled files: what eval writes under ``exp/<tag>/examples``."""

from pathlib import Path

from ..common.errors import UserError
from .experiments import Experiment
from .page.clips import Clip, find_clips

Triptych = tuple[str, str, dict[str, Path]]  # title, file name, label -> sound


def triptychs(exp: Experiment) -> list[Triptych]:
    """Mixture, estimate and reference of every example of an experiment.

    Args:
        exp: any.

    Returns:
        (title, file name, {label: path}); one per track and source (music), or per mixture and speaker. Empty where the
        examples are not whole, of which the listening page says why.
    """
    try:
        clips = find_clips([exp.path])
    except UserError:
        return []
    return [
        _triptych(clip, system, source)
        for clip in clips
        for system, files in clip.estimates.items()
        for source in files
    ]


def _triptych(clip: Clip, system: str, source: str) -> Triptych:
    paths = {
        "mixture": clip.mixture,
        f"{source}, {'estimate' if clip.kind == 'music' else system}": clip.estimates[system][source],
        f"{source}, reference": clip.references[source],
    }
    name = f"{clip.name}_{source}" if clip.kind == "music" else f"{system}_{clip.name}_{source}"
    return f"{clip.name}: {source}", name, paths
