"""New mixtures in every epoch, from single utterances: speakers and levels are drawn as SpeechBrain's recipes draw them.

Levels are RMS values of the passage that is used (SpeechBrain measures LUFS of LibriSpeech's utterances, and the mean
absolute value of WSJ0's). Off in the published protocol.
"""
import numpy as np

from ...common.errors import UserError
from .utterances import look_at, read_utterance, resample, resampled_len

LEVELS = ("librispeech", "wsj0")
PEAK = 0.9


class DynamicMixing:
    """Draws a mixture.

    Args:
        utterances (dict): speaker -> list of paths.
        segment (float): length in seconds; shorter utterances are not used.
        n_src (int): speakers of a mixture, all different; each is as likely as it has utterances.
        sample_rate (int): Hz.
        levels (str): ``"librispeech"``: each uniform in [-33, -25] dB; ``"wsj0"``: the first normal around -27.43 dB
            (deviation 2.57), the others below it by a normal 2.51 (2.66), all within [-45, 0].

    Raises:
        UserError: unknown levels, or too few speakers with utterances that are long enough.
    """

    def __init__(self, utterances, segment, n_src=2, sample_rate=8000, levels="librispeech"):
        if levels not in LEVELS:
            raise UserError(f"unknown levels {levels!r} of dynamic mixing; known are {', '.join(LEVELS)}")
        self.n_src, self.sample_rate, self.levels = n_src, sample_rate, levels
        self.segment_len = int(round(segment * sample_rate))
        long_enough = {
            speaker: [path for path in sorted(paths) if resampled_len(look_at(path), sample_rate) >= self.segment_len]
            for speaker, paths in sorted(utterances.items())
        }
        self.utterances = {speaker: paths for speaker, paths in long_enough.items() if paths}
        self.speakers = list(self.utterances)
        if len(self.speakers) < n_src:
            raise UserError(f"dynamic mixing: {len(self.speakers)} speakers have an utterance of {segment:g} s; {n_src} are needed")
        counts = np.array([len(paths) for paths in self.utterances.values()], float)
        self.probabilities = counts / counts.sum()

    def draw(self, generator):
        """Sources (n_src, time) and mixture (time,), float32, drawn from ``generator`` alone."""
        chosen = generator.choice(len(self.speakers), self.n_src, replace=False, p=self.probabilities)
        sources = []
        for index, level_db in zip(chosen, self._levels(generator)):
            paths = self.utterances[self.speakers[index]]
            wav = resample(read_utterance(paths[generator.integers(len(paths))]), self.sample_rate)
            start = generator.integers(len(wav) - self.segment_len, endpoint=True)
            wav = wav[start : start + self.segment_len]
            sources.append(wav * 10 ** (level_db / 20) / max(np.sqrt(np.mean(wav**2)), 1e-5))
        sources = np.stack(sources)
        mixture = sources.sum(0)
        gain = PEAK / max(PEAK, np.abs(mixture).max(), np.abs(sources).max())
        return (gain * sources).astype(np.float32), (gain * mixture).astype(np.float32)

    def _levels(self, generator):
        if self.levels == "librispeech":
            return generator.uniform(-33, -25, self.n_src)
        first = np.clip(generator.normal(-27.43, 2.57), -45, 0)
        return [first, *np.clip(first + generator.normal(-2.51, 2.66, self.n_src - 1), -45, 0)]
