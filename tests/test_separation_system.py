"""Systems of several networks against the formulas that they stand for."""

import copy
import json
import pickle
from types import SimpleNamespace

import pytest
import torch
from asteroid.models import BaseModel
from helpers import ROOT

from asteroid_bsrnn.models import BSRNN, ConvTDFNet, Mixer, SeparationSystem, StemSeparator, TFCTDFv3
from asteroid_bsrnn.models.base import MusicModel
from asteroid_bsrnn.recipe.configuration import conf_of, load_conf
from asteroid_bsrnn.recipe.music_stages import whole_songs
from asteroid_bsrnn.separation import Separator, separate
from asteroid_bsrnn.separation.segments import apply_segments

TINY = {"n_fft": 64, "n_hop": 32, "dim_f": 32, "dim_t": 16}
RATE = {"sample_rate": 8000}
NAMES = ("bass", "drums", "other", "vocals")


def net(*sources, seed=0):
    torch.manual_seed(seed)
    sizes = {"n_scales": 1, "n_blocks": 1, "n_chan": 4, "growth": 2, "n_subbands": 2}
    return TFCTDFv3(sources=sources, **TINY, **sizes, **RATE).eval()


def noise(length=2000, seed=1):
    return torch.randn(2, 2, length, generator=torch.Generator().manual_seed(seed))


def stem(model, wav, name):
    return model(wav)[:, list(model.sources).index(name)]


def same_after_a_round_trip(system, tmp_path):
    path = tmp_path / "system.pth"
    torch.save(system.serialize(), path)
    again = BaseModel.from_pretrained(str(path)).eval()
    assert type(again) is SeparationSystem and again.get_model_args() == system.get_model_args()
    json.dumps(system.get_model_args())
    with torch.no_grad():
        assert torch.equal(again(noise()), system(noise()))


@torch.no_grad()
def test_the_second_network_reads_what_the_first_leaves(tmp_path):
    """PResUNet: bass, drums and other from the mixture less the vocals."""
    first, second, wav = net("vocals"), net("bass", "drums", "other", seed=1), noise()
    system = SeparationSystem([first, second], less=[None, ["vocals"]]).eval()
    vocals = stem(first, wav, "vocals")
    expected = torch.cat([vocals[:, None], second(wav - vocals)], 1)
    torch.testing.assert_close(system(wav), expected)
    assert system.sources == ("vocals", "bass", "drums", "other")
    torch.testing.assert_close(system(wav, sources=["drums"])[:, 0], expected[:, 2])
    same_after_a_round_trip(system, tmp_path)


@torch.no_grad()
def test_a_bag_has_a_weight_for_each_member_and_source(tmp_path):
    """Hybrid Demucs: the mean over members of each source, weights divided by their sum; members in any order of sources."""
    members = [net(*NAMES), net(*NAMES[::-1], seed=1), net("drums", "vocals", seed=2)]
    weights = [[1, 1, 0, 0.5], [0, 3, 1, 1], [0, 2, 0, 0]]
    system, wav = SeparationSystem(members, NAMES, weights=weights).eval(), noise()
    outputs = [[stem(member, wav, name) if name in member.sources else 0 for name in NAMES] for member in members]
    for place, _name in enumerate(NAMES):
        total = sum(row[place] for row in weights)
        expected = sum(row[place] * out[place] for row, out in zip(weights, outputs)) / total
        torch.testing.assert_close(system(wav)[:, place], expected)
    same_after_a_round_trip(system, tmp_path)
    plain = SeparationSystem(members[:2], NAMES).eval()
    torch.testing.assert_close(plain(wav)[:, 1], (outputs[0][1] + outputs[1][1]) / 2)


@torch.no_grad()
def test_mixer_and_blend(tmp_path):
    """KUIELab: a matrix on the estimates and the mixture, then a weighted mean with another network."""
    sizes = {"n_levels": 1, "n_convs": 1, "growth": 4, "bottleneck": 2}
    singles = [ConvTDFNet(sources=[name], **TINY, **sizes, **RATE).eval() for name in NAMES]
    mixer, other, wav = Mixer(sources=NAMES, **RATE), net(*NAMES[::-1]), noise()
    torch.nn.init.normal_(mixer.mixing_layer.weight)
    inner = SeparationSystem([StemSeparator(singles)], mixer=mixer)
    shares = [0.5, 0.5, 0.7, 0.9]
    system = SeparationSystem([inner, other], NAMES, weights=[shares, [1 - share for share in shares]]).eval()
    stacked = torch.cat([single(wav)[:, 0] for single in singles] + [wav], 1)
    mixed = torch.einsum("ij,bjt->bit", mixer.mixing_layer.weight, stacked).unflatten(1, (4, 2))
    for place, (name, share) in enumerate(zip(NAMES, shares)):
        expected = share * mixed[:, place] + (1 - share) * stem(other, wav, name)
        torch.testing.assert_close(system(wav)[:, place], expected, atol=1e-5, rtol=1e-5)
    same_after_a_round_trip(system, tmp_path)


