"""ConvTDFNet, DTTNet, TFC-TDF v3: the contract, the published sizes, what must hold for every network of the family."""

import json

import pytest
import torch
from asteroid.models import BaseModel

from asteroid_bsrnn.models import ConvTDFNet, DTTNet, Mixer, TFCTDFv3, get
from asteroid_bsrnn.models.tfc_tdf import FAMILY

SMALL = {"n_fft": 64, "n_hop": 16, "dim_f": 32, "dim_t": 8}
V3 = {**SMALL, "n_scales": 2, "n_blocks": 1, "n_chan": 4, "growth": 2, "bottleneck": 2}
CONV = {**SMALL, "n_levels": 2, "n_convs": 1, "growth": 4, "bottleneck": 4}
DTT = {**SMALL, "n_levels": 1, "n_convs": 1, "growth": 16, "bottleneck": 4, "n_repeats": 1, "n_heads": 2}
CASES = {
    "v3": (TFCTDFv3, V3),
    "v3 batch norm": (TFCTDFv3, {**V3, "norm_type": "BatchNorm", "act": "elu0.5", "scale": [1, 2], "n_subbands": 2}),
    "v3 group norm": (
        TFCTDFv3,
        {**V3, "norm_type": "GroupNorm2", "act": "relu", "scale": [3, 2], "sources": ["vocals"]},
    ),
    "v3 no norm, mono": (TFCTDFv3, {**V3, "norm_type": "none", "in_channels": 1}),
    "conv": (ConvTDFNet, CONV),
    "conv group norm": (ConvTDFNet, {**CONV, "norm_type": "GroupNorm2", "bias": True, "kernel_size": 1}),
    "conv one linear layer": (ConvTDFNet, {**CONV, "bottleneck": 0, "kernel_size": 5}),
    "conv without TDF": (ConvTDFNet, {**CONV, "bottleneck": None, "in_channels": 1}),
    "dttnet": (DTTNet, DTT),
    "dttnet GRU": (
        DTTNet,
        {**DTT, "rnn_type": "GRU", "bidirectional": False, "block_type": "TFC_TDF_Res1", "n_heads": 1},
    ),
    "dttnet plain": (DTTNet, {**DTT, "block_type": "TFC_TDF", "norm_type": "SyncBatchNorm", "bottleneck": None}),
}


@pytest.fixture(params=list(CASES))
def model(request):
    """A network in evaluation mode whose running statistics are not the initial ones."""
    cls, args = CASES[request.param]
    torch.manual_seed(0)
    network = cls(**args).eval()
    for name, buffer in network.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            buffer.uniform_(0.1, 1)
    return network


def music(*shape):
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("length", [1, 15, 33, 112, 113, 300])
def test_any_length_gives_the_same_length(model, length):
    with torch.no_grad():
        est = model(music(2, model.channels, length))
    assert est.shape == (2, model.n_src, model.channels, length) and est.isfinite().all() and est.abs().max() > 0


def test_any_rank_and_number_of_channels(model):
    wav = music(2, 3, 200)
    with torch.no_grad():
        assert model(wav).shape == (2, model.n_src, 3, 200)
        mono = model(wav[:, 0])
        assert mono.shape == (2, model.n_src, 200) and model(wav[0, 0]).shape == (model.n_src, 200)
        equal_channels = model(wav[:, :1].expand(-1, model.channels, -1)).mean(2)
    assert torch.allclose(mono, equal_channels, atol=1e-6)


def test_items_of_a_batch_are_independent(model):
    wav = music(3, model.channels, 200)
    with torch.no_grad():
        assert torch.allclose(model(wav)[1:2], model(wav[1:2]), atol=1e-6)


def test_silence_is_finite_and_stays_silent_where_nothing_has_a_bias(model):
    with torch.no_grad():
        est = model(torch.zeros(1, model.channels, 200))
    assert est.isfinite().all()
    if isinstance(model, TFCTDFv3):
        assert (est == 0).all()


def test_a_native_segment_is_on_the_grid_and_is_not_extended(model):
    assert model.segment % model.multiple == 0
    n_frames = model.config.frame_multiple * 20
    exact = model.n_hop * (n_frames - 1)
    assert [model.frames_for(exact + more) - n_frames for more in (0, 1)] == [0, model.config.frame_multiple]


@pytest.mark.parametrize("training", [False, True])
def test_gradients_reach_every_parameter_and_checkpointing_changes_nothing(model, training):
    results = []
    for recompute in (False, True):
        network = type(model)(**model.get_model_args()).train(training)
        network.load_state_dict(model.state_dict())
        network.activation_checkpointing = recompute
        wav = music(2, model.channels, 300).requires_grad_()
        (network(wav) ** 2).sum().backward()
        gradients = {name: parameter.grad for name, parameter in network.named_parameters()}
        results.append((wav.grad, gradients, network.state_dict()))
    (gx, gradients, state), (gx_again, gradients_again, state_again) = results
    assert torch.equal(gx, gx_again)
    for name, gradient in gradients.items():
        assert gradient is not None and gradient.isfinite().all(), name
        assert torch.equal(gradient, gradients_again[name]), name
    for name, value in state.items():
        assert torch.equal(value, state_again[name]), name


