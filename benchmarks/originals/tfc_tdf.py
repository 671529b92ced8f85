"""ConvTDFNet, DTTNet and TFC-TDF-UNet v3. B batch, P part, C channel, N frame, F bin."""

import torch
from torch.nn import functional as F

from .layers import plain, spectrum, waveform


def on_grid(net, wav_BCL, estimate):
    """Silence up to the grid of frames, complex numbers as channels, the lowest bins; and back."""
    config, length = net.config, wav_BCL.shape[-1]
    wide_BCL = F.pad(wav_BCL, (0, net.n_hop * (net.frames_for(length) - 1) - length))
    window = torch.hann_window(net.n_fft, device=wav_BCL.device)
    spec_BCFN2 = spectrum(wide_BCL, net.n_fft, net.n_hop, window=window)
    x_BPFN = spec_BCFN2.permute(0, 1, 4, 2, 3).flatten(1, 2)[:, :, : config.dim_f]
    est_BPFN = estimate(net, x_BPFN)
    est_BPFN = torch.cat(
        [est_BPFN, est_BPFN.new_zeros(*est_BPFN.shape[:2], spec_BCFN2.shape[2] - config.dim_f, x_BPFN.shape[3])], 2
    )
    est_BSCFN2 = est_BPFN.unflatten(1, (net.n_src, -1, 2)).permute(0, 1, 2, 4, 5, 3)
    return waveform(est_BSCFN2, net.n_fft, net.n_hop, window=window)[..., :length]


# version 3


def stage_v3(stage, x):
    """Blocks with a shortcut."""
    for block in stage.blocks:
        shortcut = plain(block.shortcut, x)
        x = plain(block.tfc1, x)
        x = x + plain(block.tdf, x)
        x = plain(block.tfc2, x)
        x = x + shortcut
    return x


def estimate_v3(net, mix_BPFN):
    """Bands of the spectrum as channels, U-Net, and back."""
    batch, n_parts, n_bins, n_frames = mix_BPFN.shape
    mix_BPFN = mix_BPFN.reshape(batch, n_parts * net.config.n_subbands, -1, n_frames)
    first = x = plain(net.first_conv, mix_BPFN)
    x, skips = x.transpose(-1, -2), []
    for level in net.encoder_blocks:
        x = stage_v3(level.tfc_tdf, x)
        skips.append(x)
        x = plain(level.downscale.conv, x)
    x = stage_v3(net.bottleneck_block, x)
    for level in net.decoder_blocks:
        x = plain(level.upscale.conv, x)
        x = torch.cat([x, skips.pop()], 1)
        x = stage_v3(level.tfc_tdf, x)
    x = x.transpose(-1, -2) * first
    x = plain(net.final_conv, torch.cat([mix_BPFN, x], 1))
    return x.reshape(batch, -1, n_bins, n_frames)


def tfc_tdf_v3(net, wav_BCL):
    """(batch, channels, time) -> (batch, n_src, channels, time)."""
    return on_grid(net, wav_BCL, estimate_v3)


# ConvTDFNet and DTTNet


def tfc(net, x):
    """Convolutions, each with norm and ReLU."""
    for conv in net.H:
        x = plain(conv, x)
    return x


def block_v2(block, x):
    """ConvTDFNet's."""
    x = tfc(block.tfc, x)
    return x if block.tdf is None else x + plain(block.tdf, x)


def block_res2(block, x):
    """DTTNet's."""
    shortcut = tfc(block.res, x)
    x = tfc(block.tfc1, x)
    x = x if block.tdf is None else x + plain(block.tdf, x)
    return tfc(block.tfc2, x) + shortcut


def unet(net, x_BPFN, block, bottleneck):
    """Levels whose skip connections are factors."""
    x, skips = plain(net.first_conv, x_BPFN).transpose(-1, -2), []
    for level, down in zip(net.encoding_blocks, net.ds):
        x = block(level, x)
        skips.append(x)
        x = plain(down, x)
    x = bottleneck(x)
    for up, level in zip(net.us, net.decoding_blocks):
        x = plain(up, x)
        x = x * skips.pop()
        x = block(level, x)
    return plain(net.final_conv, x.transpose(-1, -2))


def recurrent(net, x_RCT):
    """Norm, LSTM, linear layer, residual."""
    hidden = torch.nn.LSTM.forward(net.rnn, plain(net.groupnorm, x_RCT).transpose(1, 2))[0]
    return x_RCT + plain(net.fc, hidden).transpose(1, 2)


def dual_path(net, x_BCNF):
    """Heads in the batch; over the frames of each bin, then over the bins of each frame."""
    batch, n_chan, n_frames, n_bins = x_BCNF.shape
    x = x_BCNF.reshape(batch * net.n_heads, n_chan // net.n_heads, n_frames, n_bins)
    for over_frames, over_bins in net.bsrnn:
        rows = x.permute(0, 3, 1, 2).contiguous().view(-1, x.shape[1], n_frames)
        x = recurrent(over_frames, rows).view(len(x), n_bins, -1, n_frames).permute(0, 2, 3, 1).contiguous()
        rows = x.permute(0, 2, 1, 3).contiguous().view(-1, x.shape[1], n_bins)
        x = recurrent(over_bins, rows).view(len(x), n_frames, -1, n_bins).permute(0, 2, 1, 3).contiguous()
    return x.reshape(x_BCNF.shape)


def kuielab(net, wav_BCL):
    """(batch, channels, time) -> (batch, 1, channels, time)."""

    def estimate(net, x):
        return unet(net, x, block_v2, lambda y: block_v2(net.bottleneck_block, y))

    return on_grid(net, wav_BCL, estimate)


def dttnet(net, wav_BCL):
    """(batch, channels, time) -> (batch, 1, channels, time)."""

    def estimate(net, x):
        return unet(
            net, x, block_res2, lambda y: dual_path(net.bottleneck_block2, block_res2(net.bottleneck_block1, y))
        )

    return on_grid(net, wav_BCL, estimate)
