"""The host's own speech models in the published configurations."""

import pytest
import torch
from speech_helpers import n_params, voices

from asteroid_bsrnn import models

PUBLISHED = [
    ("ConvTasNet", {}, 5_050_545),
    ("DPRNNTasNet", {"kernel_size": 18, "stride": 8}, 3_653_121),
    ("DPRNNTasNet", {"kernel_size": 2, "stride": 1, "bn_chan": 64, "chunk_size": 250}, 2_608_065),
    ("SuDORMRFNet", {"upsampling_depth": 5}, 2_649_732),
    ("SuDORMRFImprovedNet", {"upsampling_depth": 5}, 2_696_337),
]


@pytest.mark.parametrize("name, kwargs, count", PUBLISHED)
def test_published_sizes_and_lengths(name, kwargs, count):
    model = models.get(name)(n_src=2, sample_rate=8000, **kwargs).eval()
    assert n_params(model) == count
    wav = voices(batch=1, length=801).sum(1)
    with torch.no_grad():
        assert model(wav).shape == (1, 2, 801)
