"""How the mixtures of one split come about, whatever the corpus: what files are generated from and what is mixed at load time."""

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
from tqdm import tqdm

from ...common.errors import AudioError, UserError
from .utterances import fitted_len, look_at, resampled_len

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_parallel(
    function: Callable[[Item], Result], items: Sequence[Item], label: str, n_jobs: int | None = None, unit: str = "file"
) -> list[Result]:
    """``[function(item) for item in items]`` in threads with a progress bar; the first error stops the rest."""
    pool = ThreadPoolExecutor(n_jobs or os.cpu_count())
    try:
        results = pool.map(function, items)
        return list(tqdm(results, total=len(items), desc=label, unit=unit, dynamic_ncols=True, disable=None))
    finally:
        pool.shutdown(cancel_futures=True)


class Plan(ABC):
    """The mixtures of one split, before anything is mixed.

    A subclass sets the attributes and defines ``paths(index)``, ``signals(index)``, ``pcm16(wav)`` and ``definition()``.

    Attributes:
        names: of the mixtures, each once; in the order of the metadata.
        split: folder of the split, for example ``"train-100"``.
        streams: folders that are written, the sources ``s1``, ``s2``, ... first.
        mixture_stream: the one of ``streams`` that is separated.
        n_src, sample_rate, mode: sources, Hz, ``"min"`` or ``"max"``.
        infos: what ``get_infos`` of a data set returns.
    """

    names: list[str]
    split: str
    streams: tuple[str, ...]
    mixture_stream: str
    n_src: int
    sample_rate: int
    mode: str
    infos: dict[str, Any]

    @abstractmethod
    def paths(self, index: int) -> list[str]:
        """Files that mixture ``index`` is made of, those of the speakers first."""

    @abstractmethod
    def signals(self, index: int) -> dict[str, np.ndarray]:
        """Folder -> (time,), equally long, for every stream of mixture ``index``."""

    @abstractmethod
    def pcm16(self, wav: np.ndarray) -> np.ndarray:
        """What 16-bit files hold of ``wav``: int16, rounded as the corpus' original script does."""

    @abstractmethod
    def definition(self) -> list[tuple[object, ...]]:
        """Everything in the metadata that decides how the mixtures sound, as printable values."""

    def describe(self, index: int) -> dict[str, list[str]]:
        """Speakers and sexes of a mixture, as far as they are known."""
        return {"speakers": [], "sexes": []}

    def settings(self) -> dict[str, Any]:
        """What generated files depend on; ``metadata`` is a digest of the mixtures' definition."""
        digest = hashlib.sha256(repr(self.definition()).encode()).hexdigest()[:16]
        settings = {"dataset": self.infos["dataset"], "sample_rate": self.sample_rate, "mode": self.mode}
        return {**settings, "n_src": self.n_src, "stream": self.mixture_stream, "metadata": digest}

    def lengths(self, allow_missing: bool = False, n_jobs: int | None = None) -> tuple[list[int], list[str]]:
        """Length of every mixture in samples, from a look at all files that it needs.

        Args:
            allow_missing: whether mixtures may lack files; they then have length 0.
            n_jobs: files at a time.

        Returns:
            The lengths, and a sentence about each file that cannot be used.

        Raises:
            UserError: for a file that cannot be used, unless ``allow_missing``.
        """
        needed = [self.paths(index) for index in range(len(self.names))]
        files = list(dict.fromkeys(path for paths in needed for path in paths))
        found = dict(zip(files, in_parallel(self._frames_or_error, files, f"checking {self.split}", n_jobs)))
        problems = [str(frames) for frames in found.values() if isinstance(frames, AudioError)]
        if problems and not allow_missing:
            more = f" (and {len(problems) - 1} other files)" if len(problems) > 1 else ""
            raise UserError(f"{problems[0]}{more}; --allow_missing true leaves the mixtures out that need them")
        lengths = [self._mixed_len([found[path] for path in paths]) for paths in needed]
        if not any(lengths):
            raise UserError(f"{self.split}: not one mixture has all its files; the first: {problems[0]}")
        return lengths, problems

    def _mixed_len(self, frames: Sequence[int | AudioError]) -> int:
        """Length of a mixture of files; 0 where one cannot be used."""
        known = [count for count in frames if isinstance(count, int)]
        speech = [resampled_len(count, self.sample_rate) for count in known[: self.n_src]]
        return fitted_len(speech, self.mode) if len(known) == len(frames) else 0

    def look_at(self, path: str) -> int:
        """Samples of one of the files at 16 kHz; raises AudioError where it cannot be used."""
        return look_at(path)

    def _frames_or_error(self, path: str) -> int | AudioError:
        try:
            return self.look_at(path)
        except AudioError as error:
            return error


class OnTheFly:
    """A source of mixtures (see :mod:`.speech`) that mixes at load time what a plan says; nothing is stored.

    Args:
        plan: which mixtures.
        quantise: round to 16 bit, which gives the generated files sample by sample.
        allow_missing: leave mixtures out whose files cannot be used (``left_out`` names them).
        limit: the first so many mixtures only.
    """

    def __init__(
        self, plan: Plan, quantise: bool = False, allow_missing: bool = False, limit: int | None = None
    ) -> None:
        plan.names = plan.names[:limit]
        self.plan, self.quantise, self.infos = plan, quantise, plan.infos
        self.sample_rate, self.n_src = plan.sample_rate, plan.n_src
        lengths, self.problems = plan.lengths(allow_missing)
        self.rows = [row for row, length in enumerate(lengths) if length]
        self.left_out = [plan.names[row] for row, length in enumerate(lengths) if not length]
        self.names, self.lengths = [plan.names[row] for row in self.rows], [lengths[row] for row in self.rows]

    def load(self, index: int, start: int, frames: int) -> tuple[np.ndarray, np.ndarray]:
        """Sources (n_src, time) and mixture (time,) of a passage, float32; all of it for ``frames`` -1."""
        signals = self.plan.signals(self.rows[index])
        stop = None if frames < 0 else start + frames
        wanted = [f"s{number + 1}" for number in range(self.n_src)] + [self.plan.mixture_stream]
        wavs = np.stack([signals[stream][start:stop] for stream in wanted])
        wavs = self.plan.pcm16(wavs) / np.float32(32768) if self.quantise else wavs.astype(np.float32)
        return wavs[:-1], wavs[-1]

    def describe(self, index: int) -> dict[str, list[str]]:
        """Speakers and sexes, as far as they are known."""
        return self.plan.describe(self.rows[index])
