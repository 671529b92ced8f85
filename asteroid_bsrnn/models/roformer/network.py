"""Band-Split RoPE Transformer and its mel-band sister: complex masks from attention over time and over bands.

Axes: B batch, S sources, C channels, F bins, T frames, K bands, D features, W values of all bands, L samples.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from ...dsp.stft import STFT
from ..base import MusicModel
from .config import BSRoFormerConfig, MelBandRoFormerConfig
from .transformer import RMSNorm, phases
from .trunk import BandSplit, Block, MaskEstimator


class RoFormer(MusicModel):
    """What both networks do; they differ in bands and norms.

    Args:
        config: with ``bins``, those of each band.
        block_norm: whether each transformer ends with a norm.
        band_norm: whether the mask estimation begins with a norm for each band.

    Attributes:
        activation_checkpointing: recompute blocks in the backward pass instead of keeping what is inside: all, or a share.
    """

    level_equivariant = True

    def __init__(self, config: Any, block_norm: bool, band_norm: bool) -> None:
        super().__init__(config)
        self.segment = round(config.segment * config.sample_rate)
        self.multiple = config.n_hop  # what lies beyond the last whole one is heard by one frame less
        sizes = [2 * config.in_channels * len(bins) for bins in config.bins]
        masks = (sizes, config.feature_dim, config.mask_ratio, config.mask_depth, band_norm)
        self.stft = STFT(config.n_fft, config.n_hop, config.win_length, config.normalized)
        self.band_split = BandSplit(sizes, config.feature_dim)
        self.layers = torch.nn.ModuleList(Block(config, block_norm) for _ in range(config.n_repeats))
        self.mask_estimators = torch.nn.ModuleList(MaskEstimator(*masks) for _ in self.sources)

    def separate(self, wav_BCL: torch.Tensor) -> torch.Tensor:
        est_BSCFT = self.separate_spectrum(self.stft(wav_BCL))
        return self.stft.inverse(est_BSCFT, wav_BCL.shape[-1]).to(wav_BCL.dtype)

    def separate_spectrum(self, spec_BCFT: torch.Tensor) -> torch.Tensor:
        """Spectrum of the mixture to spectra of the sources.

        Shape:
            (batch, channels, bins, frames), complex -> (batch, n_src, channels, bins, frames), complex
        """
        est_BSCFT = spec_BCFT.unsqueeze(1) * self.masks(spec_BCFT)
        if self.config.zero_dc:
            est_BSCFT[..., 0, :] = 0
        return est_BSCFT

    def spectral_core(self) -> tuple[STFT, Callable[[torch.Tensor], torch.Tensor]]:
        """The STFT, and :meth:`separate_spectrum`."""
        return self.stft, self.separate_spectrum

    def recomputable(self) -> list[nn.Module]:
        """The blocks."""
        return list(self.layers)

    def masks(self, spec_BCFT: torch.Tensor) -> torch.Tensor:
        """Complex masks.

        Shape:
            (batch, channels, bins, frames), complex -> (batch, n_src, channels, bins, frames), complex
        """
        x_BTFC2 = torch.view_as_real(spec_BCFT).permute(0, 3, 2, 1, 4)
        x_BTW = self.to_bands(x_BTFC2).flatten(2).to(next(self.band_split.parameters()).dtype)
        x_BTKD = self.features(self.band_split(x_BTW))
        masks_BSTW = torch.stack([estimator(x_BTKD) for estimator in self.mask_estimators], dim=1)
        masks_BSTFC2 = self.from_bands(masks_BSTW.to(x_BTFC2.dtype).unflatten(-1, (-1, spec_BCFT.shape[1], 2)))
        return torch.view_as_complex(masks_BSTFC2.contiguous()).permute(0, 1, 4, 3, 2)

    def features(self, x_BTKD: torch.Tensor) -> torch.Tensor:
        """The blocks."""
        _, n_frames, n_bands, _ = x_BTKD.shape
        turns = [phases(count, self.config.dim_head, x_BTKD) for count in (n_frames, n_bands)]
        earlier = torch.zeros_like(x_BTKD) if self.config.skip else None
        for block in self.layers:
            if earlier is not None:
                x_BTKD = x_BTKD + earlier
            x_BTKD = self.run_part(block, x_BTKD, *turns)
            if earlier is not None:
                earlier = earlier + x_BTKD
        return x_BTKD

    def to_bands(self, x_BTFC2: torch.Tensor) -> torch.Tensor:
        """The bins of all bands, one band after the other."""
        return x_BTFC2

    def from_bands(self, masks_BSTFC2: torch.Tensor) -> torch.Tensor:
        """Masks of bins from those of :meth:`to_bands`."""
        return masks_BSTFC2


class BSRoFormer(RoFormer):
    """Band-Split RoPE Transformer [1]: transformers over time and over bands, a complex mask for each bin.

    The defaults are the published network of one source: 72,159,756 parameters, 6 blocks (9 and 12 are published too).
    The public weights have gates, a head size of 64, one shared norm and ``zero_dc``. Channels are read together; other
    counts than ``in_channels`` go in groups, mono twice.

    Args:
        **arguments: fields of :class:`~.config.BSRoFormerConfig`.

    Raises:
        ValueError: for arguments out of range.

    References
        [1] W.-T. Lu, J.-C. Wang, Q. Kong and Y.-N. Hung, "Music Source Separation with Band-Split RoPE Transformer",
        ICASSP 2024.
    """

    Config = BSRoFormerConfig

    def __init__(self, *values: Any, **arguments: Any) -> None:
        config = BSRoFormerConfig(*values, **arguments)
        super().__init__(config, block_norm=False, band_norm=config.final_norm == "per_band")
        self.final_norm = RMSNorm(config.feature_dim) if config.final_norm == "shared" else None

    def features(self, x_BTKD: torch.Tensor) -> torch.Tensor:
        x_BTKD = super().features(x_BTKD)
        return x_BTKD if self.final_norm is None else self.final_norm(x_BTKD)


class MelBandRoFormer(RoFormer):
    """Mel-Band RoFormer [1]: as :class:`BSRoFormer`, with overlapping bands that are equally wide in mel.

    A bin's mask is the mean of what its bands say. Every transformer ends with a norm. The defaults are the published
    network of one source: 84,156,612 parameters.

    Args:
        **arguments: fields of :class:`~.config.MelBandRoFormerConfig`.

    Raises:
        ValueError: for arguments out of range, or bands that leave a bin out or are empty.

    References
        [1] J.-C. Wang, W.-T. Lu and M. Won, "Mel-Band RoFormer for Music Source Separation", arXiv 2310.01809.
    """

    Config = MelBandRoFormerConfig

    def __init__(self, *values: Any, **arguments: Any) -> None:
        config = MelBandRoFormerConfig(*values, **arguments)
        super().__init__(config, block_norm=True, band_norm=False)
        bins = np.concatenate(config.bins)
        self.register_buffer("bins", torch.tensor(bins), persistent=False)
        self.register_buffer("n_heard", torch.tensor(np.bincount(bins), dtype=torch.float32), persistent=False)

    def to_bands(self, x_BTFC2: torch.Tensor) -> torch.Tensor:
        return x_BTFC2[:, :, self.bins]

    def from_bands(self, masks_BSTFC2: torch.Tensor) -> torch.Tensor:
        shape = (*masks_BSTFC2.shape[:3], len(self.n_heard), *masks_BSTFC2.shape[4:])
        total = masks_BSTFC2.new_zeros(shape).index_add(3, self.bins, masks_BSTFC2)
        return total / self.n_heard.to(total.dtype)[:, None, None]
