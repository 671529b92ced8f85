"""Keys that other systems' protocols need: levels, gates, backgrounds, trimmed segments, shifts, settings of one source."""

import engine_toys
import numpy as np
import pytest
import soundfile
import torch
from helpers import ROOT
from music_corpus import SOURCES, write_corpus
from torch import nn

from asteroid_bsrnn import losses
from asteroid_bsrnn.common.errors import UserError
from asteroid_bsrnn.data import MUSDB18HQ
from asteroid_bsrnn.data.corpus import get_corpus
from asteroid_bsrnn.data.music.augment import build_augmentations
from asteroid_bsrnn.data.music.levels import loudness, read_levels, write_levels
from asteroid_bsrnn.data.music.music_section import MusicData
from asteroid_bsrnn.experiment.run import NEUTRAL, compare, flatten
from asteroid_bsrnn.models.base import SeparationModel
from asteroid_bsrnn.recipe.building import build_model
from asteroid_bsrnn.recipe.configuration import conf_of, experiments, load_conf, merge
from asteroid_bsrnn.separation.segments import apply_segments
from asteroid_bsrnn.training.fit import fit
from asteroid_bsrnn.training.optimization import make_optim
from asteroid_bsrnn.training.systems import MusicSystem

RECIPE = ROOT / "recipes" / "musdb18hq"
PLAIN = {"segment": 0.1, "n_items": 20, "valid_tracks": ["Valid A"], "augmentations": (), "peak_normalise": False,
         "pairing": "fresh"}  # fmt: skip


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("corpus") / "musdb18hq", level=0.2)


def test_old_runs_go_on_with_the_new_keys(tmp_path):
    """Every key that came later is neutral as it stands in conf.yml, and none is forgotten."""
    now = load_conf(RECIPE)
    later = [key for key in NEUTRAL if key in flatten(now)]
    assert {"data.standardise", "inference.shifts", "optim.warmup_steps", "task.less"} <= set(later)
    old = {
        section: {key: value for key, value in keys.items() if f"{section}.{key}" not in NEUTRAL}
        for section, keys in now.items()
    }
    old.pop("per_source")
    assert compare(old, now) == {}
    for key, value in (("data.standardise", True), ("inference.shift", 1.0), ("optim.warmup_steps", 5)):
        section, _, name = key.partition(".")
        with pytest.raises(UserError, match=key):
            compare(old, merge(now, {section: {name: value}}, "here"))


def test_levels_are_those_of_the_mono_mix(corpus, tmp_path):
    tracks = get_corpus("musdb18hq").tracks(corpus, "train", valid_tracks=["Valid A"])
    path = write_levels(tmp_path / "levels.csv", tracks, get_corpus("musdb18hq"))
    before = path.read_bytes()
    for track in tracks:
        files = [corpus / "train" / track.name / f"{source}.wav" for source in SOURCES]
        mono = sum(soundfile.read(file)[0] for file in files).mean(1)
        np.testing.assert_allclose(read_levels(path)[track.name], (mono.mean(), mono.std(ddof=1)), rtol=1e-5)
    write_levels(path, tracks, get_corpus("musdb18hq"))
    assert path.read_bytes() == before


def test_chunks_are_standardised_by_their_own_track(corpus, tmp_path):
    path = tmp_path / "levels.csv"
    write_levels(
        path, get_corpus("musdb18hq").tracks(corpus, "train", valid_tracks=["Valid A"]), get_corpus("musdb18hq")
    )
    plain, standard = (MUSDB18HQ(corpus, targets=SOURCES, **PLAIN, levels=levels) for levels in (None, path))
    levels = list(read_levels(path).values())
    for index in range(5):
        before, after = plain[(0, index)][1], standard[(0, index)][1]
        for stem in range(4):
            errors = [float((after[stem] - (before[stem] - mean) / std).abs().max()) for mean, std in levels]
            assert min(errors) < 1e-5
        torch.testing.assert_close(standard[(0, index)][0], after.sum(0))
    with pytest.raises(UserError, match="stage 1"):
        MUSDB18HQ(corpus, **PLAIN, levels=tmp_path / "none.csv")