def kuielab(mixer, singles, other):
    """The blend as its entry says it, with segments for these tiny networks; each member cuts for itself."""
    trims = [{"scheme": "trim", "segment": 0.06, "overlap": overlap} for overlap in (0.1, 0.2, 0.3, 0.4)]
    inner = SeparationSystem(singles, NAMES, mixer=mixer, plans=trims)
    shares = [0.5, 0.5, 0.7, 0.9]
    ola = {"scheme": "ola", "segment": 0.1, "overlap": 0.5, "window": "triang", "standardise": "channels"}
    weights = [shares, [1 - share for share in shares]]
    return SeparationSystem([inner, other], NAMES, weights=weights, plans=[None, ola]).eval(), trims, ola


@torch.no_grad()
@pytest.mark.parametrize("length", [800, 3001, 5000])
def test_each_member_cuts_the_recording_in_its_own_way(length, tmp_path):
    sizes = {"n_levels": 1, "n_convs": 1, "growth": 4, "bottleneck": 2}
    singles = [ConvTDFNet(sources=[name], **TINY, **sizes, **RATE).eval() for name in NAMES]
    mixer, other = Mixer(sources=NAMES, **RATE), net(*NAMES[::-1])
    torch.nn.init.normal_(mixer.mixing_layer.weight)
    system, trims, ola = kuielab(mixer, singles, other)
    wav = 0.1 * noise(length)[0] + 0.2
    stacked = [apply_segments(single, wav, 8000, **plan)[0] for single, plan in zip(singles, trims)]
    mixed = torch.einsum("ij,jt->it", mixer.mixing_layer.weight, torch.cat([*stacked, wav])).unflatten(0, (4, 2))
    mean, std = wav.mean(), wav.std() if wav.unique().numel() > 1 else torch.ones(())
    plain = {key: value for key, value in ola.items() if key != "standardise"}
    level = apply_segments(other, (wav - mean) / std, 8000, **plain).flip(0) * std + mean
    shares = torch.tensor([0.5, 0.5, 0.7, 0.9])[:, None, None]
    expected = shares * mixed + (1 - shares) * level
    found = separate(system, wav, 8000, scheme="fader", segment=600.0, overlap=0.02)
    torch.testing.assert_close(found, expected, atol=1e-4 * float(expected.abs().max()), rtol=1e-4)
    torch.save(system.serialize(), tmp_path / "system.pth")
    again = BaseModel.from_pretrained(str(tmp_path / "system.pth"))
    assert again.get_model_args() == system.get_model_args()
    torch.testing.assert_close(separate(again, wav, 8000, scheme="whole"), found)
    torch.testing.assert_close(separate(copy.deepcopy(system), wav, 8000, scheme="whole"), found)
    there = pickle.loads(pickle.dumps(Separator(system)))
    torch.testing.assert_close(separate(there, wav, 8000, scheme="whole"), found)


@torch.no_grad()
def test_a_recipe_may_give_each_source_an_inference_of_its_own():
    conf = load_conf(ROOT / "recipes" / "musdb18hq", "convtdfnet")
    sizes = {"n_levels": 1, "n_convs": 1, "growth": 4, "bottleneck": 2}
    members = [ConvTDFNet(sources=[name], **TINY, **sizes, **RATE).eval() for name in conf["task"]["sources"]]
    wav, model = noise(4000)[0], StemSeparator(members).eval()
    conf["inference"] |= {"segment": 0.1, "batch": 3}
    cut, how = whole_songs(conf, model)
    found = apply_segments(cut, wav, 8000, **how)
    for member, name, stem_CL in zip(members, conf["task"]["sources"], found):
        own = conf_of(conf, name)["inference"]
        torch.testing.assert_close(stem_CL, apply_segments(member, wav, 8000, **own)[0])
    assert not torch.allclose(found[0], apply_segments(model, wav, 8000, **conf["inference"])[0], atol=1e-5)
    assert whole_songs({**conf, "per_source": {}}, model) == (model, conf["inference"])


