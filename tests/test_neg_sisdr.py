"""Permutation-invariant negative SI-SDR: equal to the host's, and its two guards."""

import pytest
import torch
from asteroid.losses import PITLossWrapper, pairwise_neg_sisdr
from asteroid.metrics import get_metrics

from asteroid_bsrnn import losses
from asteroid_bsrnn.losses import PITNegSISDR

HOST = PITLossWrapper(pairwise_neg_sisdr)


def pair(batch=3, n_src=2, noise=0.5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    targets = torch.randn(batch, n_src, 600, generator=generator)
    return targets + noise * torch.randn(targets.shape, generator=generator), targets


@pytest.mark.parametrize("n_src", [1, 2, 3, 4])
def test_equals_the_host_where_no_guard_acts(n_src):
    estimates, targets = pair(n_src=n_src)
    estimates = estimates[:, torch.randperm(n_src)]
    torch.testing.assert_close(PITNegSISDR(n_src)(estimates, targets), HOST(estimates, targets))


def test_value_is_minus_the_metric():
    estimates, targets = pair(batch=1)
    mixture = targets.sum(1).numpy()
    scores = get_metrics(mixture, targets[0].numpy(), estimates[0].numpy(), 8000, metrics_list=["si_sdr"])
    zero_mean = PITNegSISDR()(estimates, targets).item()
    assert zero_mean == pytest.approx(-scores["si_sdr"], abs=0.05)


def test_scale_order_and_offset_do_not_matter():
    estimates, targets = pair()
    loss = PITNegSISDR()(estimates, targets)
    torch.testing.assert_close(PITNegSISDR()(5 * estimates.flip(1) + 3, targets), loss, atol=1e-3, rtol=1e-4)


def test_estimates_come_back_in_the_order_of_the_targets():
    estimates, targets = pair()
    mixed = torch.stack([estimates[0], estimates[1].flip(0), estimates[2]])
    loss, ordered = PITNegSISDR()(mixed, targets, return_est=True)
    assert torch.equal(ordered, estimates)
    torch.testing.assert_close(loss, HOST(estimates, targets))


def test_silent_target_counts_neither_in_value_nor_in_gradient():
    estimates, targets = pair()
    targets[1, 0] = 0.0
    estimates.requires_grad_()
    loss = PITNegSISDR(floor_db=None)(estimates, targets)
    alone = [HOST(estimates[[i]], targets[[i]]) for i in (0, 2)] + [HOST(estimates[1:2, 1:], targets[1:2, 1:])]
    torch.testing.assert_close(loss, sum(alone) / 3)
    loss.backward()
    assert estimates.grad.isfinite().all() and not estimates.grad[1, 0].any() and estimates.grad[1, 1].any()


def test_silent_target_does_not_choose_the_permutation():
    estimates, targets = pair(batch=1)
    targets[0, 0] = 0.0
    _, ordered = PITNegSISDR()(estimates.flip(1), targets, return_est=True)
    assert torch.equal(ordered[:, 1], estimates[:, 1])


@pytest.mark.parametrize("floor_db", [None, -30.0])
def test_all_silent_batch_gives_zero(floor_db):
    estimates = pair()[0].requires_grad_()
    loss = PITNegSISDR(floor_db=floor_db)(estimates, torch.zeros_like(estimates))
    loss.backward()
    assert loss == 0 and not estimates.grad.any()


def test_silent_estimates_give_no_nan():
    targets = pair()[1]
    estimates = torch.zeros_like(targets, requires_grad=True)
    PITNegSISDR()(estimates, targets).backward()
    assert estimates.grad.isfinite().all()


def test_examples_better_than_the_floor_are_left_out():
    estimates, targets = pair()
    estimates[0] = targets[0] + 1e-3 * (estimates[0] - targets[0])
    estimates.requires_grad_()
    loss = PITNegSISDR(floor_db=-30.0)(estimates, targets)
    torch.testing.assert_close(loss, HOST(estimates[1:], targets[1:]))
    loss.backward()
    assert not estimates.grad[0].any() and estimates.grad[1:].any()


def test_the_mean_stays_if_all_are_better():
    estimates, targets = pair(noise=1e-3)
    torch.testing.assert_close(PITNegSISDR(floor_db=-30.0)(estimates, targets), HOST(estimates, targets))


def test_wrong_shapes():
    estimates, targets = pair()
    for bad in ((estimates[:, :1], targets), (estimates, targets[..., :9]), (estimates[0], targets[0])):
        with pytest.raises(ValueError, match="shape"):
            PITNegSISDR()(*bad)
    with pytest.raises(ValueError, match="shape"):
        PITNegSISDR(n_src=3)(estimates, targets)


@pytest.mark.parametrize("name", ["PITNegSISDR", "PhaseSensitiveUPIT", "ClusteringLoss"])
def test_found_by_name(name):
    assert losses.get(name.lower()) is getattr(losses, name)
