"""WSJ0-2mix without MATLAB: its lists and active levels, and the mixtures that follow from them.

A source is resampled to the mixture's rate, divided by the root of its active speech level (ITU-T P.56, shipped with
the lists), weighted with the level in the list (dB), and cut ("min") or padded ("max"). Mixture and sources share one
gain that brings the loudest of them to 0.9. The original script measures at 8 kHz; so do the shipped levels.

References
    [1] Hershey et al., "Deep clustering: discriminative embeddings for segmentation and separation", ICASSP 2016.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import soundfile as sf

from ...audio.sphere import read_sphere
from ...common.errors import AudioError, UserError
from ...common.files import atomic_path
from ...common.registry import check_known
from .plan import Plan, in_parallel
from .utterances import MODES, RATE, fit_length, read_utterance, resample

SPLITS = ("tr", "cv", "tt")
COUNTS = {"tr": 20000, "cv": 5000, "tt": 3000}
PEAK = 0.9
_SUFFIXES = (".wav", ".wv1", ".WAV", ".WV1")
INFOS = {
    "dataset": "WSJ0-2mix",
    "task": "sep_clean",
    "licenses": [
        {
            "title": "CSR-I (WSJ0) Complete",
            "title_link": "https://catalog.ldc.upenn.edu/LDC93S6A",
            "author": "LDC",
            "author_link": "https://www.ldc.upenn.edu/",
            "license": "LDC User Agreement for Non-Members",
            "license_link": "https://catalog.ldc.upenn.edu/license/ldc-non-members-agreement.pdf",
            "non_commercial": True,
        }
    ],
}


@dataclass(frozen=True)
class Line:
    """One line of a list: two utterances relative to the folder ``wsj0`` without suffix, and their levels in dB."""

    paths: tuple[str, ...]
    levels: tuple[float, ...]

    @property
    def name(self) -> str:
        """Name of the mixture's files, with the levels as the original script prints them."""
        (one, two), (first, second) = self.paths, self.levels
        return f"{PurePosixPath(one).name}_{first:.8g}_{PurePosixPath(two).name}_{second:.8g}"


def read_list(metadata: str | Path, split: str, n_expected: int | None = None) -> list[Line]:
    """The lines of ``mix_2_spk_<split>.txt``.

    Args:
        metadata: folder that holds it, at any depth.
        split: ``tr``, ``cv`` or ``tt``.
        n_expected: how many lines there must be.

    Raises:
        UserError: no such file or several, another count, a line that cannot be read, or a name that occurs twice.
    """
    path = find_one(metadata, f"mix_2_spk_{split}.txt")
    lines = []
    for number, text in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        words = text.split()
        if not words:
            continue
        try:
            one, first, two, second = words
            paths = tuple(str(PurePosixPath(word.removeprefix("wsj0/")).with_suffix("")) for word in (one, two))
            lines.append(Line(paths, (float(first), float(second))))
        except ValueError:
            raise UserError(f"{path}, line {number}: expected 'path level path level', got {text[:80]!r}") from None
    if n_expected is not None and len(lines) != n_expected:
        raise UserError(
            f"{path} has {len(lines)} mixtures where {n_expected} were expected: it is cut or another version"
        )
    if len({line.name for line in lines}) != len(lines):
        raise UserError(f"{path} gives two mixtures the same name")
    return lines


def read_levels(metadata: str | Path) -> dict[str, float]:
    """Active level of every utterance, from all ``activlev_*.txt``: utterance -> mean square."""
    found = sorted(Path(metadata).rglob("activlev_*.txt"))
    if not found:
        raise UserError(f"{metadata}: no activlev_*.txt; they come with the lists")
    levels = {}
    for path in found:
        for number, text in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            try:
                utterance, level = text.split()
                levels[utterance] = float(level)
                if not levels[utterance] > 0:
                    raise ValueError("no positive level")
            except ValueError:
                raise UserError(f"{path}, line {number}: expected 'utterance level', got {text[:80]!r}") from None
    return levels


def find_one(folder: str | Path, name: str) -> Path:
    """The one file called ``name`` in a folder, at any depth."""
    found = sorted(Path(folder).rglob(name))
    if len(found) != 1:
        what = f"{len(found)} files {name}: {found[0]} and {found[1]}" if found else f"no {name}"
        raise UserError(
            f"{folder} holds {what}; the lists are in https://github.com/mpariente/pywsj0-mix, folder metadata"
        )
    return found[0]


def wsj0_roots(wsj0: str | Path) -> list[Path]:
    """Folders that may hold ``si_tr_s`` and so on: ``wsj0`` itself, its folder ``wsj0``, and LDC's discs."""
    wsj0 = Path(wsj0)
    if not wsj0.is_dir():
        raise UserError(f"there is no WSJ0 folder {wsj0} (key speech_dir, option --wsj0_dir)")
    return [root for root in (wsj0, wsj0 / "wsj0", *sorted(wsj0.glob("*/wsj0"))) if root.is_dir()]


