"""Every configuration of the music recipe: found, built, counted, trained; no key in it that nobody reads."""

import dataclasses
import inspect
import re

import pytest
import torch
from helpers import ROOT

from asteroid_bsrnn import losses, models
from asteroid_bsrnn.data.music.music_section import MusicData
from asteroid_bsrnn.experiment.energy import make_meter
from asteroid_bsrnn.recipe.building import build_model
from asteroid_bsrnn.recipe.command_line import make_loss
from asteroid_bsrnn.recipe.configuration import conf_of, experiments, load_conf, read_yaml
from asteroid_bsrnn.recipe.cost import recipe_cost
from asteroid_bsrnn.recipe.variants import variant_names
from asteroid_bsrnn.report.published import by_variant, load
from asteroid_bsrnn.separation.segments import apply_segments
from asteroid_bsrnn.training.feed.sampling import make_loader
from asteroid_bsrnn.training.optimization import make_optim
from asteroid_bsrnn.training.options import TrainingOptions

SOURCES = ("vocals", "bass", "drums", "other")
RECIPE = ROOT / "recipes" / "musdb18hq"
VARIANTS = variant_names(RECIPE)
NAMED = """base accumulate_gradients monitor_loss loss_time loss_tf stft_4096 mask_ratio_2 large large_patience_30 stereo_naive
stereo_naive_mask_ratio_8 tac_tanh tac_prelu bscnn attention_1x8 attention_2x16 multi_head_2 silent_target no_sad_umx
optimized_no_tac optimized base_patience_30 mask_ratio_1 stft_6144 gru conv multi_head_2_r4 bscnn_small joint_bands
simo_subtract simo simo_optimized""".split()
TABLE_1 = (
    """presunet convtdfnet hdemucs htdemucs tfc_tdf_v3 bs_roformer dttnet scnet scnet_large mel_roformer""".split()
)
OURS = ["causal"]
PUBLISHED = {variant for name in ("bsrnn_table_2", "bsrnn_analysis") for variant in by_variant(load(name))}
PUBLISHED |= {variant for row in load("table_1_systems")["rows"] for variant in row.get("variants", ())}
SMALL = {"model": {"feature_dim": 8, "n_repeats": 1}}
TOTALS = {
    "base": 32329056, "stft_4096": 37080416, "mask_ratio_2": 20610656, "large": 146655904, "stereo_naive": 37085056,
    "stereo_naive_mask_ratio_8": 81137024, "tac_tanh": 34702688, "tac_prelu": 34702720, "bscnn": 29711712,
    "attention_1x8": 33013472, "attention_2x16": 33241664, "multi_head_2": 22033760, "optimized_no_tac": 149920240,
    "optimized": 164119072, "mask_ratio_1": 16803552, "stft_6144": 41831776, "gru": 29150560, "conv": 22777184,
    "multi_head_2_r4": 20293984, "joint_bands": 37369120, "simo_subtract": 20861520, "simo": 26621140,
    "simo_optimized": 108727540, "causal": 28888416,
}  # fmt: skip
PARTS = {  # parameters of each model
    "presunet": {"vocals": 202581426, "bass+drums+other": 105199090},
    "convtdfnet": dict.fromkeys(SOURCES, 7423236),
    "hdemucs": {"total": 83637832},
    "htdemucs": {"total": 41984456},
    "tfc_tdf_v3": {"total": 30119168},
    "bs_roformer": dict.fromkeys(SOURCES, 72159756),
    "dttnet": {**dict.fromkeys(SOURCES, 4958468), "bass": 4184388},
    "scnet": {"total": 10578768},
    "scnet_large": {"total": 42181232},
    "mel_roformer": dict.fromkeys(SOURCES, 84156612),
}
GMAC = {  # for all four sources per second, of specifications that count the papers' networks by hand
    "presunet": 70.8, "convtdfnet": 76.0, "hdemucs": 9.9, "htdemucs": 21.5, "tfc_tdf_v3": 55.1, "bs_roformer": 650, "dttnet": 141.5,
    "scnet": 18.5,
}  # fmt: skip
SAME_MODEL = {
    "accumulate_gradients",
    "monitor_loss",
    "loss_time",
    "loss_tf",
    "silent_target",
    "no_sad_umx",
    "base_patience_30",
}