def test_stage_1_writes_the_levels_once(corpus, tmp_path):
    data = MusicData(
        root=str(corpus), lists=str(tmp_path), sad=None, standardise=True, valid_tracks=["Valid A"], segment=0.1
    )
    assert data.index() == data.list_paths == [tmp_path / "musdb18hq" / "levels.csv"]
    data.train_set()[(0, 0)]
    assert MusicData(root=str(corpus), lists=str(tmp_path), sad=None).index() == []


def test_quiet_chunks_are_drawn_again(tmp_path):
    """Half of each song is silent: without a gate chunks of it come, with one they do not; as loud as nothing, never again."""
    for name in ("Song 0", "Valid A"):
        folder = tmp_path / "train" / name
        folder.mkdir(parents=True)
        for stem, source in enumerate(SOURCES):
            wav = np.random.default_rng(stem).uniform(-0.5, 0.5, (44100, 2))
            wav[:22050] = 0
            soundfile.write(folder / f"{source}.wav", wav, 44100)
    loud = [MUSDB18HQ(tmp_path, targets=SOURCES, **PLAIN, gate_db=gate, gate_level=level)
            for gate, level in ((None, "rms"), (-30.0, "rms"), (-30.0, "mean_abs"), (3.0, "rms"))]  # fmt: skip
    least = [min(loudness(stem.numpy(), "rms") for index in range(20) for stem in one[(0, index)][1]) for one in loud]
    assert least[0] == -np.inf and least[1] >= -30 and least[2] > -30
    assert len(loud[3][(0, 0)]) == 2  # never loud enough: the last draw counts
    assert loudness(np.full((2, 10), 0.1, np.float32), "rms") == pytest.approx(-20)
    with pytest.raises(ValueError, match="unknown gate_level"):
        MUSDB18HQ(tmp_path, **PLAIN, gate_level="peak")


def test_sign_flip_and_one_background():
    stems = np.arange(1, 5, dtype=np.float32)[:, None, None] * np.ones((4, 2, 8), np.float32)
    (flip,), (background,) = build_augmentations(["sign_flip"]), build_augmentations(["one_background"], target=1)
    seen = set()
    for seed in range(60):
        out = stems.copy()
        flip(out, np.random.default_rng(seed))
        seen |= set(np.sign(out[:, 0, 0] * [1, 2, 3, 4]).tolist())
        assert np.array_equal(np.abs(out), stems)
    assert seen == {-1.0, 1.0}
    kept = set()
    for seed in range(60):
        out = stems.copy()
        background(out, np.random.default_rng(seed))
        assert np.array_equal(out[1], stems[1])
        kept.add(tuple(np.flatnonzero(out[:, 0, 0]).tolist()))
    assert kept == {(0, 1), (1, 2), (1, 3), (0, 1, 2, 3)}
    with pytest.raises(ValueError, match="'one_background' needs a single target"):
        build_augmentations(["one_background"])


@pytest.mark.parametrize("length", [1, 7, 40, 41, 173, 400])
def test_trimmed_segments_keep_the_middle(length):
    """A model that spoils the ends of what it is given leaves no trace; every sample comes from one segment's inner part."""
    wav = torch.randn(2, length)

    def spoils(segments):
        out = segments.clone()
        if out.shape[-1] > 10:
            out[..., :5] = out[..., -5:] = 9
        return out[:, None]

    out = apply_segments(spoils, wav, 10, scheme="trim", segment=4.0, overlap=0.25)[0]
    torch.testing.assert_close(out, wav)


def test_standardised_songs_come_back_at_their_level():
    wav, heard = 0.03 * torch.randn(2, 500) + 0.01, []

    def forward(segments):
        heard.append(segments)
        return segments[:, None] * 0.5

    out = apply_segments(forward, wav, 100, scheme="whole", standardise=True)[0]
    mono = heard[0][0].mean(0)
    assert abs(mono.mean()) < 1e-5 and mono.std() == pytest.approx(1, abs=1e-5)
    mean = wav.mean()
    torch.testing.assert_close(out, 0.5 * (wav - mean) + mean)
    silent = apply_segments(forward, torch.zeros(2, 50), 100, scheme="whole", standardise=True)
    assert torch.equal(silent, torch.zeros(1, 2, 50))


