"""cSDR is museval's SDR on every frame, silent rules included, without its filters."""

import warnings

import numpy as np
import pytest
import torch

from asteroid_bsrnn.metrics import csdr

museval = pytest.importorskip("museval", exc_type=(ImportError, RuntimeError))
bss_eval = museval.metrics.bss_eval

RATE = 40  # a short "second" keeps museval fast; the rules do not depend on it


def stems(rng, n_src, n_samples, channels):
    """References with levels apart and estimates between -10 and 40 dB, (n_src, channels, time) in float64."""
    targets = rng.standard_normal((n_src, channels, n_samples)) * 10 ** rng.uniform(-2, 0, (n_src, 1, 1))
    errors = rng.standard_normal(targets.shape) * 10 ** rng.uniform(-2, 0.5, (n_src, 1, 1))
    return targets + errors * targets.std(), targets


def silence_source(rng, est, ref):
    """A whole frame or more without the source."""
    start = RATE * rng.integers(0, 3)
    ref[rng.integers(len(ref)), :, start : start + rng.integers(RATE, 3 * RATE)] = 0


def silence_estimate(rng, est, ref):
    start = rng.integers(0, 2 * RATE)
    est[rng.integers(len(est)), :, start : start + 2 * RATE] = 0


def silence_channel(rng, est, ref):
    """One silent channel of several is no silence."""
    if ref.shape[1] > 1:
        ref[rng.integers(len(ref)), 0, : 2 * RATE] = 0
        est[rng.integers(len(est)), -1, RATE:] = 0


def anti_phase(rng, est, ref):
    """Channels that cancel count as silent, though they have energy."""
    signal, source = (ref, est)[rng.integers(2)], rng.integers(len(ref))
    signal[source, -1, RATE : 2 * RATE] = -signal[source, :-1, RATE : 2 * RATE].sum(0)


def silence_all_frames_but_one(rng, est, ref):
    ref[rng.integers(len(ref)), :, RATE:] = 0


def one_sample_is_enough(rng, est, ref):
    """A single sample other than zero makes a frame count."""
    source = rng.integers(len(ref))
    ref[source, :, :RATE] = 0
    ref[source, 0, rng.integers(RATE)] = 1e-6


def untouched(rng, est, ref):
    pass


CASES = [
    untouched,
    silence_source,
    silence_estimate,
    silence_channel,
    anti_phase,
    silence_all_frames_but_one,
    one_sample_is_enough,
]
LENGTHS = [4 * RATE, 4 * RATE + 1, 5 * RATE - 1, 3 * RATE + 17]


def museval_frames(est, ref, rate, taps):
    """(n_src, n_frames) by museval's own function, from (n_src, channels, time)."""
    axes = (0, 2, 1)
    return bss_eval(ref.transpose(axes), est.transpose(axes), window=rate, hop=rate, filters_len=taps)[0]


def assert_equal_frames(est, ref, rate=RATE, taps=1):
    ours = csdr(torch.from_numpy(est)[None], torch.from_numpy(ref)[None], sample_rate=rate, frames=True)[0].numpy()
    theirs = museval_frames(est, ref, rate, taps)
    assert ours.shape == theirs.shape
    assert np.array_equal(np.isnan(ours), np.isnan(theirs))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-9)
    return ours


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
@pytest.mark.parametrize("n_samples", LENGTHS)
def test_equals_museval_on_every_frame(case, n_samples):
    """280 seeded cases of 1 to 4 sources, 1 to 3 channels."""
    silent = 0
    for seed in range(10):
        rng = np.random.default_rng([seed, n_samples])
        est, ref = stems(rng, 1 + seed % 4, n_samples, 1 + seed % 3)
        if ref.shape[1] == 1 and case is anti_phase:
            est, ref = stems(rng, 1 + seed % 4, n_samples, 2)
        case(rng, est, ref)
        silent += np.isnan(assert_equal_frames(est, ref)).any()
    assert silent == (0 if case in (untouched, one_sample_is_enough, silence_channel) else 10), (
        "the case tests its name"
    )


@pytest.mark.parametrize("seed", range(6))
def test_equals_museval_with_512_taps(seed):
    """The published setting: filters of 512 taps change nothing in the SDR."""
    rng = np.random.default_rng(seed)
    est, ref = stems(rng, 2, 5 * 700 + 123 * seed, 1 + seed % 2)
    ref[0, :, 700:1500] = 0
    frames = assert_equal_frames(est, ref, rate=700, taps=512)
    assert np.isnan(frames[:, 1]).all() and np.isfinite(frames[:, [0, 3]]).all()


