"""Band-Split RNN with every variant of the replication paper as an argument."""
import torch
from torch.utils.checkpoint import checkpoint

from ..dsp.stft import STFT
from ..masknn.band_sequence import build_block
from ..masknn.band_split import BandSplit
from ..masknn.bands import band_widths, choose_scheme
from ..masknn.mask_estimation import MaskEstimation
from .base import SeparationModel
from .bsrnn_arguments import check_arguments, layer_name, plain, source_names


class BSRNN(SeparationModel):
    """Band-Split RNN for music separation.

    Channels are independent (``stereo=None``: any number of channels), exchange information in every block ("tac":
    any number, mono included), or are read together by the band split ("naive": trained for ``in_channels``). A
    naive model takes other counts in groups of ``in_channels`` consecutive channels; the last group is filled by
    repeating its own channels in turn, and the estimates of the copies are averaged. Mono is thus duplicated.

    Args:
        sources (sequence of str): names of what is separated; several share everything but the mask estimation.
        bands (None, str or list): band scheme: None is the single source's own (joint for several sources or an
            unknown one), a name of :data:`~asteroid_bsrnn.masknn.bands.SCHEMES`, or a list of (count, Hz).
        sample_rate (int): in Hz.
        in_channels (int): channels that a naive stereo model reads together.
        n_fft (int): STFT window in samples.
        n_hop (int): STFT hop in samples.
        feature_dim (int): N, features per band.
        n_repeats (int): R, blocks of time net and band net.
        hid_ratio (int): hidden features of a recurrent layer per direction, as a multiple of its input.
        time_layer, band_layer (str or None): "lstm", "gru", "conv", "dilated" (BSCNN) or "none" (also None).
        bidirectional (bool): whether recurrent layers run both ways (conv layers have half the width otherwise).
        mask_ratio (int): hidden features of the mask estimation as a multiple of N.
        mask_context (int): box sum over this many neighbouring bins on both sides of each estimate.
        residual_source (bool): the last source is the mixture less the others (ignored for a single one).
        n_heads (int): parallel heads that share the weights of the nets.
        n_attn_heads (int): attention heads; 0 is no attention.
        attn_dim (int): features per band of queries and keys.
        stereo (None or str): "naive" or "tac".
        tac_ratio (int): hidden features of TAC as a multiple of N.
        tac_act (str): "tanh" or "prelu".
        group_num (int or None): groups of the nets' norms; None is one per 16 features.
        n_dilated, dilated_kernel, dilated_ratio (int or pair of int): dilated layers, taps and hidden channels (as a
            multiple of the features) of "dilated" nets; a pair is (time net, band net).
        eps (float): added to the variance in norms, except those of the attention (always 1e-7, as in the reference).

    Attributes:
        activation_checkpointing (bool): recompute each block in the backward pass instead of keeping what is inside.

    Raises:
        ValueError: for arguments that contradict each other, with what is allowed.

    References
        [1] Luo and Yu, "Music Source Separation with Band-Split RNN", TASLP 2023.
        [2] Magron, Serizel and Douwes, "The Costs of Reproducibility in Music Separation Research", 2026.
    """

    def __init__(
        self,
        sources=("vocals",),
        bands=None,
        sample_rate=44100,
        in_channels=2,
        n_fft=2048,
        n_hop=512,
        feature_dim=64,
        n_repeats=8,
        hid_ratio=2,
        time_layer="lstm",
        band_layer="lstm",
        bidirectional=True,
        mask_ratio=4,
        mask_context=0,
        residual_source=False,
        n_heads=1,
        n_attn_heads=0,
        attn_dim=16,
        stereo=None,
        tac_ratio=3,
        tac_act="prelu",
        group_num=1,
        n_dilated=3,
        dilated_kernel=3,
        dilated_ratio=1,
        eps=1e-7,
    ):
        super().__init__(sample_rate, in_channels)
        self.sources = source_names(sources)
        self.bands, self.n_fft, self.n_hop = plain(bands), n_fft, n_hop
        self.feature_dim, self.n_repeats, self.hid_ratio = feature_dim, n_repeats, hid_ratio
        self.time_layer, self.band_layer = layer_name(time_layer), layer_name(band_layer)
        self.bidirectional, self.residual_source = bidirectional, residual_source
        self.mask_ratio, self.mask_context = mask_ratio, mask_context
        self.n_heads, self.n_attn_heads, self.attn_dim = n_heads, n_attn_heads, attn_dim
        self.stereo, self.tac_ratio, self.tac_act = stereo, tac_ratio, tac_act
        self.group_num, self.eps = group_num, eps
        self.n_dilated, self.dilated_kernel = plain(n_dilated), plain(dilated_kernel)
        self.dilated_ratio = plain(dilated_ratio)
        check_arguments(self)
        self.activation_checkpointing = False

        self.widths = band_widths(choose_scheme(self.sources, self.bands), n_fft, sample_rate)
        n_chan = in_channels if stereo == "naive" else 1
        self.stft = STFT(n_fft, n_hop)
        self.band_split = BandSplit(self.widths, feature_dim, n_chan, eps)
        self.blocks = torch.nn.ModuleList(build_block(self, len(self.widths)) for _ in range(n_repeats))
        n_masks = self.n_src - self.has_residual
        self.masks = MaskEstimation(self.widths, feature_dim, mask_ratio, n_masks, n_chan, mask_context, eps)

    @property
    def n_src(self):
        """Number of sources."""
        return len(self.sources)

    @property
    def has_residual(self):
        """Whether the last source is what the others leave."""
        return self.residual_source and self.n_src > 1

    def forward(self, wav):
        """Separate.

        Shape:
            - wav: (batch, channels, time), (batch, time) or (time,), mono where no channel axis is given
            - returns: (batch, n_src, channels, time), (batch, n_src, time) or (n_src, time)
        """
        return self.forward_stft(wav)[0]

    def forward_stft(self, wav):
        """Separate, and give the masked spectra too (as estimated, not analysed again from the waveforms).

        Returns:
            tuple: waveforms as from :meth:`forward`; complex spectra with (bins, frames) in the place of time.
        """
        wav_BCL = as_batch(wav)
        spec_BSCFT = self.separate_spectrum(self.stft(wav_BCL))
        wav_BSCL = self.stft.inverse(spec_BSCFT, wav.shape[-1]).to(wav.dtype)
        if wav.ndim == 3:
            return wav_BSCL, spec_BSCFT
        wav_BSL, spec_BSFT = wav_BSCL[:, :, 0], spec_BSCFT[:, :, 0]
        return (wav_BSL, spec_BSFT) if wav.ndim == 2 else (wav_BSL[0], spec_BSFT[0])

    def separate_spectrum(self, spec_BCFT):
        """Spectrum of the mixture to spectra of the sources.

        Shape:
            - spec_BCFT: (batch, channels, n_fft // 2 + 1, frames), complex
            - returns: (batch, n_src, channels, n_fft // 2 + 1, frames), complex
        """
        n_chan = spec_BCFT.shape[1]
        if self.stereo == "naive":
            est_BSCFT = self._in_channel_groups(spec_BCFT)
        else:
            est = self._masked(spec_BCFT.flatten(0, 1)[:, None], n_chan)
            est_BSCFT = est.view(-1, n_chan, *est.shape[1:2], *est.shape[3:]).transpose(1, 2)
        if not self.has_residual:
            return est_BSCFT
        rest = spec_BCFT[:, None] - est_BSCFT.sum(1, keepdim=True)
        return torch.cat([est_BSCFT, rest], dim=1)

    def _masked(self, spec_BCFT, n_chan):
        x_KBTN = self.band_split(spec_BCFT)
        for block in self.blocks:
            if self.activation_checkpointing and torch.is_grad_enabled():
                x_KBTN = checkpoint(block, x_KBTN, n_chan, use_reentrant=False)
            else:
                x_KBTN = block(x_KBTN, n_chan)
        return self.masks(x_KBTN, spec_BCFT)

    def _in_channel_groups(self, spec_BCFT):
        """Naive stereo for any number of channels; see the class."""
        n_chan, size = spec_BCFT.shape[1], self.in_channels
        if n_chan == size:
            return self._masked(spec_BCFT, n_chan)
        parts = []
        for group in spec_BCFT.split(size, dim=1):
            index = torch.arange(size) % group.shape[1]
            est_BSCFT = self._masked(group[:, index], size)
            parts += [est_BSCFT[:, :, index == chan].mean(2, keepdim=True) for chan in range(group.shape[1])]
        return torch.cat(parts, dim=2)


def as_batch(wav):
    """Waveforms as (batch, channels, time).

    Raises:
        ValueError: for an empty tensor, one that is not real floating point or has more than three axes.
    """
    if not torch.is_floating_point(wav):
        raise ValueError(f"the waveform must be floating point, got {wav.dtype}")
    if not 1 <= wav.ndim <= 3:
        raise ValueError(f"the waveform must be (time,), (batch, time) or (batch, channels, time), got {tuple(wav.shape)}")
    if 0 in wav.shape:
        raise ValueError(f"the waveform is empty: its shape is {tuple(wav.shape)}")
    return wav if wav.ndim == 3 else wav.reshape(-1, 1, wav.shape[-1])
