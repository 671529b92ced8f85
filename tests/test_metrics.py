"""uSDR, medians, and the speech scores against mir_eval; what cannot be scored is refused."""

import doctest
import math
import warnings

import mir_eval
import numpy as np
import pytest
import torch
from asteroid.losses import PITLossWrapper, pairwise_neg_sisdr

from asteroid_bsrnn import metrics
from asteroid_bsrnn.metrics import csdr, nan_median, sdr, sdr_imp, si_sdr, si_sdr_imp, usdr, utterance_scores
from asteroid_bsrnn.metrics import track_sdr as music
from asteroid_bsrnn.metrics import utterance_sdr as speech

NAN, INF = float("nan"), float("inf")


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def bss_eval(reference, estimate, compute_permutation=False):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return mir_eval.separation.bss_eval_sources(reference.numpy(), estimate.numpy(), compute_permutation)[0]


@pytest.mark.parametrize("module", [music, speech])
def test_examples_in_the_docstrings(module):
    assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize("n_samples", [1, 1000, 65536, 65537, 200001])
def test_usdr_is_its_definition(n_samples):
    targets, est = randn(2, 3, 2, n_samples), randn(2, 3, 2, n_samples, seed=1)
    energy = (targets.double() ** 2).sum((-1, -2)) + 1e-7
    error = ((est.double() - targets.double()) ** 2).sum((-1, -2)) + 1e-7
    torch.testing.assert_close(usdr(est, targets), 10 * torch.log10(energy / error), rtol=0, atol=1e-9)


def test_usdr_of_perfect_silent_and_doubled():
    targets = randn(1, 1, 2, 44100)
    energy = float((targets.double() ** 2).sum())
    assert usdr(targets, targets).item() == pytest.approx(10 * math.log10(energy / 1e-7 + 1), abs=1e-6)
    assert usdr(torch.zeros_like(targets), targets).item() == pytest.approx(0, abs=1e-9)
    assert usdr(2 * targets, targets).item() == pytest.approx(0, abs=1e-9)
    silent = usdr(targets, torch.zeros_like(targets)).item()
    assert silent == pytest.approx(-10 * math.log10(energy / 1e-7 + 1), abs=1e-6) and silent < -110


def test_usdr_is_not_symmetric():
    """Estimate and reference in the right places: half the level is 6 dB one way and 0 dB the other."""
    targets = randn(1, 1, 1, 1000)
    assert usdr(0.5 * targets, targets).item() == pytest.approx(20 * math.log10(2), abs=1e-6)
    assert usdr(targets, 0.5 * targets).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    "values, by_numpy, lower",
    [
        ([3, 1, 2], 2, 2),
        ([4, 1, 2, 3], 2.5, 2),
        ([NAN, 4, 1], 2.5, 1),
        ([NAN, 4, NAN], 4, 4),
        ([NAN, NAN], NAN, NAN),
        ([-INF, 1, 2], 1, 1),
    ],
)
def test_medians(values, by_numpy, lower):
    values = torch.tensor(values, dtype=torch.float64)
    torch.testing.assert_close(nan_median(values), torch.tensor(by_numpy).double(), equal_nan=True)
    torch.testing.assert_close(nan_median(values, "lower"), torch.tensor(lower).double(), equal_nan=True)


def test_medians_agree_with_numpy_and_torch():
    values = randn(50, 12).double()
    values[values > 1] = NAN
    torch.testing.assert_close(nan_median(values), torch.from_numpy(np.nanmedian(values.numpy(), -1)))
    torch.testing.assert_close(nan_median(values, "lower"), values.nanmedian(-1).values)


def test_csdr_by_both_rules():
    targets = torch.ones(1, 1, 1, 40)
    est = targets.clone()
    for frame, error in enumerate((0.1, 1.0, 0.01, 10.0)):  # 20, 0, 40, -20 dB
        est[..., 10 * frame : 10 * frame + 10] += error
    assert csdr(est, targets, sample_rate=10).item() == pytest.approx(10, abs=1e-5)
    assert csdr(est, targets, sample_rate=10, median_rule="lower").item() == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("score", [usdr, csdr])
