"""Configurations: layers, order, types, and one clear sentence for everything that cannot be meant."""

import pytest
from helpers import ROOT

from asteroid_bsrnn import models
from asteroid_bsrnn.common.errors import UserError
from asteroid_bsrnn.models.base import SeparationModel
from asteroid_bsrnn.recipe.building import build_model
from asteroid_bsrnn.recipe.configuration import experiments, load_conf, parse_overrides, read_yaml
from asteroid_bsrnn.recipe.variants import variant_file, variant_names

BASE = """
task: {sources: [vocals, bass], simo: false}
model: {model_name: ConfigToy, sample_rate: 8000, width: 4}
loss: {name: TimeTFLoss, domain: t}
optim: {lr: 1e-3, name: adam, epochs: 10, ema: null, amp: true}
"""


class ConfigToy(SeparationModel):
    """The smallest model that takes sources."""

    def __init__(self, sources=("vocals",), sample_rate=8000, width=4):
        super().__init__(sample_rate)
        self.sources, self.width = sources, width


class OtherToy(ConfigToy):
    """The same under another name."""


@pytest.fixture(autouse=True, scope="module")
def registered():
    models.register_model(ConfigToy)
    models.register_model(OtherToy)


@pytest.fixture
def recipe(tmp_path):
    local = tmp_path / "local"
    (local / "variants").mkdir(parents=True)
    (local / "conf.yml").write_text(BASE)
    (local / "corrected.yml").write_text("optim: {epochs: 20, lr: 0.5}\n")
    (local / "variants" / "wide.yml").write_text("model: {width: 8}\noptim: {epochs: 30}\n")
    (local / "variants" / "other.yml").write_text("model: {model_name: OtherToy}\n")
    return tmp_path


def test_later_layers_win(recipe):
    overlay = recipe / "demo.yml"
    overlay.write_text("optim: {name: sgd}\n")
    conf = load_conf(recipe, "wide", ["optim.lr=1e-7"], overlays=[overlay], protocol="corrected")
    assert conf["optim"] == {"lr": 1e-7, "name": "sgd", "epochs": 30, "ema": None, "amp": True}
    assert conf["model"]["width"] == 8
    assert load_conf(recipe)["optim"]["epochs"] == 10
    assert load_conf(recipe, overrides={"optim": {"lr": 1}})["optim"]["lr"] == 1.0
    assert variant_names(recipe) == ["other", "wide"]


def test_recipes_share_variants_and_their_own_come_first(recipe):
    shared = recipe / "shared"
    shared.mkdir()
    (shared / "wide.yml").write_text("model: {width: 9}\n")
    (shared / "narrow.yml").write_text("model: {width: 2}\n")
    (recipe / "local" / "variants.yml").write_text("variants: [variants, ../shared]\n")
    assert variant_names(recipe) == ["narrow", "other", "wide"]
    assert [load_conf(recipe, name)["model"]["width"] for name in ("wide", "narrow")] == [8, 2]
    assert variant_file(recipe, "narrow").parent.resolve() == shared
    (recipe / "local" / "variants.yml").write_text("variants: [nowhere]\n")
    with pytest.raises(UserError, match="'wide' is not there: no variant file lies in .*nowhere"):
        load_conf(recipe, "wide")
    (recipe / "local" / "variants.yml").write_text("- variants\n")
    with pytest.raises(UserError, match="variants.yml must list folders"):
        variant_names(recipe)


def test_no_variant_stands_twice_among_the_recipes():
    found = [read_yaml(path) for path in (ROOT / "recipes").glob("**/variants/*.yml")]
    changing = [variant for variant in found if variant]  # two are the base configurations of their recipes
    assert len(changing) > 60 and all(changing.count(variant) == 1 for variant in changing)


def test_another_model_starts_its_section_afresh(recipe):
    assert load_conf(recipe, "other")["model"] == {"model_name": "OtherToy"}