def readers(conf):
    """Section -> names of the keys that its reader takes."""

    def names(function):
        return set(inspect.signature(function).parameters)

    return {
        "task": {"name", "sources", "simo", "groups", "less"},
        "per_source": {name for name, _ in experiments(conf)},
        "model": names(models.get(conf["model"]["model_name"])) | {"model_name"},
        "data": {field.name for field in dataclasses.fields(MusicData)},
        "loader": names(make_loader),
        "loss": names(losses.get(conf["loss"]["name"]).__init__) | {"name"},
        "optim": names(make_optim),
        "training": {field.name for field in dataclasses.fields(TrainingOptions)},
        "inference": names(apply_segments),
        "energy": names(make_meter),
    }


def test_the_variants_are_those_that_the_paper_and_its_authors_report():
    assert VARIANTS == sorted(NAMED + TABLE_1 + OURS)


def test_the_base_configuration_is_complete_and_the_base_variant_adds_nothing():
    conf = load_conf(RECIPE)
    assert load_conf(RECIPE, "base") == conf
    for section, read in readers(conf).items():
        defaults = read - {"self", "sources", "n_fft", "n_hop", "n_src"} if section in ("model", "data") else set()
        assert section == "per_source" or defaults <= set(conf[section]) | {"sample_rate"}, (
            f"conf.yml leaves keys of {section} out"
        )
    assert TrainingOptions(**conf["training"]) == TrainingOptions()
    assert MusicData(**conf["data"]) == MusicData(augmentations=conf["data"]["augmentations"])


@pytest.mark.parametrize("variant", VARIANTS)
def test_each_key_is_read_and_each_file_names_its_origin(variant):
    conf = load_conf(RECIPE, variant)
    for one in [conf, *(conf_of(conf, name) for name, _ in experiments(conf))]:
        for section, keys in one.items():
            assert set(keys) <= readers(one)[section], section
    text = (RECIPE / "local" / "variants" / f"{variant}.yml").read_text()
    assert re.match(rf"# {variant}: (Table II|the authors' notes|Table I,|ours,)", text)
    said = ("no score is claimed", "Published without scores")
    assert variant in PUBLISHED or any(words in text for words in said), "numbers stand in the published tables alone"
    assert not re.search(r"[Pp]ublished: |cSDR [\w ]*\d|uSDR [\w ]*\d|\d kWh", text)
    base = load_conf(RECIPE)
    for section, keys in read_yaml(RECIPE / "local" / "variants" / f"{variant}.yml").items():
        for key, value in keys.items():
            same_as_default = base[section].get(key) == value
            assert not same_as_default or key in ("tac_act", "attn_dim"), (
                f"{section}.{key} does not differ from conf.yml"
            )


@pytest.mark.parametrize("variant", sorted(NAMED))
def test_each_variant_trains_every_parameter_of_its_models(variant):
    conf = load_conf(RECIPE, variant, SMALL)
    for name, sources in experiments(conf):
        torch.manual_seed(0)
        model = build_model(conf, name)
        assert model.sources == sources
        wav = torch.randn(1, 2, 8000)
        loss = dict(conf["loss"])
        loss_func = losses.get(loss.pop("name"))(n_fft=model.n_fft, n_hop=model.n_hop, **loss)
        loss_func(model.forward_stft(wav), torch.randn(1, len(sources), 2, 8000)).backward()
        for key, parameter in model.named_parameters():
            assert parameter.grad is not None and parameter.grad.isfinite().all(), f"{name}: {key}"


@pytest.mark.parametrize("variant", sorted(NAMED + OURS))
def test_counts(variant):
    from asteroid_bsrnn.recipe.cost import count_params

    conf = load_conf(RECIPE, variant)
    if variant in ("large_patience_30", "bscnn_small"):
        expected = {"large_patience_30": TOTALS["large"], "bscnn_small": 4 * 2139304}[variant]
    else:
        expected = TOTALS["base" if variant in SAME_MODEL else variant]
    with torch.device("meta"):
        assert sum(count_params(build_model(conf, name)) for name, _ in experiments(conf)) == expected


@pytest.mark.parametrize("variant", TABLE_1)
def test_counts_of_the_other_systems(variant):
    params, _ = recipe_cost(load_conf(RECIPE, variant))
    total = sum(PARTS[variant].values())
    assert params == {**PARTS[variant], "total": total}


