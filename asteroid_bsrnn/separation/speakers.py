"""Who is who from segment to segment: by what both hold on their overlap, and by how each speaker has sounded so far.

The overlap says nothing in a pause. A memory of voices does: for every output, mean and variance of features that no gain
changes (cepstra of mel bands, pitch), over the frames in which it is heard and louder than the others.

Legend: S source, C channel, T time, F frame, K feature.
"""

import numpy as np
import torch
from scipy.fft import dct
from scipy.optimize import linear_sum_assignment

_FRAME, _HOP = 0.064, 0.032  # s
_BANDS, _LOWEST, _CEPSTRA = 24, 80.0, 12  # mel bands from here (Hz) to half the rate; coefficients without the level
_PITCH, _VOICED = (70.0, 350.0), 0.5  # Hz; least normalised autocorrelation
_HEARD, _LOUDER = 1e-3, 2.0  # power relative to the loudest frame so far, and to every other output
_ALIKE = 8  # neighbouring frames that say the same
_DRIFT = 0.15  # of a voice from one passage to another, in deviations of its frames
_CERTAIN = 100.0  # what a correlation of 1 on the overlap weighs, in units of the distance of two voices
_RIDGE = 1e-4  # of a source's energy
_AUDIBLE = 0.05  # mean power of an overlap, relative to a speaker's, from which its correlation counts in full


class SpeakerMemory:
    """How the speaker of each output has sounded so far.

    Args:
        sample_rate: Hz.
    """

    def __init__(self, sample_rate: float) -> None:
        self.sample_rate, self.loudest = sample_rate, 0.0
        self.frame_len, self.hop = round(_FRAME * sample_rate), round(_HOP * sample_rate)
        self.mel = _mel_bands(sample_rate, self.frame_len)
        self.voices: list[Voice] | None = None

    def order(self, estimate: torch.Tensor, known: torch.Tensor) -> list[int]:
        """Which output of a new segment continues which speaker; remembers how they sound in it.

        Args:
            estimate: the segment.
            known: what is known of its beginning already, possibly nothing.

        Shape:
            - estimate: (n_src, channels, time)
            - known: (n_src, channels, overlap)

        Returns:
            list of int: indices into ``estimate``, one per speaker.
        """
        heard, overlap = self._voices(estimate), known.shape[-1]
        if self.voices is None:
            self.voices = heard
            return list(range(len(heard)))
        similarity = -np.array([[old.distance(new) for new in heard] for old in self.voices])
        if overlap:
            weight = min(1.0, float(known.double().square().mean()) / (_AUDIBLE * max(self._power(), 1e-20)))
            similarity += weight * _CERTAIN * correlations(estimate[..., :overlap], known)
        order = linear_sum_assignment(similarity, maximize=True)[1].tolist()
        self.voices = [old.joined(heard[index]) for old, index in zip(self.voices, order)]
        return order

    def _power(self) -> float:
        """Mean power of the frames in which somebody is heard."""
        voices = self.voices or []
        return sum(voice.energy for voice in voices) / max(1, sum(voice.count for voice in voices))

    def _voices(self, estimate: torch.Tensor) -> list["Voice"]:
        wav_ST = estimate.double().mean(1).cpu().numpy()
        if wav_ST.shape[-1] < self.frame_len:
            return [Voice.silent() for _ in wav_ST]
        frames_SFT = np.lib.stride_tricks.sliding_window_view(wav_ST, self.frame_len, axis=-1)[:, :: self.hop]
        power_SF = np.square(frames_SFT).mean(-1)
        self.loudest = max(self.loudest, float(power_SF.max()))
        found = []
        for index, (frames_FT, power_F) in enumerate(zip(frames_SFT, power_SF)):
            others_F = np.delete(power_SF, index, axis=0).max(0, initial=0.0)
            alone = (power_F > _HEARD * self.loudest) & (power_F > _LOUDER * others_F)
            found.append(Voice.of(self._features(frames_FT[alone]), power_F[alone].sum()))
        return found

    def _features(self, frames_FT: np.ndarray) -> np.ndarray:
        """(F, K): cepstra, and the logarithm of the pitch, NaN where there is none."""
        spectra = np.abs(np.fft.rfft(frames_FT * np.hanning(self.frame_len), 2 * self.frame_len)) ** 2
        bands = np.log(spectra[:, ::2] @ self.mel + 1e-12)
        cepstra = dct(bands, norm="ortho", axis=-1)[:, 1 : 1 + _CEPSTRA]
        lags = np.fft.irfft(spectra)[:, : self.frame_len]
        low, high = (int(self.sample_rate / pitch) for pitch in reversed(_PITCH))
        best = lags[:, low : high + 1].argmax(1) + low if len(lags) else np.zeros(0, int)
        voiced = lags[np.arange(len(best)), best] > _VOICED * lags[:, 0]
        pitch = np.where(voiced, np.log(self.sample_rate / np.maximum(best, 1)), np.nan)
        return np.concatenate([cepstra, pitch[:, None]], axis=1)


