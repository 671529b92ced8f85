"""The waveform-trained speech models in their published sizes overfit two short mixtures."""
import pytest
import torch
from speech_helpers import overfit_gain, voices

from asteroid_bsrnn import models


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, kwargs",
    [
        ("AFRCNN", {"num_iters": 4}),
        ("SDPRNNTasNet", {"prune_dead": False}),
        ("ADPRNNTasNet", {}),
        ("Sandglasset", {}),
        ("ASandglasset", {}),
    ],
)
def test_published_size_overfits_two_mixtures(name, kwargs):
    torch.manual_seed(0)
    assert overfit_gain(models.get(name)(**kwargs), voices(length=480)) > 3
