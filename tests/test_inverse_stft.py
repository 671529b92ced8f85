"""The inverse STFT is torch's, gradients too, whatever the window, the length and the mode it runs in."""

import pytest
import torch

from asteroid_bsrnn.dsp.inverse_stft import _ENVELOPES, istft

CASES = {
    "hann": (2048, 512, torch.hann_window(2048), False),
    "as long as its hops": (512, 256, torch.hann_window(512), False),
    "hop that divides nothing": (2048, 441, torch.hann_window(2048), False),
    "root of hann": (256, 64, torch.hann_window(256).sqrt(), False),
    "rectangular, normalised": (4096, 1024, torch.ones(4096), True),
    "shorter than the transform": (128, 32, torch.hann_window(96), True),
}


def spectra(n_fft, n_hop, window, normalized, samples=6000):
    torch.manual_seed(0)
    sizes = {"window": window, "win_length": len(window), "normalized": normalized, "return_complex": True}
    return torch.stft(torch.randn(3, samples), n_fft, n_hop, **sizes)


@pytest.mark.parametrize("length", [None, 5000, 6000, 6030])
@pytest.mark.parametrize("name", CASES)
def test_equals_torch_with_gradients(name, length):
    n_fft, n_hop, window, normalized = CASES[name]
    given = spectra(*CASES[name])
    ours, theirs = 1 * given.clone().requires_grad_(), 1 * given.clone().requires_grad_()
    wav = istft(ours, n_fft, n_hop, window, normalized=normalized, length=length)
    expected = torch.istft(theirs, n_fft, n_hop, len(window), window, normalized=normalized, length=length)
    torch.testing.assert_close(wav, expected, rtol=0, atol=1e-6)
    weights = torch.randn_like(wav)
    (gradient,) = torch.autograd.grad((wav * weights).sum(), ours)
    (usual,) = torch.autograd.grad((expected * weights).sum(), theirs)
    torch.testing.assert_close(gradient, usual, rtol=0, atol=1e-6)
    assert gradient.stride() == usual.stride()  # or sums over it run in another order


def test_conjugate_spectra():
    n_fft, n_hop, window, _ = CASES["hann"]
    spec = spectra(*CASES["hann"])
    assert torch.equal(istft(spec.conj(), n_fft, n_hop, window), istft(spec.conj_physical(), n_fft, n_hop, window))


def test_double_precision():
    window = torch.hann_window(512, dtype=torch.float64)
    spec = torch.stft(torch.randn(2, 3000, dtype=torch.float64), 512, 128, window=window, return_complex=True)
    expected = torch.istft(spec, 512, 128, window=window, length=3000)
    torch.testing.assert_close(istft(spec, 512, 128, window, length=3000), expected, rtol=0, atol=1e-12)


def test_training_after_inference_mode():
    """The envelope that inference made serves a backward pass."""
    n_fft, n_hop, window, _ = CASES["hann"]
    window, spec = window.clone(), spectra(*CASES["hann"])
    with torch.inference_mode():
        before = istft(spec, n_fft, n_hop, window)
    leaf = spec.clone().requires_grad_()
    after = istft(leaf, n_fft, n_hop, window)
    after.sum().backward()
    assert torch.equal(before, after) and leaf.grad.isfinite().all()


def test_envelopes_live_as_long_as_their_window():
    window, kept = torch.hann_window(64), len(_ENVELOPES)
    for frames in range(3, 30):
        istft(torch.zeros(1, 33, frames, dtype=torch.complex64), 64, 16, window)
    assert len(_ENVELOPES) == kept + 1 and len(_ENVELOPES[window]) <= 8
    del window
    assert len(_ENVELOPES) == kept
