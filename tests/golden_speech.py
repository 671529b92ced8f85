"""The golden instances of the strongest speech separators, with their authors' names and arguments."""

import json
from functools import lru_cache

import numpy as np
import torch
from helpers import SHARED

FOLDER = SHARED / "golden" / "speech_sota" if SHARED else None


@lru_cache
def golden(name):
    """(tensors by kind and key, settings) of one case."""
    arrays = {key: torch.from_numpy(value) for key, value in np.load(FOLDER / f"{name}.npz").items()}
    entry = json.loads((FOLDER / "index.json").read_text())[name]
    return arrays, {**entry["original_args"], **({"stft": entry["stft"]} if "stft" in entry else {})}


def part(arrays, prefix):
    """The entries under ``prefix/`` without it."""
    return {key[len(prefix) + 1 :]: value for key, value in arrays.items() if key.startswith(f"{prefix}/")}


def assert_golden(model, arrays, renamed):
    """Output to 1e-5 of the peak; gradients with respect to input and named weights to 1e-4 of their largest entry."""
    wav = arrays["x"].clone().requires_grad_()
    out = model(wav)
    assert out.shape == arrays["y"].shape
    assert (out - arrays["y"]).abs().max() <= 1e-5 * arrays["y"].abs().max()
    (out * arrays["w"]).sum().backward()
    weights = dict(model.named_parameters())
    found = {"x": wav.grad, **{key: weights[renamed(key)].grad for key in part(arrays, "g")}}
    for key, expected in {"x": arrays["gx"], **part(arrays, "g")}.items():
        assert (found[key] - expected).abs().max() <= 1e-4 * expected.abs().max(), key


def assert_loss(loss, name, value_tol, gradient_tol):
    """Value and gradient of a loss on both stored estimates."""
    stored = np.load(FOLDER / "losses.npz")
    for kind in ("est", "est2"):
        est = torch.from_numpy(stored[kind]).requires_grad_()
        value = loss(est, torch.from_numpy(stored["ref"]))
        value.backward()
        assert abs(value.item() - float(stored[f"{name}/{kind}"])) <= value_tol
        expected = torch.from_numpy(stored[f"{name}_grad/{kind}"])
        assert (est.grad - expected).abs().max() <= gradient_tol * expected.abs().max()
