"""Augmentations draw from their generator alone, within their ranges, and compose in the order of the list."""

import pickle

import numpy as np
import pytest
import torch

from asteroid_bsrnn.data.music import augment as mixing
from asteroid_bsrnn.data.music.augment import build_augmentations, peak_normalise, remix_batch


def make_stems(seed=0):
    return np.random.default_rng(seed).standard_normal((4, 2, 50)).astype(np.float32)


def draw(name, count, **options):
    """Applied to ``count`` copies of the same stems with generators 0, 1, ...: (count, 4, 2, 50), and the stems."""
    (augment,) = build_augmentations([{name: options}], target=1)
    out = np.stack([make_stems() for _ in range(count)])
    for seed, stems in enumerate(out):
        augment(stems, np.random.default_rng(seed))
    return out, make_stems()


def gains_of(out, stems):
    gains = out / stems
    assert np.allclose(gains, gains[..., :1, :1], rtol=1e-5)  # one gain for both channels and all samples
    return gains[..., 0, 0]


def test_rescale_db_is_uniform_in_db():
    db = 20 * np.log10(gains_of(*draw("rescale_db", 500)))
    assert -10.001 < db.min() < -9.8 and 9.8 < db.max() < 10.001
    assert abs(db.mean()) < 0.4 and abs(np.corrcoef(db.T) - np.eye(4)).max() < 0.15


def test_rescale_is_uniform_and_linear():
    gains = gains_of(*draw("rescale", 500))
    assert 0.2499 < gains.min() < 0.26 and 1.24 < gains.max() < 1.2501
    assert abs(gains.mean() - 0.75) < 0.02


def test_silent_source_silences_any_stem():
    gains = gains_of(*draw("silent_source", 2000))
    assert set(np.unique(gains)) == {0.0, 1.0}
    assert np.allclose((gains == 0).mean(0), 0.1, atol=0.025)


def test_silent_target_leaves_the_others():
    gains = gains_of(*draw("silent_target", 1000))
    assert (gains[:, [0, 2, 3]] == 1).all()
    assert abs((gains[:, 1] == 0).mean() - 0.1) < 0.03


def test_channel_swap_swaps_whole_stems():
    out, stems = draw("channel_swap", 400)
    swapped, same = (out == stems[:, ::-1]).all((2, 3)), (out == stems).all((2, 3))
    assert (swapped ^ same).all()
    assert np.allclose(swapped.mean(0), 0.5, atol=0.1)


@pytest.mark.parametrize("name", ["rescale_db", "rescale", "silent_source", "silent_target", "channel_swap"])
def test_draws_come_from_the_generator_alone(name):
    first, _ = draw(name, 20)
    np.random.seed(5)
    assert np.array_equal(first, draw(name, 20)[0])


def test_options_and_order():
    """Gains are drawn first because they are named first, and with the range that is given."""
    stems, generator = make_stems(), np.random.default_rng(1)
    for augment in build_augmentations([{"rescale": {"low": 2.0, "high": 3.0}}, "channel_swap"]):
        augment(stems, generator)
    generator = np.random.default_rng(1)
    gains, draws = generator.uniform(2.0, 3.0, 4).astype(np.float32), generator.random(4)
    expected = [gain * (stem[::-1] if draw < 0.5 else stem) for gain, stem, draw in zip(gains, make_stems(), draws)]
    assert np.array_equal(stems, np.stack(expected))


def test_own_augmentation_can_be_registered(monkeypatch):
    monkeypatch.setattr(mixing._AUGMENTATIONS, "entries", dict(mixing._AUGMENTATIONS.entries))

    @mixing.register_augmentation
    def reverse(stems, generator):
        stems[:] = stems[..., ::-1].copy()

    stems = make_stems()
    build_augmentations(["reverse"])[0](stems, None)
    assert np.array_equal(stems, make_stems()[..., ::-1])


def test_bad_lists():
    with pytest.raises(ValueError, match="did you mean 'rescale_db'"):
        build_augmentations(["rescale_bd"])
    with pytest.raises(ValueError, match="'rescale_db' has no parameter 'lo'; it has high, low"):
        build_augmentations([{"rescale_db": {"lo": 3}}])
    with pytest.raises(ValueError, match="'silent_target' needs a single target"):
        build_augmentations(["silent_target"], target=None)
    with pytest.raises(ValueError, match="has no parameter 'target'"):
        build_augmentations([{"silent_target": {"target": 2}}], target=0)


def test_augmentations_can_be_pickled():
    (augment,) = pickle.loads(pickle.dumps(build_augmentations(["rescale"])))
    stems, expected = make_stems(), make_stems()
    augment(stems, np.random.default_rng(3))
    mixing.rescale(expected, np.random.default_rng(3))
    assert np.array_equal(stems, expected)


def test_peak_normalise_takes_the_larger_peak():
    mixture, sources = torch.tensor([[0.5, -0.25]]), torch.tensor([[[0.1, -2.0]]])
    peak_normalise(mixture, sources)
    assert torch.equal(mixture, torch.tensor([[0.25, -0.125]])) and torch.equal(sources, torch.tensor([[[0.05, -1.0]]]))
    mixture, sources = torch.full((1, 2), 1e-7), torch.zeros(1, 1, 2)
    peak_normalise(mixture, sources)
    assert torch.equal(mixture, torch.full((1, 2), 1e-7))


@pytest.mark.parametrize("shape", [(8, 3, 2, 5), (8, 2, 7), (1, 4, 2, 5)])
def test_remix_permutes_each_source_over_the_batch(shape):
    sources = torch.randn(shape)
    remixed = remix_batch(sources, torch.Generator().manual_seed(0))
    assert remixed.shape == shape
    orders = []
    for s in range(shape[1]):
        order = [next(k for k in range(shape[0]) if torch.equal(item, sources[k, s])) for item in remixed[:, s]]
        assert sorted(order) == list(range(shape[0]))
        orders.append(tuple(order))
    assert shape[0] == 1 or len(set(orders)) == shape[1]
    assert torch.equal(remixed, remix_batch(sources, torch.Generator().manual_seed(0)))
