"""``torch.hub.load`` finds every model in ``hubconf.py``, new and pretrained."""

import importlib.util
import inspect

import pytest
import torch
from helpers import ROOT

from asteroid_bsrnn import models, weights
from asteroid_bsrnn.models.names import MODELS

TINY = {"feature_dim": 4, "n_repeats": 1}


@pytest.fixture(scope="module")
def entries():
    spec = importlib.util.spec_from_file_location("hubconf_under_test", ROOT / "hubconf.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return {
        name: entry for name, entry in vars(module).items() if inspect.isfunction(entry) and not name.startswith("_")
    }


def hub(entry, *args, **kwargs):
    return torch.hub.load(str(ROOT), entry, *args, source="local", verbose=False, **kwargs)


def test_every_registered_model_has_an_entry(entries):
    lower = {name.replace("_", "") for name in entries}
    ours = [cls for cls in MODELS.entries.values() if cls.__module__.startswith("asteroid_bsrnn.")]
    assert len(ours) >= 11 and {cls.__name__.lower() for cls in ours} <= lower


def test_signatures_and_docs_follow_the_convention(entries):
    for entry in entries.values():
        first, rest = inspect.signature(entry).parameters.values()
        assert (first.name, first.default, rest.kind) == ("name_url_or_file", None, inspect.Parameter.VAR_KEYWORD)
        assert entry.__doc__


def test_a_new_and_a_pretrained_model(tmp_path):
    weights.install()
    model = hub("bsrnn", sources=("bass",), **TINY)
    assert type(model) is models.get("BSRNN") and model.training
    torch.save(model.serialize(), tmp_path / "bass.pth")
    loaded = hub("bsrnn", str(tmp_path / "bass.pth"))
    assert not loaded.training and tuple(loaded.sources) == ("bass",)
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in loaded.state_dict().items())
    with pytest.raises(ValueError, match="holds a BSRNN, not a AFRCNN"):
        hub("afrcnn", str(tmp_path / "bass.pth"))


def test_a_misspelt_argument_is_refused():
    with pytest.raises(TypeError, match="feature_dims"):
        hub("bsrnn", feature_dims=4)
