"""Mixtures of speakers for training and evaluation, from generated files or mixed at load time.

A *source of mixtures* has ``names``, ``lengths`` (samples), ``sample_rate``, ``n_src``, ``load(i, start, frames)`` ->
sources (n_src, time) and mixture (time,), float32; ``describe(i)`` -> speakers and sexes; ``infos``. There are two,
:class:`GeneratedFiles` and :class:`asteroid_bsrnn.data.speech.plan.OnTheFly`; :class:`SpeechMixtures` makes a data set
of either.
"""

from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf
import torch
from torch.utils.data import Dataset

from ...common.errors import AudioError, UserError
from .dynamic_mixing import DynamicMixing
from .metadata import read_rows
from .plan import OnTheFly


class SpeechMixtures(Dataset):
    """Mixtures with their sources, cropped at random for training or whole for evaluation.

    Args:
        mixtures: where they come from.
        segment: length of a crop in seconds; shorter mixtures are left out (``dropped`` counts them).
            None gives whole utterances.
        seed: with epoch and index, the origin of every draw.
        limit: the first so many mixtures only.
        dynamic: makes new mixtures from the sources; training only.

    Shape: item ``i`` or ``(epoch, i)`` -> mixture (time,), sources (n_src, time), float32.

    Raises:
        UserError: if no mixture is long enough.
    """

    dataset_name = "SpeechMixtures"

    def __init__(
        self,
        mixtures: "GeneratedFiles | OnTheFly",
        *,
        segment: float | None = None,
        seed: int = 42,
        limit: int | None = None,
        dynamic: DynamicMixing | None = None,
    ) -> None:
        self.mixtures, self.seed, self.dynamic = mixtures, seed, dynamic
        self.sample_rate, self.n_src = mixtures.sample_rate, mixtures.n_src
        self.dataset_name = mixtures.infos["dataset"]
        self.segment_len = None if segment is None else int(round(segment * self.sample_rate))
        lengths = mixtures.lengths[:limit]
        self.rows = [row for row, length in enumerate(lengths) if length >= (self.segment_len or 1)]
        self.dropped = len(lengths) - len(self.rows)
        if not self.rows:
            raise UserError(
                f"{self.dataset_name}: none of {len(lengths)} mixtures is {segment or 0:g} s long (key segment)"
            )
        self.names = [mixtures.names[row] for row in self.rows]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, item: int | tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
        epoch, index = item if isinstance(item, tuple) else (0, item)
        row = self.rows[index]
        if self.segment_len is None:
            sources, mixture = self.mixtures.load(row, 0, -1)
            return torch.from_numpy(mixture), torch.from_numpy(sources)
        generator = np.random.default_rng(np.random.SeedSequence([self.seed, epoch, int(index)]))
        if self.dynamic is not None:
            sources, mixture = self.dynamic.draw(generator)
        else:
            start = int(generator.integers(self.mixtures.lengths[row] - self.segment_len, endpoint=True))
            sources, mixture = self.mixtures.load(row, start, self.segment_len)
        return torch.from_numpy(mixture), torch.from_numpy(sources)

    def describe(self, index: int) -> dict[str, list[str]]:
        """Speakers and sexes of a mixture, as far as they are known."""
        return self.mixtures.describe(self.rows[index])

    def get_infos(self) -> dict[str, Any]:
        """Name, task and licences of the data, as Asteroid's sharing tools ask for."""
        return self.mixtures.infos


class GeneratedFiles:
    """Mixtures that a generator has written: one CSV with the columns that Asteroid's ``LibriMix`` reads.

    Args:
        metadata: ``mixture_<split>_<stream>.csv``, or a folder that holds exactly one CSV.
        infos: what ``get_infos`` returns.
        sample_rate: Hz, expected of every file.
        n_src: sources of each mixture.

    Raises:
        UserError: no CSV, or several, or one without the columns.
    """

    def __init__(self, metadata: str | Path, infos: dict[str, Any], sample_rate: int = 8000, n_src: int = 2) -> None:
        self.path, self.infos, self.sample_rate, self.n_src = _single_csv(Path(metadata)), infos, sample_rate, n_src
        sources = [f"source_{number + 1}_path" for number in range(n_src)]
        self.rows = read_rows(self.path, ["mixture_ID", "mixture_path", *sources, "length"])
        self.names = [row["mixture_ID"] for row in self.rows]
        try:
            self.lengths = [int(float(row["length"])) for row in self.rows]
        except (TypeError, ValueError) as error:
            raise UserError(f"{self.path}: a length is no number of samples ({error})") from None

    def load(self, index: int, start: int, frames: int) -> tuple[np.ndarray, np.ndarray]:
        """Sources (n_src, time) and mixture (time,) of a passage; all of it for ``frames`` -1."""
        row = self.rows[index]
        frames = self.lengths[index] - start if frames < 0 else frames
        paths = [row["mixture_path"], *(row[f"source_{i + 1}_path"] for i in range(self.n_src))]
        wavs = [self._read(path, start, frames) for path in paths]
        return np.stack(wavs[1:]), wavs[0]

    def _read(self, path: str, start: int, frames: int) -> np.ndarray:
        try:
            wav, rate = sf.read(path, start=start, frames=frames, dtype="float32")
        except (sf.LibsndfileError, OSError) as error:
            raise AudioError(path, f"cannot be read ({error}); generate the mixtures again") from None
        if rate != self.sample_rate or wav.shape != (frames,):
            raise AudioError(
                path, f"holds {wav.shape} samples at {rate} Hz where {frames} at {self.sample_rate} Hz were expected"
            )
        return wav

    def describe(self, index: int) -> dict[str, list[str]]:
        """Speakers and sexes, where the CSV has them."""
        row, sources = self.rows[index], range(1, self.n_src + 1)
        return {
            "speakers": [row.get(f"speaker_{number}_ID") or "" for number in sources],
            "sexes": [row.get(f"speaker_{number}_sex") or "" for number in sources],
        }


def _single_csv(path: Path) -> Path:
    if path.is_file():
        return path
    found = sorted(path.glob("*.csv")) if path.is_dir() else []
    if len(found) != 1:
        what = "no CSV" if not found else f"{len(found)} CSVs ({', '.join(file.name for file in found[:3])})"
        raise UserError(f"{path} holds {what}; the metadata of one split, in one CSV, was expected")
    return found[0]
