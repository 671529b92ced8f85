"""The A-FRCNN authors' own weights give their own outputs; Asteroid's published models are listed."""

import json

import numpy as np
import pytest
import torch
import yaml
from helpers import SHARED, adapter_for

from asteroid_bsrnn.common.errors import UserError
from asteroid_bsrnn.models import AFRCNN
from asteroid_bsrnn.models.afrcnn.adapter import AFRCNNAdapter
from asteroid_bsrnn.models.family import FAMILIES

FOLDER = SHARED / "golden" / "afrcnn" if SHARED else None
needs_golden = pytest.mark.skipif(FOLDER is None, reason="the golden instances are not beside the checkout")
CASES = pytest.mark.parametrize("case, fusion", [("afrcnn", "concat"), ("afrcnn_sum", "sum")])


def golden(case):
    arrays = {key: torch.from_numpy(value) for key, value in np.load(FOLDER / f"{case}.npz").items()}
    state = {key[3:]: value for key, value in arrays.items() if key.startswith("sd/")}
    return arrays, state, json.loads((FOLDER / "index.json").read_text())[case]


@needs_golden
@CASES
def test_output_of_the_authors_network(case, fusion):
    arrays, state, entry = golden(case)
    adapter = adapter_for(state)
    model = adapter.build(state, entry["args"])
    assert adapter.system == "afrcnn" and type(model) is AFRCNN and model.fusion == fusion
    assert sum(p.numel() for p in model.parameters()) == entry["params"]
    with torch.no_grad():
        assert (model(arrays["x"]) - arrays["y"]).abs().max() <= 1e-5 * arrays["y"].abs().max()


@needs_golden
@CASES
def test_sizes_are_in_the_weights_but_for_the_iterations(case, fusion):
    _, state, entry = golden(case)
    adapter = AFRCNNAdapter()
    told = adapter.config(state, entry["args"])
    assert {**adapter.config(state, {}), "num_iters": told["num_iters"]} == told
    assert adapter.build(state, {}).num_iters == 16


@needs_golden
def test_a_file_of_the_authors_trainer():
    arrays, state, entry = golden("afrcnn")
    content = {"model_name": "AFRCNN", "state_dict": state, "model_args": entry["args"], "infos": {}}
    assert AFRCNNAdapter().unwrap(content) == (state, entry["args"])
    ours = AFRCNN(n_filters=16, bn_chan=8, hid_chan=8, num_iters=2)
    assert AFRCNNAdapter().unwrap(ours.serialize()) is None
    assert AFRCNNAdapter().settings({"audionet": {"audionet_config": entry["args"]}}) == entry["args"]


@needs_golden
def test_a_wrong_weight_or_setting_is_named():
    _, state, entry = golden("afrcnn")
    adapter = AFRCNNAdapter()
    with pytest.raises(UserError, match="n_scales 5, the weights 4"):
        adapter.build(state, {**entry["args"], "upsampling_depth": 5})
    with pytest.raises(UserError, match="no weight 'sm.extra'"):
        adapter.build({**state, "sm.extra": torch.zeros(1)}, entry["args"])
    with pytest.raises(UserError, match="lack 'encoder_conv.weight'|lack 'encoder.weight'"):
        adapter.build({key: value for key, value in state.items() if key != "encoder.weight"}, entry["args"])


@pytest.mark.parametrize("family", ["asteroid", "sepreformer", "locoformer"])
def test_published_models_say_what_they_are(family):
    listed = yaml.safe_load(FAMILIES.get(family).published.read_text())
    for name, entry in listed.items():
        place = {"address", "hub", "file"} & set(entry)
        assert len(place) == 1 and entry["licence"] and entry["data"], name
        optional = {"description", "parameters", "config_address"} & set(entry)
        assert set(entry) == place | optional | {"system", "model", "size", "sha256", "settings", "sources", "data",
                                      "licence", "scores", "inference", "note"}, name  # fmt: skip
        assert all(set(score) == {"metric", "values", "source"} for score in entry["scores"])
    if family == "asteroid":
        assert listed["convtasnet-libri2mix-sepclean-16k"]["scores"][0]["values"] == {"libri2mix": 15.24}
        assert len([name for name, entry in listed.items() if "hub" in entry]) == 8


@pytest.mark.parametrize("family", ["sepreformer", "locoformer"])
def test_settings_of_published_weights_are_the_adapters(family):
    for entry in yaml.safe_load(FAMILIES.get(family).published.read_text()).values():
        adapter = next(a for a in FAMILIES.get(family).adapters if a.system == entry["system"])
        assert adapter.model.__name__ == entry["model"]
