"""SCNet: equality with the original, sizes, spectra, the contract, public checkpoints."""

import pytest
import torch
import yaml
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
from asteroid_bsrnn.models import SCNet
from asteroid_bsrnn.models.scnet import FAMILY
from asteroid_bsrnn.models.scnet.dual_path import from_fourier, to_fourier
from asteroid_bsrnn.models.scnet.spectrum import Spectrum

FORK, AUTHORS = FAMILY.adapters
SMALL = {"sources": ["a", "b"], "dims": [4, 6, 8], "nfft": 512, "hop_size": 128, "num_dplayer": 2}
LARGE = {"dims": [4, 64, 128, 256], "band_SR": [0.225, 0.372, 0.403]}
XL = {"dims": [4, 64, 128, 256], "band_SR": [0.23, 0.37, 0.4], "num_dplayer": 8}
XL_IHF = {**XL, "band_stride": [1, 4, 4], "band_kernel": [3, 4, 4], "conv_depths": [3, 3, 3]}


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@needs_shared
def test_output_and_gradients_equal_the_original():
    assert_equals_golden(FORK, "scnet_original_4", {"standardise": True})


def built_from(adapter, file, config):
    content = torch.load(CHECKPOINTS / file, weights_only=True)
    state, settings = adapter.unwrap(content) or (content, {})
    document = yaml.safe_load((CHECKPOINTS / config).read_text())
    return adapter.build(state, {**settings, **adapter.settings(document)})


@needs_shared
@pytest.mark.parametrize(
    "adapter, file, name, standardise",
    [(FORK, "msst_scnet.ckpt", "msst_scnet", False), (AUTHORS, "scnet_authors_checkpoint.th", "scnet_authors", True)],
)
def test_public_formats_give_their_references(adapter, file, name, standardise):
    model = built_from(adapter, file, f"{name}.yaml")
    wav, expected = reference(CHECKPOINTS / f"{name}.ref.npz")
    assert model.sources == ("drums", "bass", "other", "vocals") and model.sample_rate == 44100
    assert model.config.standardise == standardise and relative(model(wav), expected) < 1e-5


@pytest.mark.parametrize(
    "arguments, count",
    [
        ({}, 10_578_768),
        (LARGE, 42_181_232),
        (XL, 54_006_896),
        (XL_IHF, 53_466_800),
        ({"masked": True}, 10_597_284),
        ({**XL_IHF, "masked": True}, 53_485_316),
    ],
)
def test_sizes_are_the_published(arguments, count):
    assert count_on_meta(SCNet, **arguments) == count


@pytest.mark.parametrize("hann", [False, True])
@pytest.mark.parametrize("length", [1, 127, 128, 256, 257, 5000])
def test_spectrum_has_even_frames_and_an_inverse(length, hann):
    spectrum, wav = Spectrum(512, 128, 512, True, hann), torch.randn(2, 2, length)
    parts = spectrum(wav)
    assert parts.shape[1:3] == (4, 257) and parts.shape[-1] % 2 == 0
    assert torch.allclose(spectrum.inverse(parts, length), wav, atol=1e-5)


def test_a_whole_hop_follows_a_whole_number_of_hops():
    """The original pads 1 to one hop, and a hop more where that makes the number of frames odd."""
    spectrum = Spectrum(512, 128, 512, True, False)
    assert [spectrum.padded_length(length) for length in (1024, 1025, 1151, 1152)] == [1152, 1152, 1152, 1408]


def test_fourier_domain_and_back():
    x = torch.randn(1, 3, 5, 8)
    assert to_fourier(x).shape == (1, 6, 5, 5) and torch.allclose(from_fourier(to_fourier(x), 8), x, atol=1e-6)
    power = to_fourier(x).square()
    assert torch.allclose((power[:, :3] + power[:, 3:])[..., 0], x.sum(-1) ** 2 / 8, atol=1e-4)


@pytest.mark.parametrize(
    "arguments, silent",
    [
        ({}, False),
        ({"standardise": True}, True),
        ({"masked": True}, True),
        ({"in_channels": 1, "dims": [2, 6, 8]}, False),
        ({"conv_depths": [0, 1, 2], "expand": 2, "compress": 2, "normalized": False, "win_size": 400}, False),
    ],
)
def test_contract(arguments, silent):
    model = SCNet(**{**SMALL, **arguments})
    assert_keeps_contract(model, silent=silent)
    assert model.multiple == 128 and model.segment == 485_100 and not model.level_equivariant


