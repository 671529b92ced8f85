"""Foreign RoFormer weights: every public format, settings told, inferred, asked for and refused; the published ones."""

import numpy as np
import pytest
import torch
import yaml
from helpers import SHARED, adapter_for
from roformers import ADAPTERS, BANDS, ORIGINAL, foreign_state, noise, worst

from asteroid_bsrnn.common.errors import UserError
from asteroid_bsrnn.models import BSRoFormer
from asteroid_bsrnn.models.family import adapters
from asteroid_bsrnn.models.roformer import FAMILY
from asteroid_bsrnn.models.roformer.bands import BANDS as PUBLISHED_BANDS
from asteroid_bsrnn.weights.pickles import read_pickled

CHECKPOINTS = SHARED / "golden" / "table1_checkpoints" if SHARED else None
FILES = {
    "msst_bs_roformer_ep_17_sdr_9.6568.ckpt": (
        "msst_bs_roformer",
        "bs_roformer",
        ("bass", "drums", "other", "vocals"),
        1e-5,
    ),
    "msst_bs_roformer_float16.ckpt": ("msst_bs_roformer", "bs_roformer", ("bass", "drums", "other", "vocals"), 2e-3),
    "msst_bs_roformer_wrapped_state_dict.ckpt": (
        "msst_bs_roformer",
        "bs_roformer",
        ("bass", "drums", "other", "vocals"),
        1e-5,
    ),
    "msst_bs_roformer_training.ckpt": ("msst_bs_roformer_training", "bs_roformer", ("vocals",), 1e-5),
    "msst_mel_band_roformer.ckpt": ("msst_mel_band_roformer", "mel_band_roformer", ("vocals",), 1e-5),
}


class _Tuples(yaml.SafeLoader):
    pass


_Tuples.add_constructor("tag:yaml.org,2002:python/tuple", lambda loader, node: tuple(loader.construct_sequence(node)))


@pytest.mark.skipif(not SHARED, reason="needs the reference material")
@pytest.mark.parametrize("file", FILES)
def test_public_formats(file):
    name, system, sources, tolerance = FILES[file]
    if not (CHECKPOINTS / file).exists():
        pytest.skip(f"{file} is not there")
    content = read_pickled(CHECKPOINTS / file)
    state = next((content[key] for key in ("state_dict", "model_state_dict") if key in content), content)
    document = yaml.load((CHECKPOINTS / f"{name}.yaml").read_text(), _Tuples)
    adapter = adapter_for(state)
    assert adapter.system == system
    model, stored = adapter.build(state, adapter.settings(document)), np.load(CHECKPOINTS / f"{name}.ref.npz")
    assert model.sources == sources and not model.training and model.segment == 6400
    with torch.no_grad():
        estimates = model(torch.tensor(stored["x"]))
    assert worst(estimates[..., : stored["y"].shape[-1]].reshape(stored["y"].shape), stored["y"]) < tolerance


@pytest.mark.parametrize("system", ADAPTERS)
def test_settings_that_the_weights_tell_may_be_missing(system):
    args = {**ORIGINAL, "mask_estimator_depth": 3, "num_stems": 2, "linear_transformer_depth": 1}
    adapter = ADAPTERS[system]
    state, wav = foreign_state(adapter, args), noise(1, 2, 300)
    told = adapter.build(
        state, {**args, **({"freqs_per_bands": BANDS} if system == "bs_roformer" else {"num_bands": 8})}
    )
    model = adapter.build(state, {"stft_hop_length": 32})
    assert (
        model.get_model_args() == told.get_model_args() and model.sources == ("s1", "s2") and model.sample_rate == 44100
    )
    with torch.no_grad():
        assert torch.equal(model(wav), told(wav))
    without = {key: weight for key, weight in state.items() if "rotary" not in key}
    assert adapter.build(without, {"stft_hop_length": 32}).get_model_args() == model.get_model_args()
    assert [other.system for other in adapters() if other.recognises(state)] == [system]


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(stft_hop_length=None), "the setting 'stft_hop_length' is missing"),
        (dict(use_pope=True), "use_pope"),
        (dict(skip_conection=True), "unknown setting 'skip_conection': did you mean 'skip_connection'"),
        (dict(sources=["vocals"]), "num_stems is 2, but the settings name 1 sources"),
        (dict(dim=16), "'band_split.to_features.0.1.weight' has the shape .* settings ask for"),
        (dict(depth=3), "lack 'layers.2.0.layers.0.0.norm.gamma'"),
        (dict(dim_freqs_in=1025, stft_n_fft=128), "dim_freqs_in 1025 does not fit stft_n_fft 128"),
    ],
)
def test_settings_that_do_not_fit_are_refused(change, message):
    args = {**ORIGINAL, "num_stems": 2}
    with pytest.raises(UserError, match=message):
        ADAPTERS["bs_roformer"].build(foreign_state(ADAPTERS["bs_roformer"], args), {**args, **change})


def test_mel_bands_that_no_window_gives_are_asked_for():
    args = {**ORIGINAL, "num_bands": 8, "sample_rate": 8000}
    state = foreign_state(ADAPTERS["mel_band_roformer"], args)
    for missing in ("stft_n_fft", "stereo"):
        with pytest.raises(UserError, match=f"the setting '{missing}' is missing"):
            ADAPTERS["mel_band_roformer"].config(state, {**args, missing: None})


def test_weights_that_do_not_fit_are_refused():
    adapter = ADAPTERS["bs_roformer"]
    state = foreign_state(adapter, ORIGINAL)
    with pytest.raises(UserError, match="has no weight 'extra'"):
        adapter.build({**state, "extra": torch.zeros(1)}, ORIGINAL)
    with pytest.raises(UserError, match="rotary frequencies"):
        adapter.build({**state, "layers.0.0.layers.0.0.rotary_embed.freqs": torch.ones(2)}, ORIGINAL)
    with pytest.raises(UserError, match="no weights of a MelBandRoFormer"):
        ADAPTERS["mel_band_roformer"].build(state, ORIGINAL)


KEYS = "system model address size sha256 config_address settings sources data licence scores inference note".split()


def test_published_weights_are_described():
    entries = yaml.safe_load(FAMILY.published.read_text())
    for name, entry in entries.items():
        assert [key for key in entry if key != "preset"] == KEYS, name
        assert ADAPTERS[entry["system"]].model.__name__ == entry["model"]
        parts = [[part] if isinstance(part, str) else part for part in entry["address"]]
        assert parts and all(address.startswith("https://") for part in parts for address in part)
        assert all(set(score) == {"metric", "values", "source"} for score in entry["scores"])
    settings = {**entries["bs_roformer_musdb"]["settings"], "sources": entries["bs_roformer_musdb"]["sources"]}
    size = dict(n_repeats=8, dim_head=64, mask_ratio=2, segment=11.0, bands=list(PUBLISHED_BANDS), win_length=2048)
    kind = dict(gate=True, final_norm="shared", zero_dc=True, attn_dropout=0.0, ff_dropout=0.0)
    with torch.device("meta"):
        model = BSRoFormer(sources=["drums", "bass", "other", "vocals"], **size, **kind)
    assert ADAPTERS["bs_roformer"].config(model.state_dict(), settings) == model.get_model_args()
