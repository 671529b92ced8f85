"""Every configuration of the music recipe: found, built, counted, trained; no key in it that nobody reads."""
import dataclasses
import inspect
import re

import pytest
import torch
from asteroid_bsrnn import losses, models
from asteroid_bsrnn.recipe.configuration import build_model, experiments, load_conf, read_yaml, variant_names
from asteroid_bsrnn.data.music.music_section import MusicData
from asteroid_bsrnn.separation.segments import apply_segments
from asteroid_bsrnn.experiment.energy import make_meter
from asteroid_bsrnn.training.optimization import make_optim
from asteroid_bsrnn.training.options import TrainingOptions
from asteroid_bsrnn.training.feed.sampling import make_loader
from helpers import ROOT

RECIPE = ROOT / "recipes" / "musdb18hq"
VARIANTS = variant_names(RECIPE)
NAMED = """base accumulate_gradients monitor_loss loss_time loss_tf stft_4096 mask_ratio_2 large large_patience_30 stereo_naive
stereo_naive_mask_ratio_8 tac_tanh tac_prelu bscnn attention_1x8 attention_2x16 multi_head_2 silent_target no_sad_umx
optimized_no_tac optimized base_patience_30 mask_ratio_1 stft_6144 gru conv multi_head_2_r4 bscnn_small joint_bands
simo_subtract simo simo_optimized""".split()
SMALL = {"model": {"feature_dim": 8, "n_repeats": 1}}
TOTALS = {
    "base": 32329056, "stft_4096": 37080416, "mask_ratio_2": 20610656, "large": 146655904, "stereo_naive": 37085056,
    "stereo_naive_mask_ratio_8": 81137024, "tac_tanh": 34702688, "tac_prelu": 34702720, "bscnn": 29711712,
    "attention_1x8": 33013472, "attention_2x16": 33241664, "multi_head_2": 22033760, "optimized_no_tac": 149920240,
    "optimized": 164119072, "mask_ratio_1": 16803552, "stft_6144": 41831776, "gru": 29150560, "conv": 22777184,
    "multi_head_2_r4": 20293984, "joint_bands": 37369120, "simo_subtract": 20861520, "simo": 26621140,
    "simo_optimized": 108727540,
}  # fmt: skip
SAME_MODEL = {"accumulate_gradients", "monitor_loss", "loss_time", "loss_tf", "silent_target", "no_sad_umx", "base_patience_30"}


def readers(conf):
    """Section -> names of the keys that its reader takes."""

    def names(function):
        return set(inspect.signature(function).parameters)

    return {
        "task": {"name", "sources", "simo", "groups"},
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
    assert VARIANTS == sorted(NAMED)


def test_the_base_configuration_is_complete_and_the_base_variant_adds_nothing():
    conf = load_conf(RECIPE)
    assert load_conf(RECIPE, "base") == conf
    for section, read in readers(conf).items():
        defaults = read - {"self", "sources", "n_fft", "n_hop", "n_src"} if section in ("model", "data") else set()
        assert defaults <= set(conf[section]) | {"sample_rate"}, f"conf.yml leaves keys of {section} out"
    assert TrainingOptions(**conf["training"]) == TrainingOptions()
    assert MusicData(**conf["data"]) == MusicData(augmentations=conf["data"]["augmentations"])


@pytest.mark.parametrize("variant", VARIANTS)
def test_each_key_is_read_and_each_file_names_its_origin(variant):
    conf = load_conf(RECIPE, variant)
    for section, keys in conf.items():
        assert set(keys) <= readers(conf)[section], section
    text = (RECIPE / "local" / "variants" / f"{variant}.yml").read_text()
    assert re.match(rf"# {variant}: (Table II|the authors' notes)", text) and "# Published: " in text
    base = load_conf(RECIPE)
    for section, keys in read_yaml(RECIPE / "local" / "variants" / f"{variant}.yml").items():
        for key, value in keys.items():
            same_as_default = base[section].get(key) == value
            assert not same_as_default or key in ("tac_act", "attn_dim"), f"{section}.{key} does not differ from conf.yml"


@pytest.mark.parametrize("variant", VARIANTS)
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


@pytest.mark.parametrize("variant", VARIANTS)
def test_counts(variant):
    from asteroid_bsrnn.recipe.cost import count_params

    conf = load_conf(RECIPE, variant)
    if variant in ("large_patience_30", "bscnn_small"):
        expected = {"large_patience_30": TOTALS["large"], "bscnn_small": 4 * 2139304}[variant]
    else:
        expected = TOTALS["base" if variant in SAME_MODEL else variant]
    with torch.device("meta"):
        assert sum(count_params(build_model(conf, name)) for name, _ in experiments(conf)) == expected


@pytest.mark.parametrize("overlay", ["demo", "demo_synth"])
def test_demonstrations_change_paths_and_sizes_only(overlay):
    changed = read_yaml(RECIPE / "local" / f"{overlay}.yml")
    sizes = {"feature_dim", "n_repeats", "corpus", "root", "segment", "sad_window", "n_items", "num_workers", "epochs"}
    sizes |= {"n_train_tracks", "n_valid_tracks", "n_test_tracks", "effective_batch", "batch", "lr", "lr_reference_batch"}
    assert {key for keys in changed.values() for key in keys} <= sizes
    load_conf(RECIPE, "simo", overlays=[RECIPE / "local" / f"{overlay}.yml"])


def test_the_corrected_protocol_gives_a_reason_for_each_key():
    text = (RECIPE / "local" / "corrected.yml").read_text()
    keys = [line for line in text.splitlines() if line.startswith("  ")]
    assert len(keys) == 4 and all("# " in line for line in keys)
    assert load_conf(RECIPE, "no_sad_umx", protocol="corrected")["data"]["sad"] is None
    assert load_conf(RECIPE, protocol="corrected")["data"]["sad"] == "track"


def test_option_parsers_are_the_same_in_every_recipe():
    texts = {(ROOT / "recipes" / name / "utils" / "parse_options.sh").read_text() for name in ("musdb18hq", "libri2mix", "wsj0-2mix")}
    assert len(texts) == 1