def find_utterance(roots: Sequence[Path], path: str) -> str:
    """File of an utterance: WAV if there is one, else SPHERE; where it should be if there is none."""
    candidates = [root / f"{path}{suffix}" for suffix in _SUFFIXES for root in roots]
    return str(next((file for file in candidates if file.exists()), candidates[0]))


class WSJ0Plan(Plan):
    """WSJ0-2mix as its lists define it.

    Args:
        metadata: folder with the lists and active levels.
        wsj0: folder with ``si_tr_s``, ``si_dt_05``, ``si_et_05`` as ``.wav`` or ``.wv1``.
        split: ``tr``, ``cv`` or ``tt``.
        sample_rate: 8000 or 16000 Hz.
        mode: ``"min"`` or ``"max"``.
        n_expected: how many mixtures there must be.

    Raises:
        UserError: as :func:`read_list` and :func:`read_levels`; unknown split, rate, mode; an utterance without a level.
    """

    mixture_stream, n_src, streams, infos = "mix", 2, ("s1", "s2", "mix"), INFOS

    def __init__(
        self,
        metadata: str | Path,
        wsj0: str | Path,
        split: str,
        sample_rate: int = 8000,
        mode: str = "min",
        n_expected: int | None = None,
    ) -> None:
        known = {"split": (split, SPLITS), "sample_rate": (sample_rate, (8000, 16000)), "mode": (mode, MODES)}
        for name, (value, allowed) in known.items():
            check_known(name, value, allowed, "of WSJ0-2mix")
        self.split, self.sample_rate, self.mode = split, sample_rate, mode
        self.lines, self.levels = read_list(metadata, split, n_expected), read_levels(metadata)
        for line in self.lines:
            for path in line.paths:
                if PurePosixPath(path).name not in self.levels:
                    raise UserError(
                        f"{metadata}: no active level for {PurePosixPath(path).name}, which mix_2_spk_{split}.txt names"
                    )
        self.names = [line.name for line in self.lines]
        roots = wsj0_roots(wsj0)
        self._files = {path: find_utterance(roots, path) for line in self.lines for path in line.paths}

    def paths(self, index: int) -> list[str]:
        return [self._files[path] for path in self.lines[index].paths]

    def signals(self, index: int) -> dict[str, np.ndarray]:
        line, wavs = self.lines[index], []
        for path, level_db in zip(line.paths, line.levels):
            wav = resample(read_utterance(self._files[path], "float64"), self.sample_rate)
            wavs.append(wav / np.sqrt(self.levels[PurePosixPath(path).name]) * 10 ** (level_db / 20))
        s1, s2 = fit_length(wavs, self.mode)
        mixture = s1 + s2
        gain = PEAK / max(1.0, *(np.abs(wav).max() for wav in (mixture, s1, s2)))
        return {"s1": gain * s1, "s2": gain * s2, "mix": gain * mixture}

    def pcm16(self, wav: np.ndarray) -> np.ndarray:
        """As the original script rounds: to the nearest of 2^15 steps, halves away from zero."""
        scaled = np.asarray(wav, np.float64) * 32768
        return np.clip(np.copysign(np.floor(np.abs(scaled) + 0.5), scaled), -32768, 32767).astype(np.int16)

    def definition(self) -> list[tuple[object, ...]]:
        return [(line.paths, line.levels) for line in self.lines]

    def describe(self, index: int) -> dict[str, list[str]]:
        """Speakers; WSJ0 has their sexes on paper only."""
        return {"speakers": [PurePosixPath(path).name[:3] for path in self.lines[index].paths], "sexes": []}


def decode_sphere(wsj0: str | Path, out: str | Path, allow_missing: bool = False) -> tuple[int, list[str]]:
    """Decode every ``.wv1`` of the three folders to WAV once, checked against its header; what is there stays.

    Args:
        wsj0: LDC's folder.
        out: where ``si_tr_s/...wav`` and so on go.
        allow_missing: go on without files that disagree with their header.

    Returns:
        Number of ``.wv1`` files, and a sentence about each that cannot be used.

    Raises:
        AudioError: for the first file that disagrees with its header, unless ``allow_missing``.
    """
    jobs = [
        (path, (Path(out) / path.relative_to(root)).with_suffix(".wav"))
        for root in wsj0_roots(wsj0)
        for folder in ("si_tr_s", "si_dt_05", "si_et_05")
        for path in sorted((root / folder).rglob("*"))
        if path.suffix.lower() == ".wv1"
    ]

    def decode(job: tuple[Path, Path]) -> str | None:
        try:
            _decode_once(*job)
        except AudioError as error:
            if not allow_missing:
                raise
            return str(error)
        return None

    problems = in_parallel(decode, jobs, "decoding wv1") if jobs else []
    return len(jobs), [problem for problem in problems if problem]


def _decode_once(path: Path, target: Path) -> None:
    if target.exists():
        return
    wav, rate = read_sphere(path)
    if rate != RATE:
        raise AudioError(path, f"has a rate of {rate} Hz; {RATE} Hz was expected")
    with atomic_path(target) as partial:
        sf.write(partial, wav, rate, subtype="PCM_16")
