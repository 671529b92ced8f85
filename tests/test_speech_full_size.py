"""The waveform-trained speech models in their published sizes, the host's among them, overfit two short mixtures."""

import pytest
import torch
from helpers import ROOT
from speech_helpers import overfit_gain, voices

from asteroid_bsrnn import models
from asteroid_bsrnn.config import load_conf
from asteroid_bsrnn.recipe.cost import recipe_cost
from asteroid_bsrnn.report import published


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, kwargs",
    [
        ("AFRCNN", {"num_iters": 4}),
        ("AFRCNN", {"bn_chan": 128, "fusion": "sum", "num_iters": 4}),
        ("SFRCNN", {"num_iters": 4}),
        ("SDPRNNTasNet", {"prune_dead": False}),
        ("ADPRNNTasNet", {}),
        ("Sandglasset", {}),
        ("ASandglasset", {}),
        ("ConvTasNet", {"n_src": 2}),
        ("DPRNNTasNet", {"n_src": 2, "n_filters": 64, "kernel_size": 18, "stride": 8}),
        ("DPRNNTasNet", {"n_src": 2, "kernel_size": 2, "stride": 1, "bn_chan": 64, "chunk_size": 250}),
        ("SuDORMRFNet", {"n_src": 2, "upsampling_depth": 5}),
        ("SuDORMRFImprovedNet", {"n_src": 2}),
        ("SepReformer", {"bn_chan": 64}),
        ("TFLocoformer", {"n_blocks": 4, "emb_dim": 96, "attention_dim": 96, "ffn_hidden": [256, 256]}),
    ],
)
def test_published_size_overfits_two_mixtures(name, kwargs):
    torch.manual_seed(0)
    assert overfit_gain(models.get(name)(**kwargs), voices(length=480)) > 3


@pytest.mark.slow
@pytest.mark.parametrize(
    "row", [row for row in published.load("speech_today")["rows"] if row["variant"]], ids=lambda row: row["variant"]
)
def test_operations_in_the_table_of_today_are_ours(row):
    conf = load_conf(ROOT / "recipes" / "wsj0-2mix", row["variant"])
    assert recipe_cost(conf, with_macs=True)[1]["total"] == pytest.approx(row["gmac_per_s"], abs=0.006)
