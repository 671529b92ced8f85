"""RoFormers against the originals: stored outputs and gradients, and every option against a plain transcription."""

import json

import numpy as np
import oracle_roformer
import pytest
import torch
from helpers import SHARED
from roformers import ADAPTERS, BANDS, ORIGINAL, foreign_state, model_channels, noise, tiny, worst


def goldens():
    folder = SHARED / "golden" / "table1" if SHARED else None
    index = json.loads((folder / "index.json").read_text()) if folder else {}
    return [(folder, entry) for entry in index.values() if entry["system"] in ADAPTERS]


@pytest.mark.skipif(not SHARED, reason="needs the reference material")
@pytest.mark.parametrize(
    "folder, entry", goldens(), ids=lambda value: value.get("file", "") if isinstance(value, dict) else ""
)
def test_outputs_and_gradients_of_the_originals(folder, entry):
    stored, grads = np.load(folder / entry["file"]), np.load(folder / entry["grad"]["file"])
    state = {key[3:]: torch.tensor(stored[key]) for key in stored.files if key.startswith("sd/")}
    model = ADAPTERS[entry["system"]].build(state, entry["args"])
    assert sum(weight.numel() for weight in model.parameters()) == entry["params_trainable"]
    wav = torch.tensor(stored["x"]).requires_grad_()
    estimates = model(wav)
    assert estimates.shape == (len(wav), model.n_src, *wav.shape[1:])
    common = estimates[..., : stored["y"].shape[-1]].reshape(stored["y"].shape)
    assert worst(common, stored["y"]) < 1e-5
    (common * torch.tensor(grads["w"])).sum().backward()
    assert worst(wav.grad, grads["gx"]) < 1e-4
    weights = dict(model.named_parameters())
    for key in entry["grad"]["of"][1:]:
        assert worst(weights[key].grad, grads[f"g/{key}"]) < 1e-4


OPTIONS = {
    "plain": {},
    "mono, stems": dict(stereo=False, num_stems=3),
    "deep": dict(depth=1, time_transformer_depth=2, freq_transformer_depth=3),
    "linear attention": dict(linear_transformer_depth=2),
    "skip": dict(depth=4, skip_connection=True),
    "window": dict(stft_win_length=96, stft_normalized=True),
    "dc": dict(zero_dc=False),
    "shallow masks": dict(mask_estimator_depth=1),
    "deep masks": dict(mask_estimator_depth=3, mlp_expansion_factor=1),
    "heads": dict(heads=3, dim_head=2),
    "all": dict(
        depth=3,
        linear_transformer_depth=1,
        skip_connection=True,
        stft_win_length=90,
        zero_dc=False,
        num_stems=2,
        stereo=False,
    ),
}


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("system", ADAPTERS)
def test_every_option_is_as_described(system, option):
    """Settings in the original's words and weights under its names: our network against a plain transcription."""
    args = {
        **ORIGINAL,
        **({"freqs_per_bands": BANDS} if system == "bs_roformer" else {"num_bands": 8}),
        **OPTIONS[option],
    }
    adapter = ADAPTERS[system]
    state = foreign_state(adapter, args)
    model, wav = adapter.build(state, args), noise(2, model_channels(args), 500)
    expected = oracle_roformer.separate(state, args, model.config.bins, wav)
    with torch.no_grad():
        assert worst(model(wav), expected) < 1e-5


def test_norms_of_the_paper_are_one_for_each_band():
    """With equal gains they are the shared norm; with unequal ones each band's masks feel its own."""
    paper, shared = tiny(bands=BANDS), tiny(bands=BANDS, final_norm="shared")
    for norm in paper.mask_estimators[0].norms:
        norm.gamma.data = shared.final_norm.gamma.data.clone()
    same = {key: weight for key, weight in paper.state_dict().items() if ".norms." not in key}
    shared.load_state_dict({**same, "final_norm.gamma": shared.final_norm.gamma})
    spec = torch.view_as_complex(noise(1, 2, 65, 9, 2))
    torch.testing.assert_close(paper.masks(spec), shared.masks(spec))
    before = paper.masks(spec)
    paper.mask_estimators[0].norms[3].gamma.data *= 2
    changed = (paper.masks(spec) - before).abs().amax((0, 1, 2, 4)) > 1e-6
    assert changed.nonzero().flatten().tolist() == [6, 7]
