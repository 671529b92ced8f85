"""uPIT-BLSTM: published sizes, phase-sensitive loss, padded frames, stacking, features, training."""

from itertools import permutations

import pytest
import torch
from speech_helpers import n_params, small_model, steps_to_halve_own_loss, voices

from asteroid_bsrnn.losses import PhaseSensitiveUPIT
from asteroid_bsrnn.losses.upit import phase_sensitive_targets
from asteroid_bsrnn.models import UPITBLSTM
from asteroid_bsrnn.models.spectral.blstm import SpectralFrontEnd

STACKED = {"stacked": True, "stack_estimates": True}


@pytest.mark.parametrize(
    "kwargs, count",
    [
        ({}, 46_387_970),
        ({"stacked": True}, 92_775_940),
        # 258 more inputs to both directions of the second stage's first layer.
        (STACKED, 92_775_940 + 2 * 4 * 896 * 258),
    ],
)
def test_published_sizes(kwargs, count):
    assert n_params(UPITBLSTM(**kwargs)) == count


def test_targets_are_magnitude_times_cosine_not_below_zero():
    mixture = torch.randn(2, 5, 4, dtype=torch.complex64)
    sources = torch.randn(2, 3, 5, 4, dtype=torch.complex64)
    cosine = torch.cos(mixture.angle().unsqueeze(1) - sources.angle())
    expected = sources.abs() * cosine.clamp(min=0)
    torch.testing.assert_close(phase_sensitive_targets(mixture, sources), expected, atol=1e-5, rtol=1e-5)
    assert (expected == 0).any()
    assert phase_sensitive_targets(torch.zeros_like(mixture), sources).isfinite().all()


def test_loss_is_the_best_permutation_of_the_mean_square():
    torch.manual_seed(0)
    estimates, targets = torch.rand(4, 3, 6, 7), torch.rand(4, 3, 6, 7)
    best = [min((e[list(p)] - t).square().mean() for p in permutations(range(3))) for e, t in zip(estimates, targets)]
    torch.testing.assert_close(PhaseSensitiveUPIT()(estimates, targets), torch.stack(best).mean())


def test_loss_masks_frames_exactly():
    estimates, targets = torch.rand(2, 2, 6, 9), torch.rand(2, 2, 6, 9)
    loss = PhaseSensitiveUPIT()
    masked = loss(estimates, targets, n_frames=torch.tensor([9, 4]))
    parts = [loss(estimates[:1], targets[:1]), loss(estimates[1:, ..., :4], targets[1:, ..., :4])]
    torch.testing.assert_close(masked, sum(parts) / 2)


@pytest.mark.parametrize("kwargs", [{}, {"stacked": True}, STACKED])
@pytest.mark.parametrize("padding", [1, 60, 700])
def test_padding_changes_neither_loss_nor_gradient(kwargs, padding):
    model, sources = small_model("upit_blstm", **kwargs).eval(), voices(length=1000)
    longer = torch.nn.functional.pad(sources, (0, padding), value=0.3)
    results = []
    for batch, lengths in ((sources, None), (longer, [1000, 1000])):
        model.zero_grad()
        loss = model.training_loss(batch.sum(1), batch, lengths)
        loss.backward()
        results.append([loss.detach()] + [p.grad.clone() for p in model.parameters()])
    torch.testing.assert_close(results[1], results[0], atol=1e-5, rtol=1e-4)


def test_batch_of_unequal_lengths_is_the_mean_of_its_examples():
    model, sources = small_model("upit_blstm").eval(), voices(batch=2, length=1500)
    lengths = torch.tensor([1500, 700])
    alone = [model.training_loss(s[:, :n].sum(0), s[None, :, :n]) for s, n in zip(sources, lengths)]
    torch.testing.assert_close(model.training_loss(sources.sum(1), sources, lengths), sum(alone) / 2)


@pytest.mark.parametrize("kwargs", [{}, STACKED])
def test_loss_does_not_depend_on_the_order_of_sources(kwargs):
    model, sources = small_model("upit_blstm", n_src=3, **kwargs).eval(), voices(n_src=3, length=1000)
    loss = model.training_loss(sources.sum(1), sources)
    torch.testing.assert_close(model.training_loss(sources.sum(1), sources[:, [2, 0, 1]]), loss)


def test_second_stage_sees_the_first_only_if_asked():
    magnitude = torch.rand(1, 129, 20) + 0.1
    for stack_estimates in (False, True):
        model = small_model("upit_blstm", stacked=True, stack_estimates=stack_estimates).eval()
        before = 2 * model.masks(magnitude)[1] - model.masks(magnitude)[0]
        with torch.no_grad():
            model.heads[0].linear.bias.add_(1.0)
        after = 2 * model.masks(magnitude)[1] - model.masks(magnitude)[0]
        assert torch.allclose(before, after, atol=1e-5) is not stack_estimates


@pytest.mark.parametrize("n_fft, n_hop, window", [(256, 128, "hann"), (256, 64, "sqrt_hann"), (32, 8, "hann")])
def test_spectra_come_back_at_every_length(n_fft, n_hop, window):
    front_end = SpectralFrontEnd(n_fft, n_hop, window)
    for length in (1, 16, 127, 128, 129, 1000):
        wav = torch.randn(2, 3, length)
        spectra = front_end.analyse(wav)
        assert spectra.shape[-1] == front_end.n_frames(torch.tensor(length))
        torch.testing.assert_close(front_end.synthesise(spectra, length), wav, atol=1e-5, rtol=1e-4)


def test_fitted_features_have_mean_zero_and_deviation_one():
    model = small_model("upit_blstm")
    mixtures = [0.1 * torch.randn(2, 3000), torch.randn(1, 1500), 3 * torch.randn(800)]
    model.fit_normalisation((mixture, None) for mixture in mixtures)
    logs = [model.front_end.features(model.front_end.analyse(m).abs()).reshape(-1, 129) for m in mixtures]
    features = torch.cat(logs)
    torch.testing.assert_close(features.mean(0), torch.zeros(129), atol=1e-4, rtol=0)
    torch.testing.assert_close(features.std(0, correction=0), torch.ones(129), atol=1e-4, rtol=0)
    assert {"front_end.feature_mean", "front_end.feature_std"} <= set(model.state_dict())
    with pytest.raises(ValueError, match="no mixture"):
        model.fit_normalisation([])


@pytest.mark.parametrize(
    "kwargs, said",
    [
        ({"n_hop": 100}, "n_hop"),
        ({"n_hop": 256}, "n_hop"),
        ({"mask_act": "tanh"}, "mask_act"),
        ({"dropout": -0.1}, "dropout"),
        ({"n_layers": 0}, "n_layers"),
        ({"stack_estimates": True}, "stacked"),
    ],
)
def test_bad_arguments(kwargs, said):
    with pytest.raises(ValueError, match=said):
        UPITBLSTM(**kwargs)


def test_bad_training_batches():
    model, sources = small_model("upit_blstm"), voices()
    with pytest.raises(ValueError, match="sources of shape"):
        model.training_loss(sources.sum(1), sources[:, :1])
    for lengths in ([2000], [0, 2000], [2000, 2001]):
        with pytest.raises(ValueError, match="lengths"):
            model.training_loss(sources.sum(1), sources, lengths)


@pytest.mark.parametrize("kind", ["upit_blstm", "upit_blstm_st"])
def test_own_loss_halves_within_a_hundred_steps(kind):
    assert steps_to_halve_own_loss(small_model(kind, hid_size=48), voices(length=2000))
