"""Every configuration of the two speech recipes: found, counted, no key that nobody reads, trained for two steps, evaluated."""

import dataclasses
import inspect
import json
import re

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import ROOT
from speech_corpora import librispeech, wsj0

from asteroid_bsrnn import losses, models
from asteroid_bsrnn.common.errors import UserError
from asteroid_bsrnn.data.speech.speech_section import SpeechData, speech_data
from asteroid_bsrnn.experiment.energy import make_meter
from asteroid_bsrnn.models.base import count_params
from asteroid_bsrnn.recipe import speech_stages as speech_recipe
from asteroid_bsrnn.recipe.building import build_model
from asteroid_bsrnn.recipe.configuration import load_conf, read_yaml
from asteroid_bsrnn.recipe.variants import variant_file, variant_names
from asteroid_bsrnn.report.published import by_variant, load
from asteroid_bsrnn.training.feed.sampling import make_loader
from asteroid_bsrnn.training.optimization import make_optim
from asteroid_bsrnn.training.options import TrainingOptions

RECIPES = ("libri2mix", "wsj0-2mix")
COUNTS = {
    "afrcnn_16": 6134793, "afrcnn_8": 6134793, "afrcnn_4": 6134793, "afrcnn_sum_16": 1739785, "sfrcnn": 8246285,
    "dprnn": 3653121, "dprnn_k2": 2608065, "s_dprnn": 3493013, "a_dprnn": 2918279, "sandglasset": 2293249,
    "a_sandglasset": 1327879, "upit_blstm": 46387970, "upit_blstm_st": 92775940, "dpcl": 10629960, "chimera": 32866038,
    "conv_tasnet": 5050545, "sudormrf_1x": 2649732, "sepreformer_t": 3711488, "sepreformer_s": 4527616,
    "sepreformer_b": 14147840, "sepreformer_m": 17307904, "locoformer_s": 5031012, "locoformer_m": 14975620,
}  # fmt: skip
_DUAL = {"n_filters": 16, "bn_chan": 8, "hid_size": 8, "chunk_size": 20, "hop_size": 10}
_BLSTM = {"hid_size": 8, "n_layers": 1}
SMALL = {
    "AFRCNN": {"n_filters": 16, "bn_chan": 8, "hid_chan": 8, "num_iters": 2},
    "SFRCNN": {"n_filters": 16, "bn_chan": 8, "hid_chan": 8, "num_iters": 2},
    "DPRNNTasNet": {"n_filters": 8, "bn_chan": 8, "hid_size": 8, "chunk_size": 20, "n_repeats": 1},
    "ADPRNNTasNet": {**_DUAL, "n_blocks": 2},
    "SDPRNNTasNet": {**_DUAL, "n_blocks": 2},
    "Sandglasset": {**_DUAL, "chunk_size": 32, "hop_size": 16, "n_heads": 2},
    "ASandglasset": {**_DUAL, "chunk_size": 32, "hop_size": 16, "n_heads": 2, "n_blocks": 2},
    "UPITBLSTM": _BLSTM,
    "DPCL": {**_BLSTM, "embedding_dim": 4},
    "Chimera": {**_BLSTM, "embedding_dim": 4},
    "ConvTasNet": {"n_filters": 16, "bn_chan": 8, "hid_chan": 8, "skip_chan": 8, "n_blocks": 2, "n_repeats": 1},
    "SuDORMRFNet": {"n_filters": 16, "bn_chan": 8, "num_blocks": 1},
    "SepReformer": {"n_filters": 16, "bn_chan": 8, "n_heads": 2, "n_stages": 2, "local_kernel": 9},
    "TFLocoformer": {
        "n_blocks": 1,
        "emb_dim": 8,
        "attention_dim": 8,
        "n_heads": 2,
        "ffn_hidden": [8, 8],
        "n_groups": 2,
    },
}
TABLES = ("afrcnn_readme", "wsj0_2mix", "supplement_table_s1", "speech_today")
PUBLISHED = {variant for name in TABLES for variant in by_variant(load(name))}
every_variant = pytest.mark.parametrize("variant", sorted(COUNTS))
every_recipe = pytest.mark.parametrize("recipe", RECIPES)


