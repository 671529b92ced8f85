"""STFT of the music models: equal to torch.stft, and inverted exactly at every length."""

import pytest
import torch

from asteroid_bsrnn.dsp.stft import STFT


@pytest.mark.parametrize("n_fft, n_hop", [(2048, 512), (4096, 1024), (512, 256), (6, 1)])
def test_equals_torch(n_fft, n_hop):
    wav = torch.randn(2, 3, 5000)
    spec = STFT(n_fft, n_hop)(wav)
    expected = torch.stft(wav.flatten(0, 1), n_fft, n_hop, window=torch.hann_window(n_fft), return_complex=True)
    assert torch.equal(spec.flatten(0, 1), expected)
    assert spec.shape == (2, 3, n_fft // 2 + 1, 1 + 5000 // n_hop)


@pytest.mark.parametrize("length", [1, 2, 511, 512, 1024, 1025, 1026, 3000, 4097])
def test_inverse(length):
    stft, wav = STFT(2048, 512), torch.randn(2, length)
    torch.testing.assert_close(stft.inverse(stft(wav), length), wav, atol=1e-5, rtol=0)


@pytest.mark.parametrize("n_fft, n_hop", [(2047, 512), (2, 1), (2048, 0), (2048, 1025)])
def test_bad_sizes(n_fft, n_hop):
    with pytest.raises(ValueError, match="n_fft|n_hop"):
        STFT(n_fft, n_hop)


def test_shorter_window_and_normalisation_are_torch_s():
    wav, window = torch.randn(2, 700), torch.hann_window(96)
    stft = STFT(128, 32, win_length=96, normalized=True)
    spec = stft(wav)
    torch.testing.assert_close(spec, torch.stft(wav, 128, 32, 96, window, normalized=True, return_complex=True))
    torch.testing.assert_close(stft.inverse(spec, 700), wav, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(stft.half()(wav), spec)
    with pytest.raises(ValueError, match="win_length / 2 = 30"):
        STFT(128, 32, win_length=60)
