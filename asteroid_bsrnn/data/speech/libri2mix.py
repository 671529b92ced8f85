"""Libri2Mix and Libri3Mix: what a line of their metadata means, and the mixtures that follow from it.

A source is its LibriSpeech utterance times the gain in the metadata (loudness and protection from clipping are in it),
resampled, then cut to the shortest ("min") or padded to the longest ("max"); a mixture is the sum. Only the streams
that are asked for are made: clean mixtures need neither noise nor its 50 GB.

References
    [1] Cosentino et al., "LibriMix: An Open-Source Dataset for Generalizable Speech Separation", 2020.
"""

import io
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile as sf

from ...common.errors import UserError
from ...common.registry import check_known
from .metadata import read_rows
from .plan import Plan
from .utterances import MODES, extend_noise, fit_length, look_at, read_utterance, resample

SPLITS = {"train-clean-100": "train-100", "train-clean-360": "train-360", "dev-clean": "dev", "test-clean": "test"}
STREAMS = ("mix_clean", "mix_both", "mix_single")
LICENSES = [
    {
        "title": "LibriSpeech ASR corpus",
        "title_link": "http://www.openslr.org/12",
        "author": "Vassil Panayotov",
        "author_link": "https://github.com/vdp",
        "license": "CC BY 4.0",
        "license_link": "https://creativecommons.org/licenses/by/4.0/",
        "non_commercial": False,
    }
]


@dataclass(frozen=True)
class Mixture:
    """One line of the metadata.

    Args:
        name: ``mixture_ID``.
        paths: utterances, relative to the LibriSpeech folder.
        gains: one each.
        noise: path relative to the noise folder and gain, or ``(None, 0.0)``.
        speakers, sexes: one each; empty without the info file.
    """

    name: str
    paths: tuple[str, ...]
    gains: tuple[float, ...]
    noise: tuple[str | None, float]
    speakers: tuple[str, ...] = ()
    sexes: tuple[str, ...] = ()


def read_metadata(metadata: str | Path, subset: str, n_src: int = 2) -> list[Mixture]:
    """The mixtures of a subset, in the order of the metadata.

    Args:
        metadata: folder with ``libri2mix_<subset>.csv`` (searched at any depth), or that file.
        subset: ``train-clean-100``, ``train-clean-360``, ``dev-clean`` or ``test-clean``.
        n_src: 2 or 3.

    Raises:
        UserError: unknown subset, no such file or several, columns of another version, a line that
            cannot be read, a mixture that occurs twice.
    """
    check_known("subset", subset, SPLITS)
    path = _metadata_file(Path(metadata), f"libri{n_src}mix_{subset}.csv")
    info = path.with_name(path.stem + "_info.csv")
    people = {row["mixture_ID"]: row for row in read_rows(info, ["mixture_ID"])} if info.exists() else {}
    wanted = ["mixture_ID", *(f"source_{i + 1}_{what}" for i in range(n_src) for what in ("path", "gain"))]
    mixtures = [_mixture(row, people.get(row["mixture_ID"]), n_src, path) for row in read_rows(path, wanted)]
    names = Counter(mixture.name for mixture in mixtures)
    if repeated := [name for name, count in names.items() if count > 1]:
        raise UserError(f"{path} has the mixture {repeated[0]} twice")
    return mixtures


def _metadata_file(metadata: Path, name: str) -> Path:
    if metadata.is_file():
        return metadata
    found = sorted(metadata.rglob(name)) if metadata.is_dir() else []
    if len(found) > 1:
        raise UserError(f"{metadata} holds {name} twice: {found[0]} and {found[1]}; name one of them")
    if not found:
        raise UserError(
            f"{metadata}: no {name}; the public metadata is in https://github.com/JorisCos/LibriMix, folder metadata"
        )
    return found[0]


def _mixture(row: Mapping[str, str], person: Mapping[str, str] | None, n_src: int, path: Path) -> Mixture:
    try:
        gains = tuple(float(row[f"source_{i + 1}_gain"]) for i in range(n_src))
        noise = (row["noise_path"], float(row["noise_gain"])) if row.get("noise_path") else (None, 0.0)
        paths = tuple(row[f"source_{i + 1}_path"] for i in range(n_src))
        if not all(paths) or not row["mixture_ID"]:
            raise ValueError("an empty field")
    except (TypeError, ValueError) as error:
        raise UserError(f"{path}: the line of {row.get('mixture_ID')!r} cannot be read ({error})") from None
    speakers = tuple(Path(name).parts[1] if len(Path(name).parts) > 1 else "" for name in paths)
    sexes = tuple(person[f"speaker_{i + 1}_sex"] for i in range(n_src)) if person else ()
    return Mixture(row["mixture_ID"], paths, gains, noise, speakers, sexes)