def test_standardised_network_follows_the_level():
    model, wav = SCNet(standardise=True, **SMALL).eval(), torch.randn(1, 2, 5000)
    with torch.no_grad():
        assert relative(model(100 * wav) / 100, model(wav)) < 1e-3


def test_masked_network_multiplies_the_mixture():
    """A mask of (1, 0) everywhere gives the mixture for each source."""
    model, wav = SCNet(masked=True, **SMALL).eval(), torch.randn(1, 2, 5000)
    with torch.no_grad():
        model.mask[2].weight.zero_()
        model.mask[2].bias.copy_(torch.tensor([20.0, 0.0]).repeat(4))
        assert torch.allclose(model(wav), wav[:, None].expand(-1, 2, -1, -1), atol=1e-5)


@pytest.mark.parametrize("arguments", [{"standardise": True}, {"masked": True}])
def test_activation_checkpointing_changes_nothing(arguments):
    assert_recomputes(SCNet(**SMALL, **arguments))


def test_saved_and_loaded_to_the_bit(tmp_path):
    assert_survives_a_file(SCNet(masked=True, **SMALL), tmp_path / "model.pth")


THEIRS = (
    (".downs.", ".SDlayer.convs."),
    (".out.", ".globalconv."),
    (".mix.", ".0.conv."),
    (".ups.", ".1.convtrs."),
    ("separator.", "separation_net.dp_modules."),
    ("mask.", "mask_head."),
)


def theirs(model):
    """The weights of a network under the names of the fork."""
    state = {}
    for key, value in model.state_dict().items():
        parts = key.split(".")
        if parts[0] == "encoder" and parts[2] == "convs":
            parts[2:4] = ["conv_modules", parts[3], "layers"]
        if parts[0] == "separator":
            parts[2:4] = [f"{parts[3]}_layers", parts[2]]
        name = "pos_embed_f" if key == "position" else ".".join(parts)
        for ours, other in THEIRS:
            name = name.replace(ours, other)
        state[name] = value
    return state


@pytest.mark.parametrize("masked", [False, True])
def test_what_is_not_set_is_read_from_shapes(masked):
    model = SCNet(masked=masked, compress=2, **SMALL).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3)
    state = theirs(model)
    assert FORK.recognises(state)
    assert AUTHORS.unwrap({"best_nsdr": 1.0, "best_state": {f"module.{key}": value for key, value in state.items()}})
    settings = {"nfft": 512, "hop_size": 128, "band_SR": [0.175, 0.392, 0.433], "band_stride": [1, 4, 16]}
    settings = FORK.settings(settings)
    again = FORK.build(state, settings)
    assert again.sources == ("s1", "s2") and again.config.masked == masked and again.config.compress == 2
    wav = torch.randn(1, 2, 3000)
    with torch.no_grad():
        assert torch.equal(again(wav), model(wav))
    with pytest.raises(UserError, match="lack hop_size, band_SR, band_stride"):
        FORK.config(state, {"nfft": 512})


def test_unknown_and_missing_weights_are_refused_by_name():
    state, settings = theirs(SCNet(**SMALL)), {**SMALL, "band_SR": [0.175, 0.392, 0.433], "band_stride": [1, 4, 16]}
    with pytest.raises(UserError, match="has no weight 'separation_net.dp_modules.0.attn.weight'"):
        FORK.build(state | {"separation_net.dp_modules.0.attn.weight": torch.ones(1)}, settings)
    del state["decoder.0.0.conv.bias"]
    with pytest.raises(UserError, match="becomes 'decoder.0.mix.bias'"):
        FORK.build(state, settings)
    with pytest.raises(UserError, match="'encoder.0.SDlayer.convs.2.weight' has the shape .* ask for"):
        FORK.build(theirs(SCNet(**SMALL)), {**settings, "band_kernel": [3, 4, 8]})


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"num_dplayer": 3}, "num_dplayer must be even"),
        ({"dims": [2, 8]}, "dims must be twice in_channels"),
        ({"conv_kernel": 4}, "conv_kernel must be odd"),
        ({"band_stride": [1, 4]}, "band_stride must have 3"),
        ({"nfft": 8, "hop_size": 2, "band_SR": [0.1, 0.1, 0.8]}, "nfft 8 is too small"),
        ({"masked": True, "standardise": True}, "exclude each other"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        SCNet(**arguments)


def test_published_weights_have_the_sizes_that_their_notes_state():
    for entry in assert_published(FAMILY).values():
        settings = {key: value for key, value in entry["settings"].items() if key != "audio_channels"}
        masked = "masked" in entry["address"][0]
        assert f"{count_on_meta(SCNet, masked=masked, **settings):,} parameters" in entry["note"]