def test_music_scores_refuse_what_they_cannot_compare(score):
    good = randn(1, 2, 2, 100)
    broken = good.clone()
    broken[0, 1, 0, 50] = NAN
    for est, targets, words in [
        (good[..., :99], good, "differ in time: 99 against 100"),
        (good[:, :1], good, "differ in n_src: 1 against 2"),
        (good[:, :, :1], good, "differ in channels"),
        (good[0], good[0], r"must be \(batch, n_src, channels, time\), got 3 axes"),
        (good[..., :0], good[..., :0], "empty along time"),
        (broken, good, "NaN"),
        (good, broken, "NaN"),
        (good, broken.nan_to_num(nan=INF), "infinite"),
    ]:
        with pytest.raises(ValueError, match=words):
            score(est, targets)
    with pytest.raises(TypeError, match="floating-point tensor"):
        score(good.numpy(), good)
    with pytest.raises(TypeError, match="int16"):
        score(good.short(), good)


def test_csdr_refuses_bad_options():
    wav = randn(1, 1, 1, 100)
    with pytest.raises(ValueError, match="unknown median_rule 'upper': .*known are numpy, lower"):
        csdr(wav, wav, median_rule="upper")
    for rate in (0, -1, 44.1, "44100", None, NAN):
        with pytest.raises(ValueError, match="sample_rate"):
            csdr(wav, wav, sample_rate=rate)


def speech_pair(n_src=2, n_samples=4000, seed=0):
    """Coloured sources, and estimates that leak and are filtered: est and ref cannot be exchanged unnoticed."""
    rng = np.random.default_rng(seed)
    targets = rng.standard_normal((n_src, n_samples)).cumsum(-1)
    targets = targets - 0.97 * np.roll(targets, 1, -1)
    leak = 0.5 * np.roll(targets, 1, 0) + 0.3 * rng.standard_normal(targets.shape)
    est = np.apply_along_axis(np.convolve, 1, targets, [1, 0.6, -0.2], "same") + leak
    return torch.from_numpy(est)[None], torch.from_numpy(targets)[None]


def test_sdr_is_mir_eval_and_est_and_targets_are_not_exchanged():
    est, targets = speech_pair()
    theirs, exchanged = bss_eval(targets[0], est[0]), bss_eval(est[0], targets[0])
    assert abs(theirs - exchanged).max() > 0.5  # else the case would not see an exchange
    np.testing.assert_allclose(sdr(est, targets)[0], theirs, rtol=0, atol=1e-6)
    with_search = bss_eval(targets[0], est[0].flip(0), compute_permutation=True)
    np.testing.assert_allclose(sdr(est.flip(1), targets)[0], with_search, rtol=0, atol=1e-6)
    np.testing.assert_allclose(
        sdr(est.flip(1), targets, permute=False)[0], bss_eval(targets[0], est[0].flip(0)), atol=1e-6
    )


def test_sdr_gain_over_the_mixture_is_mir_eval():
    est, targets = speech_pair(seed=1)
    mix = targets.sum(1)
    before = bss_eval(targets[0], torch.stack([mix[0]] * 2))
    np.testing.assert_allclose(sdr_imp(est, targets, mix)[0], bss_eval(targets[0], est[0]) - before, rtol=0, atol=1e-6)


