"""The waveform-trained speech models in their published sizes, the host's among them, overfit two short mixtures."""
import pytest
import torch
from speech_helpers import overfit_gain, voices

from asteroid_bsrnn import models


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
    ],
)
def test_published_size_overfits_two_mixtures(name, kwargs):
    torch.manual_seed(0)
    assert overfit_gain(models.get(name)(**kwargs), voices(length=480)) > 3
