"""Intervals, paired differences, the Pareto front and mel spectrograms."""

import numpy as np
import pytest

from asteroid_bsrnn.report.figures.pareto import draw_pareto, pareto_front
from asteroid_bsrnn.report.figures.spectrogram import mel_spectrogram
from asteroid_bsrnn.report.statistics import AGGREGATES, average_of_columns, bootstrap, paired_difference


def test_bootstrap_is_seeded_and_close_to_theory():
    values = np.random.default_rng(0).normal(5, 2, 400)
    low, high = bootstrap(values, seed=3)
    assert (low, high) == bootstrap(values, seed=3) != bootstrap(values, seed=4)
    error = 1.96 * values.std(ddof=1) / 20
    assert (low, high) == pytest.approx((values.mean() - error, values.mean() + error), abs=0.1 * error)


def test_bootstrap_covers_as_often_as_it_says():
    rng = np.random.default_rng(1)
    covered = [
        low < 0 < high for low, high in (bootstrap(rng.normal(size=40), seed=i, n_resamples=400) for i in range(200))
    ]
    assert 0.88 < np.mean(covered) < 0.99


def test_bootstrap_keeps_sources_of_a_track_together():
    """Sources that cancel on every track leave no doubt about their average."""
    noise = np.random.default_rng(2).normal(size=30)
    low, high = bootstrap(np.stack([noise, -noise], axis=1), average_of_columns(AGGREGATES["mean"]))
    assert abs(low) < 1e-12 and abs(high) < 1e-12


def test_one_track_has_no_interval():
    assert np.isnan(bootstrap([1.0])).all()


@pytest.mark.parametrize("aggregate", AGGREGATES.values())
def test_paired_difference_of_a_constant_gain_is_certain(aggregate):
    base = np.random.default_rng(3).normal(0, 5, (20, 4))
    found = paired_difference(base + 0.3, base, average_of_columns(aggregate))
    assert found == pytest.approx((0.3, 0.3, 0.3))
    with pytest.raises(ValueError, match="same tracks"):
        paired_difference(base, base[1:])


def test_a_logarithmic_cost_is_labelled_in_plain_numbers():
    figure = draw_pareto([("a", 9.0, 1.0), ("b", 90.0, 2.0), ("c", 700.0, 3.0)], "t", "dB", "s", logarithmic=True)
    figure.canvas.draw()
    labels = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert {"10", "20", "50", "100"} <= set(labels) and not any("$" in label for label in labels)


def test_pareto_front():
    points = [(58, 6.6), (110, 7.1), (110, 7.1), (127, 7.1), (78, 6.7), (91, 6.6), (500, 9.6), (600, 9.6)]
    front = pareto_front([(energy, -score) for energy, score in points])
    assert front.tolist() == [True, True, False, False, True, False, True, False]


def test_mel_spectrogram_puts_a_tone_where_it_belongs():
    sample_rate = 8000
    for hz in (200, 1000, 3000):
        wav = np.sin(2 * np.pi * hz * np.arange(sample_rate) / sample_rate)[:, None]
        level = mel_spectrogram(wav, sample_rate, n_mels=60)
        edges = np.linspace(2595 * np.log10(1 + 40 / 700), 2595 * np.log10(1 + 4000 / 700), 62)
        loudest = level.mean(axis=1).argmax()
        assert edges[loudest] <= 2595 * np.log10(1 + hz / 700) <= edges[loudest + 2]
    assert np.isfinite(mel_spectrogram(np.zeros((5, 1)), 44100)).all()
