"""Finds the clips of a listening page in folders of sound examples, in either of the two layouts."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ...common.errors import UserError
from ..published import usual_order

REFERENCE_NAMES = ("references", "Ground Truth")


@dataclass
class Clip:
    """One mixture with its references and what each system made of it.

    Args:
        name: mixture id or track name.
        kind: ``"speech"`` (estimates in any order) or ``"music"``.
        mixture: file.
        references: source -> file.
        estimates: system -> {source: file}.
        others: the same clip in other folders, whose mixture and references must be the same.
    """

    name: str
    kind: str
    mixture: Path
    references: dict[str, Path]
    estimates: dict[str, dict[str, Path]] = field(default_factory=dict)
    others: list["Clip"] = field(default_factory=list)


def find_clips(folders: Iterable[str | Path]) -> list[Clip]:
    """Read folders of examples; a clip that stands in several becomes one with the systems of all.

    Args:
        folders: each ``exp/<tag>``, its ``examples``, or a folder in the supplement's layout
            (``mix/``, ``references/`` or ``Ground Truth/``, ``<system>/{s1,s2}/``).

    Returns:
        By name.

    Raises:
        UserError: for a folder without clips, a system of one name twice, estimates that are missing.
    """
    clips: dict[tuple[str, str], Clip] = {}
    for folder in map(Path, folders):
        for clip in _read_folder(folder):
            known = clips.setdefault((clip.kind, clip.name), clip)
            if known is not clip:
                _merge(known, clip)
    return [clips[key] for key in sorted(clips)]


def _read_folder(folder: Path) -> list[Clip]:
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder; give folders of sound examples such as exp/base")
    inside = folder / "examples" if (folder / "examples").is_dir() else folder
    system = (folder.parent if folder.name == "examples" else folder).resolve().name
    clips = _speech(inside) if (inside / "mix").is_dir() else _music(inside, system)
    if not clips:
        raise UserError(f"{folder} holds no sound examples: neither mix/<id>.wav nor <track>/mixture.wav")
    return clips


def _music(folder: Path, system: str) -> list[Clip]:
    clips = []
    for mixture in sorted(folder.glob("*/mixture.wav")):
        track = mixture.parent
        found = {path.name.removesuffix("_estimate.wav"): path for path in track.glob("*_estimate.wav")}
        references = {source: track / f"{source}.wav" for source in sorted(found, key=usual_order)}
        for source, path in references.items():
            if not path.exists():
                raise UserError(f"{track} has {source}_estimate.wav but no {source}.wav, its reference")
        if not found:
            raise UserError(f"{track} has no <source>_estimate.wav")
        clips.append(
            Clip(track.name, "music", mixture, references, {system: {source: found[source] for source in references}})
        )
    return clips


def _speech(folder: Path) -> list[Clip]:
    truth = next((folder / name for name in REFERENCE_NAMES if (folder / name).is_dir()), None)
    if truth is None:
        raise UserError(f"{folder} has mix/ but none of {', '.join(REFERENCE_NAMES)}/")
    speakers = sorted(path.name for path in truth.iterdir() if path.is_dir())
    systems = sorted(
        path
        for path in folder.iterdir()
        if path.is_dir()
        and path.name not in ("mix", truth.name)
        and any((path / speaker).is_dir() for speaker in speakers)
    )
    clips = []
    for mixture in sorted((folder / "mix").glob("*.wav")):
        clip = Clip(mixture.stem, "speech", mixture, _files(truth, speakers, mixture.name, "reference"))
        for system in systems:
            clip.estimates[system.name] = _files(system, speakers, mixture.name, "estimate")
        if not clip.estimates:
            raise UserError(f"{folder} has no folder of a system's estimates, <system>/{{{','.join(speakers)}}}/")
        clips.append(clip)
    return clips


def _files(folder: Path, speakers: Sequence[str], name: str, kind: str) -> dict[str, Path]:
    files = {speaker: folder / speaker / name for speaker in speakers}
    missing = [str(path) for path in files.values() if not path.exists()]
    if missing:
        raise UserError(
            f"{folder.name} has no {kind} of {Path(name).stem} for {len(missing)} of {len(speakers)} sources: "
            f"{', '.join(missing)}"
        )
    return files


def _merge(known: Clip, clip: Clip) -> None:
    for system in clip.estimates:
        if system in known.estimates:
            raise UserError(f"{clip.name} has two systems called {system}; rename one of their folders")
    known.references = {**clip.references, **known.references}
    known.estimates.update(clip.estimates)
    known.others.append(clip)