def test_checkpointing_keeps_less(model):
    def kept(recompute):
        model.activation_checkpointing, sizes = recompute, []
        with torch.autograd.graph.saved_tensors_hooks(lambda x: sizes.append(x.numel()) or x, lambda x: x):
            model(music(1, model.channels, 300))
        return sum(sizes)

    assert kept(True) < 0.8 * kept(False)


def test_autocast_keeps_the_stft_in_single_precision(model):
    wav = music(2, model.channels, 300)
    with torch.no_grad():
        full = model(wav)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            half = model(wav)
        whole = model.to(torch.bfloat16)(wav)
    for est in (half, whole):
        assert est.dtype == torch.float32 and est.isfinite().all()
        assert (est - full).abs().max() < 0.2 * full.abs().max()


def test_files_give_the_model_back(model, tmp_path):
    torch.save(model.serialize(), tmp_path / "model.pth")
    again = BaseModel.from_pretrained(str(tmp_path / "model.pth")).eval()
    assert json.loads(json.dumps(again.get_model_args())) == json.loads(json.dumps(model.get_model_args()))
    wav = music(1, model.channels, 200)
    with torch.no_grad():
        assert torch.equal(model(wav), again(wav))
    args = json.loads(json.dumps(model.get_model_args()))
    assert type(model)(**args).get_model_args() == model.get_model_args()


MODEL_1 = {"n_hop": 2048, "dim_t": 128, "n_chan": 128}
SIZES = [
    (ConvTDFNet, {}, 7_423_236),
    (ConvTDFNet, {"n_fft": 16384, "sources": ["bass"]}, 7_423_236),
    (DTTNet, {}, 4_958_468),
    (DTTNet, {"sources": ["bass"], "dim_f": 864, "bottleneck": 2}, 4_184_388),
    (TFCTDFv3, {}, 30_119_168),
    (TFCTDFv3, MODEL_1, 45_813_888),
    (TFCTDFv3, {**MODEL_1, "n_chan": 256}, 89_712_512),
    (TFCTDFv3, {**MODEL_1, "n_fft": 12288, "sources": ["vocals"]}, 45_807_744),
    (TFCTDFv3, {"n_chan": 128, "growth": 128}, 111_994_368),
]


@pytest.mark.parametrize("cls, args, size", SIZES)
def test_published_sizes(cls, args, size):
    with torch.device("meta"):
        model = cls(**args)
    assert sum(parameter.numel() for parameter in model.parameters()) == size
    assert model.segment == (260_096 if "n_hop" in args else 261_120)


@pytest.mark.parametrize(
    "cls, args, words",
    [
        (ConvTDFNet, {"sources": ["vocals", "bass"]}, "one name"),
        (ConvTDFNet, {"dim_f": 2000}, "2000 bins cannot be divided by 2 5 times"),
        (ConvTDFNet, {"kernel_size": 2}, "kernel_size must be odd"),
        (ConvTDFNet, {"dim_f": 4000}, "dim_f must be a whole number of 1 to 3073"),
        (ConvTDFNet, {"n_hop": 4000}, "n_hop"),
        (ConvTDFNet, {"norm_type": "GroupNorm3"}, "do not divide 32 channels"),
        (DTTNet, {"block_type": "TFC_TDF_Res3"}, "did you mean 'TFC_TDF_Res"),
        (DTTNet, {"n_heads": 8}, "n_heads 8 leaves 12 of 96"),
        (DTTNet, {"rnn_type": "RNN"}, "rnn_type"),
        (TFCTDFv3, {"n_subbands": 3}, "not divisible by n_subbands 3"),
        (TFCTDFv3, {"n_scales": 11}, "cannot be divided"),
        (TFCTDFv3, {"act": "elux"}, "unknown act 'elux'"),
        (TFCTDFv3, {"norm_type": "LayerNorm"}, "unknown norm_type"),
        (TFCTDFv3, {"scale": 2}, "scale"),
    ],
)
def test_wrong_arguments_are_refused(cls, args, words):
    with torch.device("meta"), pytest.raises(ValueError, match=words):
        cls(**args)


def test_the_family_is_registered_and_its_demonstration_sizes_run():
    for cls in (TFCTDFv3, ConvTDFNet, DTTNet, Mixer):
        assert get(cls.__name__.lower()) is cls
    for name, args in FAMILY.demo.items():
        with torch.no_grad():
            assert get(name)(**args).eval()(music(1, 2, 5000)).isfinite().all()


def test_the_mixer_begins_as_the_identity_and_mixes_samples():
    mixer, est, wav = Mixer(), music(2, 4, 2, 50), music(2, 2, 50)
    with torch.no_grad():
        assert torch.equal(mixer.mix(est, wav), est)
        mixer.mixing_layer.weight[0, -1] = 2  # twice the right channel of the mixture into the left one of the bass
        assert torch.allclose(mixer.mix(est, wav)[:, 0, 0], est[:, 0, 0] + 2 * wav[:, 1])
    assert mixer.n_src == 4 and mixer.channels == 10 and Mixer(**mixer.get_model_args()).sources == mixer.sources