def test_another_loss_starts_its_section_afresh(recipe):
    assert load_conf(recipe, overrides=["loss.domain=tf"])["loss"] == {"name": "TimeTFLoss", "domain": "tf"}
    assert load_conf(recipe, overrides=["loss.name=TimeTFLoss"])["loss"] == {"name": "TimeTFLoss", "domain": "t"}
    changed = ["loss.name=MultiStageLoss", "loss.decay=0.5"]
    assert load_conf(recipe, overrides=changed)["loss"] == {"name": "MultiStageLoss", "decay": 0.5}
    assert load_conf(recipe, overrides=["loss.n_fft=512"])["loss"]["n_fft"] == 512


@pytest.mark.parametrize(
    "overrides, culprit, hint",
    [
        (["optim.learning_rate=1"], "learning_rate", "known are lr"),
        (["optim.epoch=1"], "epoch", "did you mean 'epochs'"),
        (["optin.lr=1"], "optin", "did you mean 'optim'"),
        (["model.widht=1"], "widht", "did you mean 'width'"),
        (["loss.name=MultiStageLos"], "MultiStageLos", "MultiStageLoss"),
        (["loss.name=MultiStageLoss", "loss.dcay=1"], "dcay", "did you mean 'decay'"),
        (["model.model_name=ConfigTo"], "ConfigTo", "ConfigToy"),
        (["optim.lr=fast"], "optim.lr", "a number"),
        (["optim.epochs=2.5"], "optim.epochs", "a whole number"),
        (["optim.amp=1"], "optim.amp", "true or false"),
        (["task.sources=vocals"], "task.sources", "a list"),
        (["lr=1"], "lr=1", "section.key=value"),
        (["optim.lr=[1"], "[1", "no YAML"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_the_nearest_thing(recipe, overrides, culprit, hint):
    with pytest.raises(UserError) as error:
        load_conf(recipe, overrides=overrides)
    assert culprit in str(error.value) and hint in str(error.value)


def test_unknown_variant_protocol_recipe_and_source(recipe, tmp_path):
    with pytest.raises(UserError, match="unknown variant 'wdie'.*did you mean 'wide'"):
        load_conf(recipe, "wdie")
    with pytest.raises(UserError, match="unknown protocol 'mine'.*published, corrected"):
        load_conf(recipe, protocol="mine")
    with pytest.raises(UserError, match="no recipe"):
        load_conf(tmp_path / "nowhere")
    with pytest.raises(UserError, match="unknown source 'vocal'.*did you mean 'vocals'"):
        build_model(load_conf(recipe), "vocal")


@pytest.mark.parametrize(
    "text, reason",
    [("a: 1", "sections"), ("[1]", "sections"), ("a: {b: 1, b: 2}", "twice"), ("a: {", "no readable YAML")],
)
def test_files_that_are_no_configuration(tmp_path, text, reason):
    path = tmp_path / "conf.yml"
    path.write_text(text)
    with pytest.raises(UserError, match=reason) as error:
        read_yaml(path)
    assert str(path) in str(error.value)


def test_numbers_as_people_write_them():
    read = parse_overrides(
        ["a.a=1e-7", "a.b=1.", "a.c=-3", "a.d=.5e3", "a.e=1_000", "a.f=e5", "a.g=1.2.3", "a.h=[a, 1e3]"]
    )
    values = list(read["a"].values())
    assert values == [1e-7, 1.0, -3, 500.0, 1000, "e5", "1.2.3", ["a", 1000.0]]
    assert [type(value) for value in values[:5]] == [float, float, int, float, int]


def test_models_and_experiments_of_a_configuration(recipe):
    conf = load_conf(recipe, "wide")
    assert experiments(conf) == [("vocals", ("vocals",)), ("bass", ("bass",))]
    model = build_model(conf, "bass")
    assert (model.sources, model.width) == (("bass",), 8)
    conf["task"]["simo"] = True
    assert experiments(conf) == [(None, ("vocals", "bass"))]
    assert build_model(conf).sources == ("vocals", "bass")
