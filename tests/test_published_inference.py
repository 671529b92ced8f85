"""Published models are run as their publishers ran them, presets mean published models, and standardising is undone."""

from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch

from asteroid_bsrnn.cli.main import main
from asteroid_bsrnn.common.errors import UserError
from asteroid_bsrnn.models.base import MusicModel
from asteroid_bsrnn.separation import Separator, separate, separate_file
from asteroid_bsrnn.separation.plans import make_plan
from asteroid_bsrnn.separation.whole_song import mono_mix_level, mono_mix_level_of
from asteroid_bsrnn.weights import catalogue


class Squashed(MusicModel):
    """Two sources, of which the first depends on the level of the recording."""

    def __init__(self):
        super().__init__(SimpleNamespace(sources=("a", "b"), sample_rate=44100, in_channels=2))

    def separate(self, wav_BCL):
        return torch.stack([torch.tanh(wav_BCL), wav_BCL], dim=1)


def noise(length=30000, seed=0):
    return 0.1 * torch.randn(2, length, generator=torch.Generator().manual_seed(seed)) + 0.02


@pytest.mark.parametrize("entry", catalogue.entries().values(), ids=lambda entry: entry.name)
def test_every_published_inference_is_a_plan(entry):
    inference = {key: value for key, value in entry.inference.items() if key != "standardise"}
    plan = make_plan(44100, **inference)
    assert not inference or plan.span(0)[1] == round(44100 * inference["segment"])


def test_presets_mean_public_models():
    presets = catalogue.presets()
    assert set(presets) == {"best", "fast", "vocals"}
    assert all(entry.public and catalogue.find(word) is entry for word, entry in presets.items())
    assert set(presets["best"].sources) == set(presets["fast"].sources) == {"vocals", "bass", "drums", "other"}
    assert presets["vocals"].sources == ("vocals",)
    with pytest.raises(UserError, match="known are .*fast"):
        catalogue.find("fastest")


def test_models_lists_presets(capsys):
    main(["models"])
    assert "--model fast" in capsys.readouterr().out


def test_a_named_model_is_run_as_published_unless_something_else_is_asked_for(monkeypatch):
    published = {"scheme": "ola", "segment": 0.2, "overlap": 0.5, "window": "triang", "standardise": True}
    entry = catalogue.Entry("squashed", "none", inference=published)
    monkeypatch.setattr(catalogue, "entries", lambda: {"squashed": entry})
    monkeypatch.setattr("asteroid_bsrnn.separation.ensemble.load_model", lambda name: Squashed())
    named, plain = Separator("squashed"), Separator(Squashed())
    own = {key: value for key, value in published.items() if key != "standardise"}
    assert named.how() == (True, own) and named.how(segment=3.0) == (True, {"segment": 3.0})
    assert named.how(standardise=False, hop=None) == (False, own)
    assert plain.how() == (False, {}) and Separator(["squashed", Squashed()]).how() == (False, {})
    wav = noise()
    assert torch.equal(separate(named, wav, 44100), separate(plain, wav, 44100, **published))
    assert not torch.allclose(separate(named, wav, 44100)[0], separate(plain, wav, 44100)[0], atol=1e-3)


def test_standardising_makes_estimates_follow_the_level_and_is_undone(tmp_path):
    separator, wav = Separator(Squashed()), noise()
    quiet, loud = (separate(separator, gain * wav, 44100, standardise=True) for gain in (1.0, 4.0))
    assert torch.allclose(4 * quiet, loud, atol=1e-5) and torch.allclose(quiet[1], wav, atol=1e-6)
    assert not torch.allclose(4 * separate(separator, wav, 44100)[0], separate(separator, 4 * wav, 44100)[0], atol=1e-3)
    soundfile.write(tmp_path / "song.wav", wav.T.numpy(), 44100, subtype="FLOAT")
    done = separate_file(separator, tmp_path / "song.wav", tmp_path / "stems", standardise=True)
    written = np.stack([soundfile.read(done["stems"][name], dtype="float32")[0].T for name in ("a", "b")])
    assert np.allclose(written, quiet, atol=1e-6)


@pytest.mark.parametrize("cuts", [(1,), (100, 7000), (29999,)])
def test_level_of_blocks_is_that_of_the_whole(cuts):
    wav = noise()
    mean, std = mono_mix_level(wav)
    level = mono_mix_level_of(torch.tensor_split(wav, cuts, dim=-1))
    assert level == pytest.approx((float(mean), float(std)), rel=1e-5)
    assert mono_mix_level_of([torch.zeros(2, 5)]) == (0.0, 1.0) and mono_mix_level_of([torch.ones(1, 1)]) == (1.0, 1.0)


def test_the_level_does_not_depend_on_the_number_of_threads():
    usual, found = torch.get_num_threads(), set()
    blocks = torch.randn(2, 300_000, generator=torch.Generator().manual_seed(0)).split(100_000, dim=-1)
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            found.add(mono_mix_level_of(blocks))
    finally:
        torch.set_num_threads(usual)
    assert len(found) == 1
