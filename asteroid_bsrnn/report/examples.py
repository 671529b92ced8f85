"""Sound examples of an experiment as labelled files: what eval writes under ``exp/<tag>/examples``."""

from pathlib import Path

from .experiments import Experiment

Triptych = tuple[str, str, dict[str, Path]]  # title, file name, label -> sound


def triptychs(exp: Experiment) -> list[Triptych]:
    """Mixture, estimate and reference of every example of an experiment.

    Args:
        exp: any.

    Returns:
        (title, file name, {label: path}); one per track and source (music), or per mixture and speaker.
    """
    folder = Path(exp.path) / "examples"
    if not folder.is_dir():
        return []
    return _speech(folder) if (folder / "mix").is_dir() else _music(folder)


def _music(folder: Path) -> list[Triptych]:
    found = []
    for track in sorted(path for path in folder.iterdir() if (path / "mixture.wav").exists()):
        for estimate in sorted(track.glob("*_estimate.wav")):
            source = estimate.name.removesuffix("_estimate.wav")
            paths = {
                "mixture": track / "mixture.wav",
                f"{source}, estimate": estimate,
                f"{source}, reference": track / f"{source}.wav",
            }
            found.append((f"{track.name}: {source}", f"{track.name}_{source}", paths))
    return found


def _speech(folder: Path) -> list[Triptych]:
    systems = [path for path in sorted(folder.iterdir()) if path.is_dir() and path.name not in ("mix", "references")]
    found = []
    for mixture in sorted((folder / "mix").glob("*.wav")):
        for system in systems:
            for speaker in sorted(path.name for path in (folder / "references").iterdir()):
                estimate = system / speaker / mixture.name
                if estimate.exists():
                    paths = {
                        "mixture": mixture,
                        f"{speaker}, {system.name}": estimate,
                        f"{speaker}, reference": folder / "references" / speaker / mixture.name,
                    }
                    found.append((f"{mixture.stem}: {speaker}", f"{system.name}_{mixture.stem}_{speaker}", paths))
    return found