def folder(recipe):
    return ROOT / "recipes" / recipe


def readers(conf):
    """Section -> names of the keys that its reader takes."""

    def names(function):
        return set(inspect.signature(function).parameters)

    return {
        "task": {"name"},
        "model": names(models.get(conf["model"]["model_name"])) | {"model_name"},
        "data": {field.name for field in dataclasses.fields(SpeechData)} - {"n_src", "sample_rate"},
        "loader": names(make_loader),
        "loss": names(losses.get(conf["loss"]["name"]).__init__) | {"name"},
        "optim": names(make_optim),
        "training": {field.name for field in dataclasses.fields(TrainingOptions)},
        "energy": names(make_meter),
    }


@every_recipe
def test_the_variants_are_those_that_were_announced(recipe):
    assert variant_names(folder(recipe)) == sorted(COUNTS)
    assert load_conf(folder(recipe), "afrcnn_16") == load_conf(folder(recipe))


@every_recipe
def test_the_base_configuration_is_complete(recipe):
    conf = load_conf(folder(recipe))
    unused = {"n_src", "noise_dir", "train_subset"} if recipe == "wsj0-2mix" else {"n_src"}
    for section in ("model", "data"):
        assert readers(conf)[section] - {"self", *unused} <= set(conf[section]) | unused, section
    expected = SpeechData(corpus="wsj0_2mix", stream="mix", segment=4.0) if recipe == "wsj0-2mix" else SpeechData()
    places = ("speech_dir", "metadata_dir", "metadata_url", "storage_dir")
    found = dataclasses.asdict(speech_data(conf))
    assert {key: found[key] for key in found if key not in places} == {
        key: value for key, value in dataclasses.asdict(expected).items() if key not in places
    }
    comments = [
        line for line in (folder(recipe) / "local" / "conf.yml").read_text().splitlines() if re.match(r"  \w+:", line)
    ]
    assert sum("#" in line for line in comments) > 0.8 * len(comments)


@every_recipe
@every_variant
def test_each_key_is_read_each_file_names_its_origin_and_repeats_nothing(recipe, variant):
    conf = load_conf(folder(recipe), variant)
    for section, keys in conf.items():
        assert set(keys) <= readers(conf)[section], section
    path = variant_file(folder(recipe), variant)
    assert path.read_text().startswith(f"# {variant}: ") and "Published: " not in path.read_text()
    assert variant in PUBLISHED or "No score is published" in path.read_text(), (
        "numbers stand in the published tables alone"
    )
    for section, keys in read_yaml(path).items():
        if section == "model" and "model_name" in keys:
            assert {"n_src", "sample_rate"} <= set(keys)  # the host's defaults differ from ours
            continue
        own = [
            load_conf(folder(name))[section] for name in RECIPES
        ]  # of one recipe, it may be what another says already
        assert not [key for key, value in keys.items() if all(base.get(key) == value for base in own)]


@every_recipe
@pytest.mark.parametrize("variant", ["conv_tasnet", "dprnn", "dprnn_k2", "sudormrf_1x"])
def test_headers_say_what_is_taken_from_asteroid_and_what_not(recipe, variant):
    text = " ".join(variant_file(folder(recipe), variant).read_text().replace("\n#", "").split())
    taken, left = text.split("Taken from Asteroid", 1)[1].split("Not taken:", 1)
    both, conf = taken + left, load_conf(folder(recipe), variant)
    assert all(word in both for word in ("learning rate", "halv", "crops", "batch", "masks", "weight decay"))
    assert (
        conf["optim"]["plateau_patience"] == 15
        and conf["optim"]["weight_decay"] == 0
        and conf["training"]["effective_batch"] == 6
    )
    default = {"ConvTasNet": "sigmoid", "DPRNNTasNet": "sigmoid", "SuDORMRFNet": "softmax"}[conf["model"]["model_name"]]
    assert (
        inspect.signature(models.get(conf["model"]["model_name"])).parameters["mask_act"].default == default
        and default in both
    )


