"""Parity with the published implementation: its weights through our converter give its output."""

import json

import numpy as np
import pytest
import torch
from helpers import GOLDEN, SHARED

from asteroid_bsrnn.convert import from_reference, to_reference

OWN = ["base_vocals", "bscnn_d3_h1", "tac_prelu"]
MORE = ["att1", "naive", "simo_sub"]
CASES = [(GOLDEN, name) for name in OWN]
CASES += [
    pytest.param(
        SHARED / "golden" if SHARED else None, name, marks=pytest.mark.skipif(not SHARED, reason="no shared data")
    )
    for name in OWN + MORE
]


def load(folder, name):
    """Weights, input, expected output and configuration of one instance."""
    arrays = np.load(folder / f"{name}.npz")
    weights = {key[3:]: arrays[key] for key in arrays.files if key.startswith("sd/")}
    return (
        weights,
        torch.from_numpy(arrays["x"]),
        torch.from_numpy(arrays["wav"]),
        json.loads((folder / "index.json").read_text())[name],
    )


@pytest.mark.parametrize("folder, name", CASES)
def test_output_equals_the_reference(folder, name):
    weights, wav, expected, conf = load(folder, name)
    model = from_reference(weights, conf)
    assert sum(p.numel() for p in model.parameters()) == conf["nparams"]
    assert model.sources == tuple(conf["targets"])
    with torch.no_grad():
        error = (model(wav) - expected).abs().max() / expected.abs().max()
    assert error < 1e-5


@pytest.mark.parametrize("folder, name", CASES)
def test_configuration_is_inferred_and_weights_return_bitwise(folder, name):
    weights, wav, expected, conf = load(folder, name)
    with pytest.warns(UserWarning, match="n_fft / 4 = 512"):
        model = from_reference(weights)
    with torch.no_grad():
        assert (model(wav) - expected).abs().max() / expected.abs().max() < 1e-5
    back = to_reference(model)
    assert set(back) == set(weights) | {"stft.transf.window", "istft.transf.window"}
    for key, value in weights.items():
        assert back[key].shape == value.shape and np.array_equal(back[key].numpy(), value), key
