"""uSDR and cSDR of one track from blocks, so that memory does not grow with its length."""

import torch

from .energies import check_signals, frame_energies
from .medians import MEDIAN_RULES, frame_median
from .track_sdr import csdr_frames, usdr_from_energies


class TrackScores:
    """Collects the energies of a track block by block; the scores are those of ``usdr`` and ``csdr`` on the whole.

    Args:
        sample_rate (int): samples per second, the length of a cSDR frame.

    Examples
        >>> import torch
        >>> track = TrackScores(sample_rate=10)
        >>> for block in (torch.ones(1, 2, 20), torch.ones(1, 2, 7)):
        ...     track.update(0.9 * block, block)
        >>> track.frames().shape
        torch.Size([1, 2])
    """

    def __init__(self, sample_rate):
        self.sample_rate, self.n_samples, self._parts = sample_rate, 0, []

    def update(self, est_targets, targets):
        """Add the next block; every block but the last holds whole seconds.

        Args:
            est_targets, targets (torch.Tensor): estimates and references, (n_src, channels, time).

        Raises:
            UserError: for wrong or different shapes, NaN or infinite samples.
            ValueError: for a block after a broken second.
        """
        if self.n_samples % self.sample_rate:
            raise ValueError(
                f"only the last block may end within a second, got one more after {self.n_samples} samples"
            )
        check_signals(est_targets, targets, "(n_src, channels, time)")
        self._parts.append([part.cpu() for part in frame_energies(est_targets, targets, self.sample_rate)])
        self.n_samples += targets.shape[-1]

    def _energies(self):
        return [torch.cat(parts, -1) for parts in zip(*self._parts)]

    def usdr(self):
        """uSDR of each source in dB, (n_src,)."""
        signal, error, _ = self._energies()
        return usdr_from_energies(signal.sum(-1), error.sum(-1))

    def frames(self):
        """SDR of each frame in dB, (n_src, n_frames), without the broken second at the end."""
        n_frames = max(self.n_samples // self.sample_rate, 1)
        return csdr_frames(*(part[..., :n_frames] for part in self._energies()))

    def csdr(self):
        """cSDR of each source in dB by every median rule: ``{rule: (n_src,)}``."""
        frames = self.frames()
        return {rule: frame_median(frames, rule) for rule in MEDIAN_RULES}