@every_variant
def test_both_recipes_train_the_same_system(variant):
    one, other = (load_conf(folder(recipe), variant) for recipe in RECIPES)
    assert {key: value for key, value in one.items() if key != "data"} == {
        key: value for key, value in other.items() if key != "data"
    }


@every_variant
def test_counts(variant):
    with torch.device("meta"):
        model = build_model(load_conf(folder("libri2mix"), variant))
    assert count_params(model) == COUNTS[variant]
    assert model.sample_rate == 8000


@every_recipe
def test_demonstrations_change_paths_and_sizes_only(recipe):
    local = folder(recipe) / "local"
    sizes = {
        "corpus",
        "speech_dir",
        "metadata_dir",
        "metadata_url",
        "storage_dir",
        "n_train",
        "n_valid",
        "n_test",
        "segment",
    }
    sizes |= {
        "num_workers",
        "lr",
        "epochs",
        "effective_batch",
        "batch",
        "n_filters",
        "bn_chan",
        "hid_chan",
        "n_scales",
        "num_iters",
    }
    sizes |= {"n_stages", "n_blocks", "emb_dim", "attention_dim", "ffn_hidden"}
    assert {key for keys in read_yaml(local / "demo.yml").values() for key in keys} <= sizes
    for variant in COUNTS:
        whole, conf = (
            load_conf(folder(recipe), variant, overlays=[local / "demo.yml"], demo=demo) for demo in (False, True)
        )
        assert conf["data"]["n_test"] >= 30
        assert {key for key in conf["model"] if conf["model"][key] != whole["model"].get(key)} <= sizes


@every_recipe
def test_scripts_hold_wiring_only(recipe):
    for name in ("train.py", "eval.py", "local/prepare.py"):
        assert len((folder(recipe) / name).read_text().splitlines()) < 100
    texts = [(folder(other) / "train.py").read_text() for other in RECIPES]
    assert texts[0] == texts[1]


@pytest.fixture(scope="module")
def corpora(tmp_path_factory):
    libri = librispeech(tmp_path_factory.mktemp("libri"))
    root = tmp_path_factory.mktemp("wsj0")
    for split in ("tr", "cv", "tt"):
        wsj0(root, split)
    return {
        "libri2mix": [f"data.speech_dir={libri / 'LibriSpeech'}", f"data.metadata_dir={libri / 'metadata'}"],
        "wsj0-2mix": [f"data.speech_dir={root / 'wsj0'}", f"data.metadata_dir={root / 'lists'}"],
    }


def small_options(recipe, variant, corpora, exp_dir):
    """Options of a reduced run of one variant: two steps on tones that are mixed at load time."""
    name = load_conf(folder(recipe), variant)["model"]["model_name"]
    values = [f"model.{key}={value}" for key, value in SMALL[name].items()]
    values += [
        "data.storage=on_the_fly",
        "data.segment=0.25",
        f"data.storage_dir={exp_dir.parent}",
        "loader.num_workers=0",
    ]
    values += [
        "training.effective_batch=1",
        "training.batch=1",
        "training.epochs=1",
        "data.n_train=2",
        "data.n_valid=1",
        "energy.track=false",
    ]
    return ["--exp_dir", str(exp_dir), "--variant", variant, "--set", *corpora[recipe], *values]


def train_and_evaluate(recipe, variant, corpora, tmp_path, monkeypatch):
    monkeypatch.setattr("asteroid_bsrnn.data.speech.speech_section.COUNTS", dict.fromkeys(("tr", "cv", "tt"), 3))
    exp_dir = tmp_path / "exp"
    summary = speech_recipe.train(folder(recipe), small_options(recipe, variant, corpora, exp_dir))
    assert summary["status"] == "finished" and summary["epochs"] == 1
    run, history = json.loads((exp_dir / "run.json").read_text()), pd.read_csv(exp_dir / "history.csv")
    assert (
        run["steps_per_epoch"] == 2
        and run["variant"] == variant
        and run["corpus"] == load_conf(folder(recipe))["data"]["corpus"]
    )
    assert np.isfinite(history[["train_loss", "val_loss", "val_si_sdr", "train_seconds"]]).all().all()
    scores = speech_recipe.evaluate(folder(recipe), ["--exp_dir", str(exp_dir), "--n_examples", "1"])
    table = pd.read_csv(exp_dir / "all_metrics.csv")
    assert (
        len(table) == 3 and np.isfinite(table["si_sdr_imp"]).all() and table["permutation"].isin(["0 1", "1 0"]).all()
    )
    assert scores["si_sdr_imp"] == pytest.approx(table["si_sdr_imp"].mean())
    assert json.loads((exp_dir / "evaluation.json").read_text())["subset"] == "test"