def test_shifts_are_random_delays_from_one_seed():
    wav, places = torch.randn(1, 300), []

    def forward(segments):
        """Its error depends on where the segment lies."""
        places.append(int((segments[0, 0] != 0).nonzero()[0]))
        return segments[:, None] + torch.linspace(0, 1, segments.shape[-1])

    options = {"scheme": "whole", "shifts": 3, "shift": 0.5}
    out = apply_segments(forward, wav, 100, **options)
    assert len(set(places)) > 1 and max(places) <= 50
    expected = [torch.linspace(0, 1, 300 + delay)[delay:] for delay in places]
    torch.testing.assert_close(out[0, 0], wav[0] + torch.stack(expected).mean(0))
    assert torch.equal(apply_segments(forward, wav, 100, **options), out)
    assert not torch.equal(apply_segments(forward, wav, 100, **options, shift_seed=1), out)


class Halved(SeparationModel):
    """Everything at half its level, and the level that it hears."""

    def __init__(self):
        super().__init__(100, 2)
        self.sources, self.heard = ("vocals",), []

    def forward(self, wav):
        self.heard.append(float(wav.mean(1).std()))
        return wav[:, None] / 2


def test_validation_standardises_by_the_mixture():
    model = Halved()
    inference = {"scheme": "whole", "standardise": True}
    system = MusicSystem(model, None, nn.L1Loss(), None, config={"inference": inference})
    sources = 0.02 * torch.randn(1, 2, 400)
    scores = system.score(sources[0] + 0.01 * torch.randn(2, 400), sources)
    assert model.heard == [pytest.approx(1, abs=1e-4)] and scores["val_usdr"] > 0


def test_losses_are_their_formulas():
    estimate, target = torch.randn(2, 3, 2, 9000), torch.randn(2, 3, 2, 9000)
    loss = losses.get("SpectralRMSELoss")()
    window = torch.ones(4096)
    spectra = torch.stft((estimate - target).reshape(-1, 9000), 4096, 1024, window=window, return_complex=True) / 64
    expected = spectra.abs().square().reshape(6, -1).mean(1).sqrt().mean()
    torch.testing.assert_close(loss(estimate, target), expected)
    assert loss(target, target).isfinite()

    def part(a, b):
        hann = torch.hann_window(2048)
        a_spec, b_spec = (
            torch.stft(x.reshape(-1, 9000), 2048, 441, window=hann, return_complex=True).abs() for x in (a, b)
        )
        return 0.85 * (a - b).abs().mean() + 0.15 * (a_spec - b_spec).abs().mean() / 2048**0.5

    expected = sum(part(estimate[:, source], target[:, source]) for source in range(3))
    without = losses.get("WaveMagnitudeLoss")(of_sum=False)(estimate, target)
    torch.testing.assert_close(without, expected)
    whole = losses.get("WaveMagnitudeLoss")()(estimate, target)
    torch.testing.assert_close(whole, expected + part(estimate.sum(1), target.sum(1)))
    silent = torch.zeros(1, 1, 2, 4000, requires_grad=True)
    losses.get("WaveMagnitudeLoss")()(silent, torch.zeros(1, 1, 2, 4000)).backward()
    assert silent.grad.isfinite().all()
    for name in ("SpectralRMSELoss", "WaveMagnitudeLoss"):
        with pytest.raises(ValueError, match="differ in shape"):
            losses.get(name)()(estimate, target[:1])


class StopsAt(losses.WaveMagnitudeLoss):
    """Notes what it is asked for, and ends the run at a training step; ``None``: at none."""

    def __init__(self, stop, **arguments):
        super().__init__(n_fft=64, hop=16, **arguments)
        self.stop, self.with_sum = stop, []

    def error(self, estimate, target):
        self.with_sum[-1] += estimate.dim() == 3
        return super().error(estimate, target)

    def forward(self, estimates, targets):
        if self.training and self.steps_done == self.stop:
            raise KeyboardInterrupt
        self.with_sum.append(0)
        loss = super().forward(estimates, targets)
        assert self.training or self.with_sum[-1], "validation has the term always"
        return loss