@pytest.mark.slow
@pytest.mark.parametrize("variant", sorted(GMAC))
def test_operations_of_the_other_systems(variant):
    _, gmac = recipe_cost(load_conf(RECIPE, variant), with_macs=True)
    assert gmac["total"] == pytest.approx(GMAC[variant], rel=0.06)


@pytest.mark.parametrize("variant", TABLE_1 + OURS)
def test_each_system_takes_a_step_at_demonstration_size(variant):
    """Every parameter of every network gets a gradient from the loss of its own protocol."""
    conf = load_conf(RECIPE, variant, demo=True, overlays=[RECIPE / "local" / "demo.yml"])
    for name, sources in experiments(conf):
        torch.manual_seed(0)
        model, own = build_model(conf, name), conf_of(conf, name)
        assert model.sources == sources
        loss_func = make_loss(own, len(sources))
        optimizer, _ = make_optim(model.parameters(), 2, **own["optim"])
        loss = loss_func(model.estimates(torch.randn(2, 2, 11025)), torch.randn(2, len(sources), 2, 11025))
        loss.backward()
        for key, parameter in model.named_parameters():
            assert parameter.grad is not None and parameter.grad.isfinite().all(), f"{name}: {key}"
        before = [parameter.detach().clone() for parameter in model.parameters()]
        optimizer.step()
        assert any(not torch.equal(*pair) for pair in zip(before, model.parameters()))
    whole = build_model(conf)
    assert set(whole.sources) == set(SOURCES) and whole.eval()(torch.randn(1, 2, 11025)).shape == (1, 4, 2, 11025)


@pytest.mark.parametrize("variant", sorted([*TABLE_1, *OURS, "base", "optimized", "simo_subtract", "stft_4096"]))
def test_the_controlled_protocol_leaves_the_model_alone(variant):
    native, controlled = load_conf(RECIPE, variant), load_conf(RECIPE, variant, protocol="controlled")
    assert controlled["model"] == native["model"] and controlled["task"]["sources"] == native["task"]["sources"]
    base = load_conf(RECIPE, protocol="controlled")
    for section in ("data", "loss", "optim", "inference"):
        for name, _ in experiments(controlled):
            assert conf_of(controlled, name)[section] == base[section], (section, name)
    shared = {"epochs", "patience", "monitor", "effective_batch", "clip", "precision", "ema", "remix_batch"}
    assert {key: controlled["training"][key] for key in shared} == {key: base["training"][key] for key in shared}
    assert conf_of(controlled, "bass")["model"] == conf_of(native, "bass")["model"]


@pytest.mark.parametrize("overlay", ["demo", "demo_synth"])
def test_demonstrations_change_paths_and_sizes_only(overlay):
    changed = read_yaml(RECIPE / "local" / f"{overlay}.yml")
    sizes = {"feature_dim", "n_repeats", "corpus", "root", "segment", "sad_window", "n_items", "num_workers", "epochs"}
    sizes |= {"precision", "ema", "warmup_steps"}  # for any processor, and for so few steps
    sizes |= {
        "n_train_tracks",
        "n_valid_tracks",
        "n_test_tracks",
        "effective_batch",
        "batch",
        "lr",
        "lr_reference_batch",
    }
    assert {key for keys in changed.values() for key in keys} <= sizes
    load_conf(RECIPE, "simo", overlays=[RECIPE / "local" / f"{overlay}.yml"])


def test_the_corrected_protocol_gives_a_reason_for_each_key():
    text = (RECIPE / "local" / "corrected.yml").read_text()
    keys = [line for line in text.splitlines() if line.startswith("  ")]
    assert len(keys) == 4 and all("# " in line for line in keys)
    assert load_conf(RECIPE, "no_sad_umx", protocol="corrected")["data"]["sad"] is None
    assert load_conf(RECIPE, protocol="corrected")["data"]["sad"] == "track"


def test_option_parsers_are_the_same_in_every_recipe():
    texts = {
        (ROOT / "recipes" / name / "utils" / "parse_options.sh").read_text()
        for name in ("musdb18hq", "libri2mix", "wsj0-2mix")
    }
    assert len(texts) == 1