OF_EACH_MODEL = sorted(
    {
        load_conf(folder("wsj0-2mix"), name)["model"]["model_name"]: name for name in sorted(COUNTS, reverse=True)
    }.values()
)
SLOW = {"sepreformer_s", "sepreformer_b", "sepreformer_m", "locoformer_m"}  # the same systems in other sizes


@pytest.mark.parametrize(
    "variant", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in sorted(COUNTS)]
)
def test_each_variant_trains_two_steps_and_is_evaluated(variant, corpora, tmp_path, monkeypatch):
    train_and_evaluate("libri2mix", variant, corpora, tmp_path, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("variant", OF_EACH_MODEL)  # the same systems in both recipes: see above
def test_each_model_on_wsj0_2mix(variant, corpora, tmp_path, monkeypatch):
    train_and_evaluate("wsj0-2mix", variant, corpora, tmp_path, monkeypatch)


def test_wsj0_2mix_runs_and_counts_its_mixtures(corpora, tmp_path, monkeypatch):
    with pytest.raises(UserError, match="has 3 mixtures where 20000 were expected"):
        speech_recipe.train(folder("wsj0-2mix"), small_options("wsj0-2mix", "afrcnn_4", corpora, tmp_path / "exp"))
    train_and_evaluate("wsj0-2mix", "afrcnn_4", corpora, tmp_path / "again", monkeypatch)


@every_recipe
def test_features_of_spectral_models_are_fitted_to_the_training_data(recipe, corpora, tmp_path, monkeypatch):
    from asteroid_bsrnn.weights import load_model

    monkeypatch.setattr("asteroid_bsrnn.data.speech.speech_section.COUNTS", dict.fromkeys(("tr", "cv", "tt"), 3))
    speech_recipe.train(folder(recipe), small_options(recipe, "upit_blstm", corpora, tmp_path / "exp"))
    buffers = dict(load_model(str(tmp_path / "exp" / "best_model.pth")).front_end.named_buffers())
    fresh = dict(models.get("UPITBLSTM")(**_BLSTM).front_end.named_buffers())
    assert any(not torch.equal(buffers[name], fresh[name]) for name in fresh if "window" not in name)


def test_stages_in_the_wrong_order_say_what_to_run(corpora, tmp_path):
    options = small_options("libri2mix", "afrcnn_4", corpora, tmp_path / "exp")
    with pytest.raises(UserError, match="run stage 1 first, or set data.storage"):
        speech_recipe.train(folder("libri2mix"), [*options, "data.storage=files"])
    with pytest.raises(UserError, match="run stage 2 first"):
        speech_recipe.evaluate(folder("libri2mix"), ["--exp_dir", str(tmp_path / "none")])
    with pytest.raises(UserError, match="no LibriSpeech folder|is missing: give the folder of LibriSpeech"):
        speech_recipe.prepare(
            folder("libri2mix"), ["--what", "data", "--exp_dir", str(tmp_path), "--set", "data.speech_dir=/nowhere"]
        )


@pytest.mark.parametrize("change, said", [
    ("data.corpus=libri9mix", "unknown data.corpus 'libri9mix'"), ("data.storage=disk", "unknown data.storage 'disk'"), ("data.segment=0.0", "must be positive"),
    ("data.stream=mix", "unknown stream 'mix'"), ("data.speech=a", "did you mean 'speech_dir'"), ("model.n_src=4", "unknown n_src 4"),
])  # fmt: skip
def test_bad_configurations(change, said, corpora, tmp_path):
    options = small_options("libri2mix", "afrcnn_4", corpora, tmp_path / "exp")
    with pytest.raises(ValueError, match=said):
        speech_recipe.train(folder("libri2mix"), [*options, change])