def trained(folder, loss, epochs=2):
    made = engine_toys.conf(monitor="loss", checkpoint_every=1, epochs=epochs)
    model = engine_toys.toy(made, sources=("vocals", "bass"))
    sets = engine_toys.Draws(n_src=2), engine_toys.Draws(3, n_src=2, time=500)
    try:
        fit(model, *sets, loss, made, folder)
    except KeyboardInterrupt:
        pass
    return {name: value.clone() for name, value in model.state_dict().items()}


@pytest.mark.parametrize("stop", [3, 4, 5])
def test_the_term_of_the_sum_from_a_step_on_and_exact_resume_across_it(tmp_path, stop):
    whole = StopsAt(None, of_sum_after=4)
    expected = trained(tmp_path / "whole", whole)
    asked = whole.with_sum
    assert asked[:8] == [0] * 8 and all(asked[8:])  # two micro-batches to a step
    first, second = StopsAt(stop, of_sum_after=4), StopsAt(None, of_sum_after=4)
    trained(tmp_path / "cut", first)
    assert engine_toys.same_weights(trained(tmp_path / "cut", second), expected)
    assert not engine_toys.same_weights(trained(tmp_path / "always", StopsAt(None)), expected)
    with pytest.raises(ValueError, match="of_sum_after must be a number of steps, got -1"):
        losses.WaveMagnitudeLoss(of_sum_after=-1)


def test_amsgrad_reaches_adam_and_is_refused_elsewhere():
    weights = [nn.Parameter(torch.zeros(1))]
    assert make_optim(weights, 1, amsgrad=True)[0].defaults["amsgrad"]
    with pytest.raises(UserError, match="optim.amsgrad must be false: sgd"):
        make_optim(weights, 1, optimizer="sgd", amsgrad=True)


def test_a_source_has_settings_of_its_own():
    conf = load_conf(
        RECIPE,
        overrides={"model": {"feature_dim": 8}, "per_source": {"bass": {"model.feature_dim": 16, "optim.lr": 1}}},
    )
    assert conf_of(conf, "bass")["model"]["feature_dim"] == 16 and conf_of(conf, "bass")["optim"]["lr"] == 1.0
    assert conf_of(conf, "vocals") is conf
    assert conf_of(conf_of(conf, "bass"), "bass") == conf_of(conf, "bass")
    small = {**conf["model"], "n_repeats": 1}
    whole = build_model({**conf, "model": small})
    assert [member.feature_dim for member in whole.networks] == [8, 16, 8, 8]
    later = merge(conf, {"model": {"feature_dim": 4}}, "overlay")  # what is said later is said for all
    assert later["per_source"] == {"bass": {"optim.lr": 1}} and conf_of(later, "bass")["model"]["feature_dim"] == 4
    other = merge(conf, {"model": {"model_name": "DTTNet"}}, "overlay")
    assert other["per_source"] == {"bass": {"optim.lr": 1}}


@pytest.mark.parametrize(
    "per_source, words",
    [
        ({"base": {"optim.lr": 1.0}}, "unknown source 'base'.*did you mean 'bass'"),
        ({"bass": {"optim.lrr": 1.0}}, "unknown key 'lrr'"),
        ({"bass": {"optim.lr": "fast"}}, "optim.lr"),
        ({"bass": {"lr": 1.0}}, "expected section.key"),
        ({"bass": 3}, "needs entries such as"),
    ],
)
def test_settings_that_no_source_can_have(per_source, words):
    with pytest.raises(UserError, match=words):
        load_conf(RECIPE, overrides={"per_source": per_source})


def test_networks_that_read_what_others_leave_are_joined_so():
    conf = load_conf(RECIPE, "presunet", demo=True)
    assert [name for name, _ in experiments(conf)] == ["vocals", "bass+drums+other"]
    system = build_model(conf)
    assert system.less == [None, ["vocals"]] and system.sources == SOURCES
    with pytest.raises(UserError, match="unknown model 'bass' in task.less"):
        build_model(merge(conf, {"task": {"less": {"bass": ["vocals"]}}}, "here"))


def test_protocols_that_a_recipe_lacks():
    with pytest.raises(UserError, match="has no protocol 'controlled'"):
        load_conf(ROOT / "recipes" / "libri2mix", protocol="controlled")
