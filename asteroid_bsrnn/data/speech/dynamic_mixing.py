"""New mixtures in every epoch, from single utterances: speakers and levels are drawn as SpeechBrain's recipes draw them.

Levels are RMS values of the passage that is used (SpeechBrain measures LUFS of LibriSpeech's utterances, and the mean
absolute value of WSJ0's). Off in the published protocol.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np

from ...common.errors import UserError
from ...common.registry import check_known
from .utterances import RATE, look_at, read_passage, resample

LEVELS = ("librispeech", "wsj0")
PEAK = 0.9
_GRID = 400  # Hz: rates that a polyphase filter is short for


class DynamicMixing:
    """Draws a mixture.

    Args:
        utterances: speaker -> list of paths.
        segment: length in seconds; shorter utterances are not used.
        n_src: speakers of a mixture, all different; each is as likely as it has utterances.
        sample_rate: Hz.
        levels: ``"librispeech"``: each uniform in [-33, -25] dB; ``"wsj0"``: the first normal around -27.43 dB
            (deviation 2.57), the others below it by a normal 2.51 (2.66), all within [-45, 0].
        speeds: each utterance is played at one of these, drawn evenly; 1.1 is faster and higher.

    Raises:
        UserError: unknown levels, a speed out of [0.5, 2], or too few speakers with utterances that are long enough.
    """

    def __init__(
        self,
        utterances: Mapping[str, Collection[str]],
        segment: float,
        n_src: int = 2,
        sample_rate: int = 8000,
        levels: str = "librispeech",
        speeds: Sequence[float] = (1.0,),
    ) -> None:
        if not speeds or not all(isinstance(speed, (int, float)) and 0.5 <= speed <= 2 for speed in speeds):
            raise UserError(f"data.speeds is a list of numbers from 0.5 to 2, not {speeds!r}")
        check_known("levels", levels, LEVELS, "of dynamic mixing")
        self.n_src, self.sample_rate, self.levels = n_src, sample_rate, levels
        self.segment_len = int(round(segment * sample_rate))
        self.rates = [round(speed * RATE / _GRID) * _GRID for speed in speeds]
        self.frames = {path: look_at(path) for paths in utterances.values() for path in paths}
        needed = self._needed(max(self.rates))
        long_enough = {
            speaker: [path for path in sorted(paths) if self.frames[path] >= needed]
            for speaker, paths in sorted(utterances.items())
        }
        self.utterances = {speaker: paths for speaker, paths in long_enough.items() if paths}
        self.speakers = list(self.utterances)
        if len(self.speakers) < n_src:
            raise UserError(
                f"dynamic mixing: {len(self.speakers)} speakers have an utterance of {segment:g} s; {n_src} are needed"
            )
        counts = np.array([len(paths) for paths in self.utterances.values()], float)
        self.probabilities = counts / counts.sum()

    def draw(self, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Sources (n_src, time) and mixture (time,), float32, drawn from ``generator`` alone."""
        chosen = generator.choice(len(self.speakers), self.n_src, replace=False, p=self.probabilities)
        wavs = []
        for index, level_db in zip(chosen, self._levels(generator)):
            paths = self.utterances[self.speakers[index]]
            wav = self._passage(paths[generator.integers(len(paths))], generator)
            wavs.append(wav * 10 ** (level_db / 20) / max(np.sqrt(np.mean(wav**2)), 1e-5))
        sources = np.stack(wavs)
        mixture = sources.sum(0)
        gain = PEAK / max(PEAK, np.abs(mixture).max(), np.abs(sources).max())
        return (gain * sources).astype(np.float32), (gain * mixture).astype(np.float32)

    def _needed(self, rate: int) -> int:
        """Samples of 16 kHz that a segment takes when they are played as if they were of ``rate``."""
        return -(-self.segment_len * rate // self.sample_rate)

    def _passage(self, path: str, generator: np.random.Generator) -> np.ndarray:
        rate = self.rates[generator.integers(len(self.rates))] if len(self.rates) > 1 else self.rates[0]
        frames = self._needed(rate)
        start = int(generator.integers(self.frames[path] - frames, endpoint=True))
        return resample(read_passage(path, start, frames), self.sample_rate, rate)[: self.segment_len]

    def _levels(self, generator: np.random.Generator) -> Iterable[float]:
        if self.levels == "librispeech":
            return generator.uniform(-33, -25, self.n_src)
        first = np.clip(generator.normal(-27.43, 2.57), -45, 0)
        return [first, *np.clip(first + generator.normal(-2.51, 2.66, self.n_src - 1), -45, 0)]