@torch.no_grad()
def test_what_is_standardised_for_one_member_follows_the_level():
    """The network itself does not."""

    class Squashed(MusicModel):
        def __init__(self):
            super().__init__(SimpleNamespace(sources=("a",), sample_rate=8000, in_channels=2))

        def separate(self, wav_BCL):
            return torch.tanh(wav_BCL)[:, None]

    for standardise, follows in (("channels", True), (False, False)):
        plan = {"scheme": "ola", "segment": 0.1, "overlap": 0.5, "standardise": standardise}
        separator, wav = Separator(SeparationSystem([Squashed()], plans=[plan]), device="cpu"), noise()[0]
        quiet, loud = (separate(separator, gain * wav, 8000, scheme="whole") for gain in (1, 8))
        assert torch.allclose(8 * quiet, loud, atol=1e-4) == follows
    with pytest.raises(ValueError, match="unknown scheme 'sideways'"):
        Separator(SeparationSystem([Squashed()], plans=[{"scheme": "sideways"}]))


@torch.no_grad()
def test_half_of_the_residual_goes_to_other(tmp_path):
    model, wav = net(*NAMES), noise()
    system = SeparationSystem([model], residual={"other": 0.5}).eval()
    expected = model(wav)
    rest = wav - expected.sum(1)
    expected[:, 2] += 0.5 * rest
    torch.testing.assert_close(system(wav), expected)
    torch.testing.assert_close(system(wav, sources=["other"])[:, 0], expected[:, 2])
    same_after_a_round_trip(system, tmp_path)


def test_members_that_nothing_needs_are_not_run():
    ran = []
    members = [net("vocals"), net("bass", "drums", "other"), net("vocals", "other", seed=2)]
    for index, member in enumerate(members):
        member.register_forward_hook(lambda *_, index=index: ran.append(index))
    less = [None, ["vocals"], None]
    system = SeparationSystem(
        members, ("vocals", "bass", "drums", "other"), less=less, weights=[[1] * 4, [1] * 4, [0, 0, 0, 1]]
    )
    for wanted, expected in ((["vocals"], [0]), (["bass"], [0, 1]), (["other"], [0, 1, 2])):
        ran.clear()
        system.eval()(noise(), sources=wanted)
        assert ran == expected


def test_a_separator_takes_a_system_as_a_model():
    system = SeparationSystem([net("vocals"), net("other", seed=1)], less=[None, ["vocals"]]).eval()
    separator = Separator(system, device="cpu")
    wav = noise()
    with torch.no_grad():
        torch.testing.assert_close(separator(wav), system(wav))
    assert separator.sources == ("vocals", "other")


@pytest.mark.parametrize(
    "options, words",
    [
        ({"plans": [None]}, "plans needs an entry for each of 2 members"),
        ({"less": [None]}, "less needs an entry for each of 2 members"),
        ({"less": [["vocals"], None]}, "no earlier member estimates 'vocals'"),
        ({"weights": [[1, 1]]}, "2 rows of 2 numbers"),
        ({"weights": [[1, 1], [1, -1]]}, "at least 0"),
        ({"weights": [[0, 1], [0, 1]]}, "vocals has none"),
        ({"mixer": {"model_name": "Mixer", "sources": ["bass", "drums"], **RATE}}, "the mixer is of bass, drums"),
        ({"residual": {"drums": 0.5}}, "unknown source 'drums'"),
    ],
)
def test_what_does_not_fit(options, words):
    with pytest.raises(ValueError, match=words):
        SeparationSystem([net("vocals"), net("other", "vocals")], ("vocals", "other"), **options)
    with pytest.raises(ValueError, match="a SeparationSystem needs at least one member"):
        SeparationSystem([])


def test_a_system_of_bsrnns_is_their_separator():
    members = [BSRNN(sources=[name], feature_dim=4, n_repeats=1) for name in ("vocals", "bass")]
    wav = noise(4000)
    with torch.no_grad():
        together = SeparationSystem(members).eval()(wav)
        torch.testing.assert_close(together, StemSeparator(members).eval()(wav))
