"""All scores of one song from blocks, so that memory does not grow with its length."""

from collections.abc import Callable
from typing import Any

import torch

from .energies import FrameEnergies, check_signals
from .metric import of_task
from .track_sdr import csdr_frames, usdr_of


class TrackScores:
    """Gathers a song block by block; the scores are those of the whole.

    Args:
        sample_rate: Hz.

    Examples
        >>> import torch
        >>> track = TrackScores(sample_rate=10)
        >>> for block in (torch.ones(1, 2, 20), torch.ones(1, 2, 7)):
        ...     track.update(0.9 * block, block)
        >>> track.frames().shape
        torch.Size([1, 2])
    """

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate, self.n_samples, self.metrics = sample_rate, 0, of_task("music")
        makers = dict.fromkeys([FrameEnergies, *(metric.collect for metric in self.metrics)])
        self._collected: dict[Callable[[int], Any], Any] = {make: make(sample_rate) for make in makers}
        self.energies: FrameEnergies = self._collected[FrameEnergies]

    def update(self, est_targets: torch.Tensor, targets: torch.Tensor, mixture: torch.Tensor | None = None) -> None:
        """Add the next block; every block but the last holds whole seconds.

        Shape:
            - est_targets, targets: (n_src, channels, time)
            - mixture: (channels, time); metrics that need it are NaN without

        Raises:
            UserError: for wrong or different shapes, NaN or infinite samples.
            ValueError: for a block after a broken second.
        """
        if self.n_samples % self.sample_rate:
            raise ValueError(
                f"only the last block may end within a second, got one more after {self.n_samples} samples"
            )
        check_signals(est_targets, targets, "(n_src, channels, time)")
        for collected in self._collected.values():
            collected.update(est_targets, targets, mixture)
        self.n_samples += targets.shape[-1]

    def scores(self) -> dict[str, torch.Tensor]:
        """Score of each source by metric, (n_src,); ``<name>_<rule>`` where a median rule decides."""
        found = {}
        for metric in self.metrics:
            score = metric.per_track(self._collected[metric.collect])
            found.update({f"{metric.name}_{rule}": value for rule, value in score.items()}
                         if isinstance(score, dict) else {metric.name: score})  # fmt: skip
        return found

    def frames(self) -> torch.Tensor:
        """SDR of each frame in dB, (n_src, n_frames), without the broken second at the end: what museval records."""
        return csdr_frames(*self.energies.whole_seconds())

    def closeness_db(self) -> torch.Tensor:
        """SDR over the whole song, (n_src,): how near an estimate is to being the reference itself."""
        return usdr_of(self.energies)
