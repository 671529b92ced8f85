"""Under autocast models run in 16 bits; losses, permutation search and scores do not."""

import pytest
import torch
from speech_helpers import small_model, voices

from asteroid_bsrnn.common.precision import supports
from asteroid_bsrnn.losses import PhaseSensitiveUPIT, PITNegSISDR, TimeTFLoss
from asteroid_bsrnn.metrics import best_permutation, si_sdr, usdr
from asteroid_bsrnn.training.systems import MusicSystem, SpeechSystem

bf16 = torch.autocast("cpu", torch.bfloat16)


def pair(noise=0.1, n_src=2):
    generator = torch.Generator().manual_seed(0)
    targets = torch.randn(3, n_src, 2000, generator=generator)
    return targets + noise * torch.randn(targets.shape, generator=generator), targets


class Near(torch.nn.Module):
    """Estimates that no precision changes: fixed signals."""

    sample_rate, sources = 8000, ("a", "b")

    def __init__(self, estimates):
        super().__init__()
        self.fixed = torch.nn.Parameter(estimates)

    def forward(self, wav):
        return self.fixed.expand(len(wav), *self.fixed.shape)


@pytest.mark.parametrize("noise", [0.3, 0.01])
def test_si_sdr_loss_and_its_gradient_are_those_of_fp32(noise):
    estimates, targets = pair(noise)
    for loss_func in (PITNegSISDR(), PITNegSISDR(floor_db=None)):
        grads = []
        for context in (torch.autocast("cpu", enabled=False), bf16):
            leaf = estimates.clone().requires_grad_()
            with context:
                loss = loss_func(leaf, targets)
            loss.backward()
            grads.append((loss.item(), leaf.grad))
        assert grads[0][0] == grads[1][0] and torch.equal(grads[0][1], grads[1][1])


def test_scores_of_both_systems_are_those_of_fp32():
    estimates, targets = (signal[0] for signal in pair(0.05))
    speech = SpeechSystem(Near(estimates.flip(0)), None, PITNegSISDR(), None)
    music = MusicSystem(Near(estimates[:, None]), None, TimeTFLoss(n_fft=64, n_hop=16), None)
    for system, sources in ((speech, targets), (music, targets[:, None])):
        expected = system.score(sources.sum(0), sources)
        with bf16:
            assert system.score(sources.sum(0), sources) == expected


def test_metrics_do_not_see_autocast():
    estimates, targets = pair(0.02)
    expected = (
        si_sdr(estimates, targets),
        best_permutation(estimates.flip(1), targets),
        usdr(estimates[:, :, None], targets[:, :, None]),
    )
    with bf16:
        found = (
            si_sdr(estimates, targets),
            best_permutation(estimates.flip(1), targets),
            usdr(estimates[:, :, None], targets[:, :, None]),
        )
    assert all(torch.equal(one, other) for one, other in zip(expected, found))


def test_losses_of_upit_are_in_32_bits_and_do_not_overflow():
    """Sums of squares of over 65504, the largest number of fp16; a pair of losses that bf16 cannot tell apart."""
    targets = torch.rand(2, 2, 129, 50, generator=torch.Generator().manual_seed(0)) * 600
    estimates = targets.flip(1) * 1.001
    expected = PhaseSensitiveUPIT()(estimates, targets)
    for dtype in (torch.bfloat16, torch.float16):
        with torch.autocast("cpu", dtype):
            loss = PhaseSensitiveUPIT()(estimates, targets)
        assert loss.dtype == torch.float32 and loss == expected


@pytest.mark.processor
@pytest.mark.skipif(not supports("bf16", "cpu"), reason="this processor has no bf16")
@pytest.mark.parametrize("kind", ["upit_blstm", "dpcl", "chimera"])
def test_own_losses_of_models_are_in_32_bits(kind):
    model, sources = small_model(kind).eval(), voices()
    with bf16:
        loss = model.training_loss(sources.sum(1), sources)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(model.training_loss(sources.sum(1), sources).item(), rel=0.05)