class Voice:
    """Sums over frames of the features of one voice.

    Args:
        count_K, sum_K, squares_K: number, sum and sum of squares of the frames that have each feature.
        energy: sum of the frames' mean powers.
        count: number of frames.
    """

    def __init__(
        self, count_K: np.ndarray, sum_K: np.ndarray, squares_K: np.ndarray, energy: float, count: int
    ) -> None:
        self.count_K, self.sum_K, self.squares_K, self.energy, self.count = count_K, sum_K, squares_K, energy, count

    @classmethod
    def silent(cls) -> "Voice":
        """Nothing heard."""
        nothing = np.zeros(_CEPSTRA + 1)
        return cls(nothing, nothing, nothing, 0.0, 0)

    @classmethod
    def of(cls, features_FK: np.ndarray, energy: float) -> "Voice":
        """The voice of some frames."""
        there = np.isfinite(features_FK)
        values = np.where(there, features_FK, 0.0)
        return cls(there.sum(0), values.sum(0), np.square(values).sum(0), float(energy), len(features_FK))

    def joined(self, other: "Voice") -> "Voice":
        """Both together."""
        return Voice(self.count_K + other.count_K, self.sum_K + other.sum_K, self.squares_K + other.squares_K,
                     self.energy + other.energy, self.count + other.count)  # fmt: skip

    def distance(self, other: "Voice") -> float:
        """Squared differences of the means in units of their uncertainty; 0 where one was not heard.

        The uncertainty is that of means over frames of which only every so many is new, and of a voice that drifts.
        """
        both = (self.count_K >= _ALIKE) & (other.count_K >= _ALIKE)
        if not both.any():
            return 0.0
        n, m = self.count_K[both], other.count_K[both]
        mean = self.sum_K[both] / n
        variance = np.maximum(self.squares_K[both] / n - mean**2, 1e-6)
        difference = mean - other.sum_K[both] / m
        return float(np.sum(difference**2 / (variance * (_ALIKE / n + _ALIKE / m + _DRIFT**2))))


def correlations(estimate: torch.Tensor, reference: torch.Tensor) -> np.ndarray:
    """Correlation of every reference (rows) with every estimate (columns); zero where either is silent.

    Shape:
        (n_src, ...) and (n_src, ...) -> (n_src, n_src)
    """
    estimate, reference = (wav.flatten(1).double() for wav in (estimate, reference))
    norms = reference.norm(dim=1)[:, None] * estimate.norm(dim=1)[None]
    return ((reference @ estimate.T) / norms.clamp(min=1e-12)).cpu().numpy()


def best_order(estimate: torch.Tensor, reference: torch.Tensor) -> list[int]:
    """The permutation of ``estimate`` that correlates best with ``reference``; the given order where both are silent.

    Args:
        estimate, reference (Tensor): (n_src, ...) each.

    Returns:
        list of int: indices into ``estimate``, one per source of ``reference``.
    """
    return linear_sum_assignment(correlations(estimate, reference), maximize=True)[1].tolist()


def explain(wav: torch.Tensor, estimate: torch.Tensor) -> torch.Tensor:
    """Put sources without order or level into the order of the first channel, scaled to explain the mixture.

    Scale-invariant training leaves level and sign of each output open. The gains are those of least squares for
    ``wav = sum(gain * estimate)`` per item and channel, with a little regularisation for outputs that are alike.

    Shape:
        (batch, channels, time), (batch, n_src, channels, time) -> (batch, n_src, channels, time)
    """
    first = estimate[:, :, 0]
    orders = [[best_order(e[:, chan], f) for chan in range(e.shape[1])] for e, f in zip(estimate, first)]
    order = torch.tensor(orders).transpose(1, 2)[..., None].expand_as(estimate).to(estimate.device)
    sources = estimate.gather(1, order).transpose(1, 2).double()  # (batch, channels, n_src, time)
    sources = sources / sources.norm(dim=-1, keepdim=True).clamp(min=1e-12)
    ridge = _RIDGE * torch.eye(sources.shape[2], dtype=sources.dtype, device=sources.device)
    gains = torch.linalg.solve(sources @ sources.transpose(-1, -2) + ridge, sources @ wav.double()[..., None])
    return (gains * sources).transpose(1, 2).to(wav)


def _mel_bands(sample_rate: float, frame_len: int) -> np.ndarray:
    """Triangles of equal width in mel, (bins, bands)."""
    hertz = np.fft.rfftfreq(frame_len, 1 / sample_rate)
    edges = 700 * np.expm1(np.linspace(np.log1p(_LOWEST / 700), np.log1p(sample_rate / 2 / 700), _BANDS + 2))
    rise = (hertz[:, None] - edges[None, :-2]) / np.diff(edges)[:-1]
    fall = (edges[None, 2:] - hertz[:, None]) / np.diff(edges)[1:]
    return np.maximum(0, np.minimum(rise, fall))