@pytest.mark.parametrize("n_src", [1, 2, 3, 4])
def test_si_sdr_is_its_definition_in_every_order(n_src):
    est, targets = speech_pair(n_src, seed=n_src)
    centred_est, centred = est - est.mean(-1, keepdim=True), targets - targets.mean(-1, keepdim=True)
    scaled = (centred_est * centred).sum(-1, keepdim=True) / centred.square().sum(-1, keepdim=True) * centred
    ratio = scaled.square().sum(-1) / (centred_est - scaled).square().sum(-1)
    expected = 10 * torch.log10(ratio + 1e-8)  # the constant that Asteroid adds
    for shift in range(n_src):
        torch.testing.assert_close(si_sdr(est.roll(shift, 1), targets), expected, rtol=0, atol=1e-7)
    loss = PITLossWrapper(pairwise_neg_sisdr)(est, targets)
    assert si_sdr(est, targets).mean().item() == pytest.approx(-loss.item(), abs=1e-7)


@pytest.mark.parametrize("level", [1e-5, 1, 1e3])
def test_speech_scores_ignore_level(level):
    """Also very quiet recordings, where the constants in Asteroid's formulas would be felt."""
    est, targets = speech_pair()
    mix = targets.sum(1)
    for score in (si_sdr_imp, sdr_imp):
        torch.testing.assert_close(
            score(level * est, level * targets, mix), score(est, targets, mix), rtol=0, atol=1e-5
        )


def test_a_batch_finds_each_items_own_permutation():
    est, targets = speech_pair(3)
    both = torch.cat([est, est.roll(1, 1)])
    scores = si_sdr(both, targets.expand(2, -1, -1))
    torch.testing.assert_close(scores[0], scores[1])
    assert metrics.best_permutation(both, targets.expand(2, -1, -1)).tolist() == [[0, 1, 2], [1, 2, 0]]


def test_utterance_scores_are_means_over_the_sources():
    est, targets = speech_pair()
    mix = targets.sum(1) + 0.1
    scores = utterance_scores(mix[0], est[0].flip(0), targets[0], 8000)
    assert scores["permutation"] == [1, 0]
    for name, value in {
        "si_sdr": si_sdr(est, targets),
        "si_sdr_imp": si_sdr_imp(est, targets, mix),
        "sdr": sdr(est, targets),
        "sdr_imp": sdr_imp(est, targets, mix),
    }.items():
        assert scores[name] == pytest.approx(value.mean().item(), abs=1e-6), name
    assert scores["input_si_sdr"] == pytest.approx(scores["si_sdr"] - scores["si_sdr_imp"])


def test_silence_in_speech():
    """A silent target has no score; a silent estimate has Asteroid's lowest SI-SDR and no SDR."""
    est, targets = speech_pair()
    mix = targets.sum(1)
    gone = targets.clone()
    gone[0, 1] = 0
    assert si_sdr(est, gone)[0].isnan().tolist() == [False, True] and sdr(est, gone).isnan().all()
    scores = utterance_scores(mix[0], est[0], gone[0], 8000)
    assert all(math.isnan(scores[name]) for name in ("si_sdr", "si_sdr_imp", "sdr", "input_si_sdr"))
    mute = est.clone()
    mute[0, 1] = 0
    assert si_sdr(mute, targets)[0].min().item() == pytest.approx(-80) and sdr(mute, targets).isnan().all()
    scores = utterance_scores(mix[0], mute[0], targets[0], 8000)
    assert math.isfinite(scores["si_sdr"]) and math.isnan(scores["sdr"])


@pytest.mark.parametrize("score", [si_sdr, sdr])
def test_speech_scores_refuse_what_they_cannot_compare(score):
    est, targets = speech_pair(3)
    broken = est.clone()
    broken[0, 0, 0] = NAN
    for bad, reference, words in [
        (est[:, :2], targets, "differ in n_src: 2 against 3"),
        (est[..., 1:], targets, "differ in time"),
        (est[0], targets[0], "got 2 axes"),
        (broken, targets, "est_targets contains NaN"),
        (est, broken, "targets contains NaN"),
    ]:
        with pytest.raises(ValueError, match=words):
            score(bad, reference)
    with pytest.raises(ValueError, match=r"mix must be a tensor \(batch, time\) = \(1, 4000\)"):
        si_sdr_imp(est, targets, targets)
