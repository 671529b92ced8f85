"""A share of the stages is computed again in the backward pass: fewer bytes the larger it is, the same gradients to the bit."""

import copy

import pytest
import torch
from helpers import ROOT

from asteroid_bsrnn import models
from asteroid_bsrnn.common.errors import UserError
from asteroid_bsrnn.models.base import MusicModel
from asteroid_bsrnn.models.family import demo_arguments
from asteroid_bsrnn.models.layers.recompute import how_many
from asteroid_bsrnn.models.names import MODELS
from asteroid_bsrnn.recipe.configuration import load_conf
from asteroid_bsrnn.training.options import TrainingOptions
from benchmarks.saved import saved_bytes

BANDS = dict(bands=[[2, 2000], [1, 4000]], feature_dim=8, n_repeats=4, n_fft=512, n_hop=128)
SMALL = {"BSRNN": BANDS, "CausalBSRNN": BANDS}
REPEATS = {"AFRCNN": "num_iters", "SFRCNN": "num_iters", "TFLocoformer": "n_blocks", "BSRoFormer": "n_repeats"}
REPEATS["MelBandRoFormer"] = "n_repeats"
CLASSES = [
    name
    for name in MODELS.names()
    if getattr(MODELS.get(name), "activation_checkpointing", None) is False or name in ("AFRCNN", "SFRCNN")
]
SHARES = (False, 0.25, 0.5, 0.8, True)


def make(name):
    torch.manual_seed(0)
    repeats = {REPEATS[name]: 4} if name in REPEATS else {}
    return MODELS.get(name)(**{**(SMALL.get(name) or demo_arguments(name)), **repeats}).train()


@pytest.mark.parametrize("name", CLASSES)
def test_the_larger_the_share_the_less_is_kept_and_gradients_are_the_same(name):
    network, bytes_kept, gradients = make(name), [], []
    wav = torch.randn(2, network.channels or 1, 6000 if isinstance(network, MusicModel) else 1600)
    for share in SHARES:
        copied = copy.deepcopy(network)
        copied.activation_checkpointing = share
        torch.manual_seed(1)
        bytes_kept.append(saved_bytes(copied, wav))
        copied = copy.deepcopy(network)
        copied.activation_checkpointing = share
        torch.manual_seed(1)
        copied(wav).square().sum().backward()
        gradients.append([value.grad for value in copied.parameters()] + list(copied.buffers()))
    assert bytes_kept == sorted(bytes_kept, reverse=True)
    assert bytes_kept[-1] < bytes_kept[2] < bytes_kept[0]
    for found in gradients[1:]:
        assert all(here is there is None or torch.equal(here, there) for here, there in zip(found, gradients[0]))


def test_the_first_blocks_are_computed_again():
    network, calls = make("BSRNN"), []
    network.activation_checkpointing = 0.5
    for index, block in enumerate(network.blocks):
        block.register_forward_pre_hook(lambda *_, index=index: calls.append(index))
    network(torch.randn(1, 2, 6000)).sum().backward()
    assert calls == [0, 1, 2, 3, 1, 0]


def test_the_share_is_rounded_and_is_one_part_at_least():
    assert [how_many(share, 8) for share in (False, None, 0, 0.01, 0.38, 0.6, 1, True)] == [0, 0, 0, 1, 3, 5, 8, 8]
    with torch.no_grad():
        assert how_many(True, 8) == 0


def test_all_models_of_a_separator_take_the_share():
    members = [models.BSRNN(sources=[source], **BANDS) for source in ("low", "high")]
    separator = models.StemSeparator(members)
    assert separator.activation_checkpointing is False
    separator.activation_checkpointing = 0.25
    assert separator.activation_checkpointing == 0.25
    assert [member.activation_checkpointing for member in separator.networks] == [0.25, 0.25]


@pytest.mark.parametrize("share", [-0.1, 1.5, 2, "often", "0.5"])
def test_what_is_no_share_is_refused(share):
    with pytest.raises(UserError, match=f"a share of the stages between 0 and 1, not {share!r}"):
        TrainingOptions(activation_checkpointing=share)


@pytest.mark.parametrize("recipe", ["musdb18hq", "libri2mix", "wsj0-2mix"])
def test_recipes_take_true_and_a_share(recipe):
    for value in ("true", "0.5", "auto", "1"):
        conf = load_conf(ROOT / "recipes" / recipe, overrides=[f"training.activation_checkpointing={value}"])
        assert str(TrainingOptions(**conf["training"]).activation_checkpointing).lower() == value
    with pytest.raises(UserError, match="training.tf32 is true or false"):
        load_conf(ROOT / "recipes" / recipe, overrides=["training.tf32=0.5"])