@pytest.mark.parametrize("n_samples", [1, 2, RATE - 1, RATE, RATE + 1, 2 * RATE - 1, 2 * RATE])
def test_short_signals(n_samples):
    """Shorter than a window is one frame; the rest after the last whole window is dropped."""
    est, ref = stems(np.random.default_rng(n_samples), 2, n_samples, 2)
    assert assert_equal_frames(est, ref).shape == (2, max(n_samples // RATE, 1))


def test_rest_at_the_end_is_not_scored():
    est, ref = stems(np.random.default_rng(0), 2, 3 * RATE + 20, 2)
    before = csdr(torch.from_numpy(est)[None], torch.from_numpy(ref)[None], sample_rate=RATE)
    ref[:, :, 3 * RATE :] = 0
    assert torch.equal(before, csdr(torch.from_numpy(est)[None], torch.from_numpy(ref)[None], sample_rate=RATE))
    ref[0, 0, -1] = np.nan  # but a broken file is refused wherever it is broken
    with pytest.raises(ValueError, match="NaN"):
        csdr(torch.from_numpy(est)[None], torch.from_numpy(ref)[None], sample_rate=RATE)


@pytest.mark.parametrize("which", ["reference", "estimate"])
def test_source_silent_from_end_to_end(which):
    """museval refuses the track; our frames are all NaN, and so is the score, for every source."""
    est, ref = stems(np.random.default_rng(1), 3, 4 * RATE, 2)
    (ref if which == "reference" else est)[1] = 0
    with pytest.raises(ValueError, match="non-silent"):
        museval_frames(est, ref, RATE, 1)
    est, ref = torch.from_numpy(est)[None], torch.from_numpy(ref)[None]
    assert csdr(est, ref, sample_rate=RATE, frames=True).isnan().all()
    assert csdr(est, ref, sample_rate=RATE).isnan().all()
    assert csdr(est[:, :1], ref[:, :1], sample_rate=RATE).isfinite().all()  # the set decides


def test_track_scores_are_those_of_museval_track_store():
    """evaluate -> TrackStore -> median over frames, with exact, silent and ordinary frames together."""
    rng = np.random.default_rng(2)
    est, ref = stems(rng, 2, 10 * RATE, 2)
    ref[1, :, RATE : 2 * RATE] = 0
    axes = (0, 2, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scores = museval.evaluate(ref.transpose(axes), est.transpose(axes), win=RATE, hop=RATE)
    store = museval.TrackStore("track")
    for index in range(2):
        store.add_target(str(index), dict(zip(("SDR", "ISR", "SIR", "SAR"), (score[index] for score in scores))))
    theirs = store.df[store.df.metric == "SDR"].astype({"score": float}).groupby("target").score.median().to_numpy()
    ours = csdr(torch.from_numpy(est)[None], torch.from_numpy(ref)[None], sample_rate=RATE)[0].numpy()
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1.1e-5)  # the store keeps five digits


def test_exact_frames_are_infinite_and_left_out_of_the_median():
    est, ref = (torch.from_numpy(x)[None] for x in stems(np.random.default_rng(3), 2, 3 * RATE, 2))
    est[:, :, :, :RATE] = ref[:, :, :, :RATE]
    frames = csdr(est, ref, sample_rate=RATE, frames=True)
    assert frames[..., 0].isposinf().all() and frames[..., 1:].isfinite().all()
    torch.testing.assert_close(csdr(est, ref, sample_rate=RATE), frames[..., 1:].mean(-1))


def test_an_exact_track_is_infinite():
    ref = torch.from_numpy(stems(np.random.default_rng(4), 2, 4 * RATE, 2)[1])[None]
    ref[:, 0, :, :RATE] = 0  # this frame has no score
    assert csdr(ref, ref, sample_rate=RATE).isposinf().all()
    assert csdr(ref, ref, sample_rate=RATE, frames=True)[..., 0].isnan().all()


def test_batch_is_independent_and_float32_is_summed_in_float64():
    pairs = [stems(np.random.default_rng(seed), 2, 3 * RATE, 2) for seed in range(3)]
    est, ref = (torch.from_numpy(np.stack([pair[i] for pair in pairs])) for i in (0, 1))
    ref[1, 0, :, :RATE] = 0
    together = csdr(est, ref, sample_rate=RATE, frames=True)
    alone = torch.cat([csdr(est[i : i + 1], ref[i : i + 1], sample_rate=RATE, frames=True) for i in range(3)])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-12, equal_nan=True)
    rounded = csdr(est.float(), ref.float(), sample_rate=RATE)
    exact = csdr(est.float().double(), ref.float().double(), sample_rate=RATE)
    assert rounded.dtype == torch.float64 and torch.equal(rounded, exact)
