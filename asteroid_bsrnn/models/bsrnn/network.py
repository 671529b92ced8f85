"""Band-Split RNN with every variant of the replication paper as an argument."""

from collections.abc import Callable, Hashable
from typing import Any

import torch

from ...dsp.stft import STFT
from ..base import MusicModel, as_batch, as_ranked
from ..layers.channel_groups import in_groups
from .band_sequence import build_block
from .band_split import BandSplit
from .config import BSRNNConfig
from .mask_estimation import MaskEstimation


class BSRNN(MusicModel):
    """Band-Split RNN for music separation.

    Channels are independent (``stereo=None``: any number of channels), exchange information in every block ("tac":
    any number, mono included), or are read together by the band split ("naive": trained for ``in_channels``). A
    naive model takes other counts in groups of ``in_channels`` consecutive channels; the last group is filled by
    repeating its own channels in turn, and the estimates of the copies are averaged. Mono is thus duplicated.

    Args:
        *arguments, **keywords: those of :class:`~asteroid_bsrnn.models.bsrnn.config.BSRNNConfig`.

    Attributes:
        activation_checkpointing: recompute blocks in the backward pass instead of keeping what is inside: all, or a share.

    Raises:
        ValueError: for arguments that contradict each other, with what is allowed.

    References
        [1] Luo and Yu, "Music Source Separation with Band-Split RNN", TASLP 2023.
        [2] Magron, Serizel and Douwes, "The Costs of Reproducibility in Music Separation Research", 2026.
    """

    Config = BSRNNConfig
    stft: STFT
    parts: tuple[Any, ...] = (
        STFT,
        BandSplit,
        build_block,
        MaskEstimation,
    )  # what it is built of, which a relative may exchange

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        config = self.Config(*arguments, **keywords)
        make_stft, make_split, make_block, make_masks = self.parts
        super().__init__(config)
        self.keep_arguments()
        self.widths = config.widths
        self.stft = make_stft(config.n_fft, config.n_hop)
        self.band_split = make_split(self.widths, config.feature_dim, config.mask_channels, config.eps)
        self.blocks = torch.nn.ModuleList(make_block(config, len(self.widths)) for _ in range(config.n_repeats))
        self.masks = make_masks(
            self.widths,
            config.feature_dim,
            config.mask_ratio,
            config.n_masks,
            config.mask_channels,
            config.mask_context,
            config.eps,
        )

    @property
    def channels(self) -> int | None:
        """Channels that are read at once; any number where they are independent."""
        return None if self.stereo is None else self.in_channels

    @property
    def has_residual(self) -> bool:
        """Whether the last source is what the others leave."""
        return self.config.n_masks < self.n_src

    def forward(self, wav: torch.Tensor) -> torch.Tensor:
        """Separate.

        Shape:
            - wav: (batch, channels, time), (batch, time) or (time,), mono where no channel axis is given
            - returns: (batch, n_src, channels, time), (batch, n_src, time) or (n_src, time)
        """
        return self.forward_stft(wav)[0]

    def estimates(self, wav: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Waveforms and masked spectra: what :class:`~asteroid_bsrnn.losses.TimeTFLoss` takes."""
        return self.forward_stft(wav)

    def shared_key(self) -> Hashable:
        """Models of one STFT share it."""
        return "stft", self.n_fft, self.n_hop

    def analyse(self, wav_BCL: torch.Tensor) -> torch.Tensor:
        """(batch, channels, time) -> (batch, channels, n_fft // 2 + 1, frames), complex."""
        return self.stft(wav_BCL)

    def separate_analysed(self, spec_BCFT: torch.Tensor, length: int) -> torch.Tensor:
        """Spectrum of the mixture to waveforms, (batch, n_src, channels, length)."""
        return self.stft.inverse(self.separate_spectrum(spec_BCFT), length)

    def spectral_core(self) -> tuple[STFT, Callable[[torch.Tensor], torch.Tensor]] | None:
        """The STFT, and :meth:`separate_spectrum`."""
        return self.stft, self.separate_spectrum

    def forward_stft(self, wav: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Separate, and give the masked spectra too (as estimated, not analysed again from the waveforms).

        Returns:
            Waveforms as from :meth:`forward`; complex spectra with (bins, frames) in the place of time.
        """
        spec_BSCFT = self.separate_spectrum(self.stft(as_batch(wav)))
        wav_BSCL = self.stft.inverse(spec_BSCFT, wav.shape[-1]).to(wav.dtype)
        return as_ranked(wav, wav_BSCL), as_ranked(wav, spec_BSCFT)

    def separate_spectrum(self, spec_BCFT: torch.Tensor) -> torch.Tensor:
        """Spectrum of the mixture to spectra of the sources.

        Shape:
            - spec_BCFT: (batch, channels, n_fft // 2 + 1, frames), complex
            - returns: (batch, n_src, channels, n_fft // 2 + 1, frames), complex
        """
        n_chan = spec_BCFT.shape[1]
        if self.stereo == "naive":
            size = self.in_channels
            est_BSCFT = in_groups(lambda group_BCFT: self._masked(group_BCFT, size), spec_BCFT, size)
        else:
            est = self._masked(spec_BCFT.flatten(0, 1)[:, None], n_chan)
            est_BSCFT = est.view(-1, n_chan, *est.shape[1:2], *est.shape[3:]).transpose(1, 2)
        if not self.has_residual:
            return est_BSCFT
        rest = spec_BCFT[:, None] - est_BSCFT.sum(1, keepdim=True)
        return torch.cat([est_BSCFT, rest], dim=1)

    def recomputable(self) -> list[torch.nn.Module]:
        """The blocks."""
        return list(self.blocks)

    def _masked(self, spec_BCFT: torch.Tensor, n_chan: int) -> torch.Tensor:
        x_KBTN = self.band_split(spec_BCFT)
        for block in self.blocks:
            x_KBTN = self.run_part(block, x_KBTN, n_chan)
        return self.masks(x_KBTN, spec_BCFT)