class LibriMixPlan(Plan):
    """Libri2Mix or Libri3Mix as its metadata and LibriSpeech define it.

    Args:
        metadata: see :func:`read_metadata`.
        librispeech: folder with ``train-clean-100``, ``dev-clean``, ``test-clean``.
        subset: one of :data:`SPLITS`.
        n_src: 2 or 3.
        sample_rate: 8000 or 16000 Hz.
        mode: ``"min"`` or ``"max"``.
        stream: the mixture that is separated, one of :data:`STREAMS`.
        noise_dir: WHAM noise with ``tr``, ``cv``, ``tt``; only noisy streams need it.

    Raises:
        UserError: as :func:`read_metadata`; unknown stream or rate; no noise for a noisy stream; no LibriSpeech.
    """

    def __init__(
        self,
        metadata: str | Path,
        librispeech: str | Path,
        subset: str,
        n_src: int = 2,
        sample_rate: int = 8000,
        mode: str = "min",
        stream: str = "mix_clean",
        noise_dir: str | Path | None = None,
    ) -> None:
        check_settings(subset, n_src, sample_rate, mode, stream, noise_dir)
        self.librispeech = Path(librispeech)
        self.noise_dir = None if stream == "mix_clean" or noise_dir is None else Path(noise_dir)
        if not self.librispeech.is_dir():
            raise UserError(f"there is no LibriSpeech folder {librispeech} (key speech_dir, option --librispeech_dir)")
        self.mixtures = read_metadata(metadata, subset, n_src)
        self.names = [mixture.name for mixture in self.mixtures]
        self.split, self.n_src, self.sample_rate, self.mode = SPLITS[subset], n_src, sample_rate, mode
        noise = () if self.noise_dir is None else ("noise",)
        self.streams, self.mixture_stream = (*(f"s{number + 1}" for number in range(n_src)), *noise, stream), stream
        self.infos = {
            "dataset": f"Libri{n_src}Mix",
            "task": "sep_clean" if not noise else "sep_noisy",
            "licenses": LICENSES,
        }

    def paths(self, index: int) -> list[str]:
        mixture = self.mixtures[index]
        paths = [str(self.librispeech / path) for path in mixture.paths]
        if self.noise_dir is not None:
            if not mixture.noise[0]:
                raise UserError(f"the metadata names no noise for {mixture.name}, which {self.mixture_stream} needs")
            paths.append(str(self.noise_dir / mixture.noise[0]))
        return paths

    def look_at(self, path: str) -> int:
        return look_at(path, mono=self.noise_dir is None or not path.startswith(str(self.noise_dir)))

    def signals(self, index: int) -> dict[str, np.ndarray]:
        mixture, paths = self.mixtures[index], self.paths(index)
        wavs = [read_utterance(path) * np.float32(gain) for path, gain in zip(paths, mixture.gains)]
        if self.noise_dir is not None:
            noise = extend_noise(read_utterance(paths[-1], mono=False), max(map(len, wavs)))
            wavs.append(noise * np.float32(mixture.noise[1]))
        sources = fit_length([resample(wav, self.sample_rate) for wav in wavs], self.mode)
        made = dict(zip(self.streams, sources))
        heard = list(sources if self.mixture_stream == "mix_both" else sources[: self.n_src])
        heard = [sources[0], sources[-1]] if self.mixture_stream == "mix_single" else heard
        made[self.mixture_stream] = sum(heard[1:], heard[0])
        return made

    def pcm16(self, wav: np.ndarray) -> np.ndarray:
        """As libsndfile rounds: the original script leaves it to the library, so this does too."""
        file = io.BytesIO()
        sf.write(file, np.atleast_2d(wav).T, self.sample_rate, format="RAW", subtype="PCM_16", endian="LITTLE")
        return np.frombuffer(file.getvalue(), "<i2").reshape(-1, np.atleast_2d(wav).shape[0]).T.reshape(wav.shape)

    def definition(self) -> list[tuple[object, ...]]:
        return [(mixture.name, mixture.paths, mixture.gains) for mixture in self.mixtures]

    def describe(self, index: int) -> dict[str, list[str]]:
        return {"speakers": list(self.mixtures[index].speakers), "sexes": list(self.mixtures[index].sexes)}


def check_settings(
    subset: str, n_src: int, sample_rate: int, mode: str, stream: str, noise_dir: str | Path | None
) -> None:
    """Refuse what LibriMix does not have, and a noisy stream without noise."""
    known = {"subset": (subset, SPLITS), "n_src": (n_src, (2, 3)), "sample_rate": (sample_rate, (8000, 16000))}
    known.update(mode=(mode, MODES), stream=(stream, STREAMS))
    for name, (value, allowed) in known.items():
        check_known(name, value, allowed, "of LibriMix")
    if stream != "mix_clean" and noise_dir is None:
        raise UserError(f"stream {stream!r} needs the WHAM noise folder (key noise_dir); mix_clean needs none")
