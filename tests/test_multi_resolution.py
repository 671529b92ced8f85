"""Losses of the music systems: complex spectra at several resolutions, and squared errors without the worst ones."""

import pytest
import torch

from asteroid_bsrnn import losses
from asteroid_bsrnn.losses import MultiResolutionSTFTLoss, QuantileMSELoss


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_terms_are_the_published_ones():
    """Differences of spectra, one window after the other, the shorter ones in transforms of 2048."""
    est_targets, targets = noise(2, 3, 2, 6000), noise(2, 3, 2, 6000, seed=1)
    expected = (est_targets - targets).abs().mean()
    for window in (4096, 512):
        spectra = [
            torch.stft(
                wav.reshape(-1, 6000), max(window, 2048), 147, window, torch.hann_window(window), return_complex=True
            )
            for wav in (est_targets, targets)
        ]
        expected = expected + 0.5 * (spectra[0] - spectra[1]).abs().mean()
    loss = losses.get("MultiResolutionSTFTLoss")(windows=[4096, 512], weight=0.5)
    torch.testing.assert_close(loss(est_targets, targets), expected)
    assert loss(targets, targets) == 0
    assert loss((est_targets, None), targets) == loss(est_targets, targets)


def test_spectra_decide_for_white_noise():
    wav, silence = noise(1, 1, 1, 44100), torch.zeros(1, 1, 1, 44100)
    whole, wave = MultiResolutionSTFTLoss()(wav, silence), MultiResolutionSTFTLoss(weight=0)(wav, silence)
    assert 115 < (whole - wave) / wave < 125


def test_short_segments_and_autocast():
    loss = MultiResolutionSTFTLoss()
    assert loss(noise(1, 1, 2, 50), torch.zeros(1, 1, 2, 50)) > 0
    with torch.autocast("cpu", torch.bfloat16):
        low = loss(noise(1, 1, 2, 5000).bfloat16(), torch.zeros(1, 1, 2, 5000))
    assert low.dtype == torch.float32
    torch.testing.assert_close(low, loss(noise(1, 1, 2, 5000), torch.zeros(1, 1, 2, 5000)), rtol=1e-2, atol=0)


@pytest.mark.parametrize("unit, quantile", [("item", 0.4), ("sample", 0.93), ("item", 1.0)])
def test_what_lies_at_or_above_the_quantile_does_not_count(unit, quantile):
    est_targets, targets = noise(5, 2, 2, 40).requires_grad_(), noise(5, 2, 2, 40, seed=1)
    error = (est_targets - targets).square().detach()
    expected = torch.zeros(())
    for source in range(2):
        own = error[:, source].mean((1, 2)) if unit == "item" else error[:, source].flatten()
        expected = expected + own[own < torch.quantile(own, quantile)].sum() / own.numel() / 2
    loss = QuantileMSELoss(quantile, unit)
    result = loss(est_targets, targets)
    torch.testing.assert_close(result, expected)
    result.backward()
    counted = est_targets.grad.abs().amax((2, 3)) > 0
    assert counted.sum() == {0.4: 2 * 2, 0.93: 10, 1.0: 2 * 4}[quantile]
    assert loss.eval()(est_targets, targets) == error.mean()


def test_a_single_item_still_trains():
    est_targets = noise(1, 2, 2, 40)
    torch.testing.assert_close(QuantileMSELoss(0.4)(est_targets, torch.zeros(1, 2, 2, 40)), est_targets.square().mean())


@pytest.mark.parametrize(
    "cls, arguments, message",
    [
        (MultiResolutionSTFTLoss, dict(windows=[]), "windows"),
        (MultiResolutionSTFTLoss, dict(hop=0), "hop must be at least 1"),
        (QuantileMSELoss, dict(quantile=1.5), "between 0 and 1"),
        (QuantileMSELoss, dict(unit="song"), "known are item, sample"),
    ],
)
def test_wrong_settings_are_refused(cls, arguments, message):
    with pytest.raises(ValueError, match=message):
        cls(**arguments)


@pytest.mark.parametrize("loss", [MultiResolutionSTFTLoss(), QuantileMSELoss()])
def test_other_shapes_are_refused(loss):
    with pytest.raises(ValueError, match="differ in shape"):
        loss(noise(1, 1, 2, 50), noise(1, 1, 2, 51))
