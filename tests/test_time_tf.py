"""The loss: its terms are the means that the published code takes, each alone and together."""

import pytest
import torch

from asteroid_bsrnn import losses
from asteroid_bsrnn.losses.time_tf import TimeTFLoss

SHAPE = (2, 1, 2, 4000)  # batch, n_src, channels, time


@pytest.fixture
def pair():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(SHAPE, generator=generator), torch.randn(SHAPE, generator=generator)


def reference_stft(wav, n_fft=256, n_hop=64):
    flat = wav.reshape(-1, wav.shape[-1])
    window = torch.hann_window(n_fft)
    return torch.stft(flat, n_fft, n_hop, window=window, center=True, pad_mode="reflect", return_complex=True)


def test_terms_are_means(pair):
    estimate, target = pair
    difference = reference_stft(estimate) - reference_stft(target)
    time, real, imag = (estimate - target).abs().mean(), difference.real.abs().mean(), difference.imag.abs().mean()

    def loss(domain, norm="l1"):
        return TimeTFLoss(domain, norm, n_fft=256, n_hop=64)(estimate, target)

    assert torch.allclose(loss("t"), time)
    assert torch.allclose(loss("tf"), real + imag)
    assert torch.allclose(loss("t+tf"), time + real + imag)
    squares = (estimate - target).square().mean() + difference.real.square().mean() + difference.imag.square().mean()
    assert torch.allclose(loss("t+tf", "mse"), squares)


def test_spectra_of_the_network_are_used_as_they_are(pair):
    estimate, target = pair
    loss = TimeTFLoss("tf", n_fft=256, n_hop=64)
    spectra = loss.stft(target)
    assert spectra.shape == (2, 1, 2, 129, 63)
    assert loss((estimate, spectra), target) == 0  # the waveforms are wrong, the spectra right
    assert torch.allclose(loss((estimate, spectra + (1 + 2j)), target), torch.tensor(3.0), atol=1e-5)
    whole = TimeTFLoss("t+tf", n_fft=256, n_hop=64)
    assert torch.allclose(whole((estimate, spectra), target), (estimate - target).abs().mean())


def test_spectral_terms_dominate_for_white_noise_as_published():
    generator = torch.Generator().manual_seed(1)
    noise, silence = torch.randn((1, 1, 2, 132300), generator=generator), torch.zeros(1, 1, 2, 132300)
    ratio = TimeTFLoss("tf")(noise, silence) / TimeTFLoss("t")(noise, silence)
    assert 38 < ratio < 40


def test_takes_the_stft_of_the_model(pair):
    class Model:
        n_fft, n_hop = 512, 128

    assert (TimeTFLoss().match_stft(Model()).n_fft, TimeTFLoss().match_stft(Model()).n_hop) == (512, 128)
    assert TimeTFLoss(n_fft=256).match_stft(Model()).n_fft == 256
    with pytest.raises(ValueError, match="n_fft and n_hop of the model"):
        TimeTFLoss(n_fft=256, n_hop=64)((pair[0], TimeTFLoss(n_fft=512, n_hop=128).stft(pair[0])), pair[1])


def test_zero_for_equal_and_gradient_for_both_parts(pair):
    loss = TimeTFLoss(n_fft=256, n_hop=64)
    assert loss(pair[1], pair[1]) == 0
    waveforms, spectra = pair[0].requires_grad_(), loss.stft(pair[0]).detach().requires_grad_()
    loss((waveforms, spectra), pair[1]).backward()
    assert waveforms.grad.abs().min() > 0 and spectra.grad.abs().min() > 0


@pytest.mark.parametrize("length", [1, 5, 128, 129, 1000])
def test_any_length(length):
    wav = torch.ones(1, 1, 2, length)
    assert torch.isfinite(TimeTFLoss(n_fft=256, n_hop=64)(wav, 0 * wav))


def test_found_by_name_and_wrong_names_are_refused(pair):
    assert losses.get("TimeTFLoss") is TimeTFLoss
    with pytest.raises(ValueError, match="unknown loss domain 'f': .*known are t, tf"):
        TimeTFLoss("f")
    with pytest.raises(ValueError, match="unknown loss norm 'l2'"):
        TimeTFLoss(norm="l2")
    with pytest.raises(ValueError, match="differ in shape"):
        TimeTFLoss()(pair[0][:1], pair[1])
