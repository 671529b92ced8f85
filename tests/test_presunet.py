"""PResUNet: equality with the original, sizes, the filter bank, the contract, the authors' checkpoints."""

import pytest
import torch
from table1_checks import (
    CHECKPOINTS,
    assert_equals_golden,
    assert_keeps_contract,
    assert_published,
    assert_recomputes,
    assert_survives_a_file,
    count_on_meta,
    needs_shared,
    reference,
    relative,
)

from asteroid_bsrnn.common.errors import UserError
from asteroid_bsrnn.models import PResUNet
from asteroid_bsrnn.models.presunet import FAMILY
from asteroid_bsrnn.models.presunet.filter_bank import FilterBank

ADAPTER = FAMILY.adapters[0]
SMALL = {"n_units": 1, "n_head_units": 1, "widths": [3, 4, 5, 6, 7]}


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@needs_shared
def test_output_and_gradients_equal_the_original():
    assert_equals_golden(ADAPTER, "presunet_conv1_sub4")


@needs_shared
def test_lightning_checkpoint_gives_its_reference():
    content = torch.load(CHECKPOINTS / "presunet_epoch=49-val_loss=0.0902_trimed.ckpt", weights_only=True)
    model = ADAPTER.build(content["state_dict"], content["hyper_parameters"])
    wav, expected = reference(CHECKPOINTS / "presunet_vocals.ref.npz")
    assert model.sources == ("vocals",) and relative(model(wav), expected) < 1e-5


def test_sizes_are_the_published():
    assert count_on_meta(PResUNet) == 202_581_426
    assert count_on_meta(PResUNet, sources=["bass", "drums", "other"], n_units=4) == 105_199_090
    assert count_on_meta(PResUNet, n_units=1, n_head_units=1) == 31_843_122


@pytest.mark.parametrize("n_subbands, least", [(2, 65), (4, 60), (8, 54)])
def test_own_filter_bank_gives_the_signal_back(n_subbands, least):
    bank, wav = FilterBank(n_subbands), torch.randn(1, 2, 4001)
    there = 4001 // n_subbands * n_subbands
    bands = bank(wav)
    assert bands.shape == (1, 2 * n_subbands, 4001 // n_subbands)
    error = (bank.inverse(bands) - wav[..., :there])[..., 64:-64]
    assert 10 * torch.log10(wav.var() / error.square().mean()) > least


@pytest.mark.parametrize("n_subbands", [2, 4, 8])
def test_a_tone_lies_in_its_band(n_subbands):
    tone = torch.sin(torch.arange(8000.0) * torch.pi * 1.5 / n_subbands)[None, None]  # the middle of the second band
    power = FilterBank(n_subbands)(tone)[0, :, 100:-100].square().mean(-1)
    assert power.argmax() == 1 and power.sum() / power[1] < 1.01


def test_mask_of_one_and_no_rotation_is_the_identity():
    """Masks near 1, rotations by 0: what comes out is what went in, edges included."""
    model = PResUNet(**SMALL).eval()
    out, quarter = model.heads[0].out, model.config.n_maps
    with torch.no_grad():
        out.weight.zero_()
        out.bias.copy_(torch.cat([torch.full((quarter,), 40.0), torch.ones(quarter), torch.zeros(2 * quarter)]))
        wav = torch.randn(1, 2, 4001)
        found = model(wav)[:, 0]
    # the topmost bin of each sub-band has no maps: it is lost
    assert relative(found, wav) < 0.2 and 10 * torch.log10(wav.var() / (found - wav).var()) > 20


@pytest.mark.parametrize("n_subbands, edge", [(1, 0), (2, 64), (4, 0), (4, 64), (8, 64)])
def test_contract(n_subbands, edge):
    model = PResUNet(sources=["a", "b"], n_subbands=n_subbands, edge=edge, **SMALL)
    assert_keeps_contract(model)
    assert model.multiple == n_subbands and model.segment == 132_300 and not model.level_equivariant


def test_mono_networks():
    assert_keeps_contract(PResUNet(in_channels=1, **SMALL))


def test_activation_checkpointing_changes_nothing():
    assert_recomputes(PResUNet(sources=["a", "b"], **SMALL))


def test_saved_and_loaded_to_the_bit(tmp_path):
    assert_survives_a_file(PResUNet(sources=["a", "b"], edge=0, n_subbands=2, **SMALL), tmp_path / "model.pth")


def theirs(model):
    """The weights of a network under the names of the authors' joint checkpoint."""
    state = {}
    for key, value in model.state_dict().items():
        part, *rest = key.replace(".norm1.", ".bn1.").replace(".norm2.", ".bn2.").split(".")
        if part == "bank":
            name = f"f_helper.qmf.{'ana' if rest[0] == 'analysis' else 'syn'}_conv_filter.weight"
        elif part == "norm":
            name = f"bn0.{rest[0]}"
        elif part in ("encoder", "middle"):
            stage = f"encoder_block{int(rest[0]) + 1}" if part == "encoder" else f"conv_block{int(rest[0]) + 7}"
            name = ".".join([stage, f"conv_block{int(rest[1]) + 1}", *rest[2:]])
        elif part == "decoder":
            inner = {"up": ["conv1"], "norm": ["bn1"]}.get(rest[1]) or [f"conv_block{int(rest[2]) + 2}"]
            name = ".".join([f"decoder_block{int(rest[0]) + 1}", *inner, *rest[3 if rest[1] == "units" else 2 :]])
        else:
            head = ("bass", "drums", "other")[int(rest[0])] + "_blocks"
            inner = ["1", *rest[2:]] if rest[1] == "out" else ["0", f"conv_block{int(rest[2]) + 1}", *rest[3:]]
            name = ".".join([head, *inner])
        state[name] = value
    return state


def test_joint_checkpoint_has_its_three_heads_and_drops_frozen_parts():
    widths = SMALL["widths"]
    model = PResUNet(sources=["bass", "drums", "other"], edge=0, n_units=4, n_head_units=4, widths=widths).eval()
    state = theirs(model) | {"f_helper.stft.conv_real.weight": torch.ones(2), "l1loss.weight": torch.ones(1)}
    assert ADAPTER.recognises(state)
    again = ADAPTER.build(state, {"channels": 2, "target": "", "nsrc": 1, "subband": 4})
    assert again.get_model_args() == model.get_model_args()
    wav = torch.randn(1, 2, 4000)
    with torch.no_grad():
        assert torch.equal(again(wav), model(wav))


def test_unknown_and_missing_weights_are_refused_by_name():
    state = theirs(PResUNet(sources=["bass", "drums", "other"], edge=0, **SMALL))
    with pytest.raises(UserError, match="has no weight 'encoder_block9.conv_block1.what'"):
        ADAPTER.build(state | {"encoder_block9.conv_block1.what": torch.ones(1)}, {})
    del state["decoder_block2.conv1.weight"]
    with pytest.raises(UserError, match="no weight in the file becomes 'decoder.1.up.weight'"):
        ADAPTER.build(state, {})


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"n_subbands": 3}, "n_subbands"),
        ({"widths": [4, 4]}, "widths"),
        ({"edge": -1}, "edge"),
        ({"sources": []}, "names"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        PResUNet(**arguments)


def test_published_weights():
    assert set(assert_published(FAMILY)) == {"presunet-vocals", "presunet-joint", "presunet"}
