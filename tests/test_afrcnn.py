"""A-FRCNN and S-FRCNN: published sizes, the block against the obvious one, iterations, checkpointing, overfit."""

import pytest
import torch
from speech_helpers import assert_same_function, mean_si_sdr, n_params, overfit_gain, small_model, voices

from asteroid_bsrnn.models import AFRCNN, SFRCNN
from asteroid_bsrnn.models.afrcnn.frcnn import ChannelScale, FRCNNBlock
from asteroid_bsrnn.models.layers.multi_scale import AsyncFusion, NeighbourFusion, SyncFusion
from benchmarks.naive_speech import NaiveForms

naive = NaiveForms()

LENGTHS = [1, 2, 5, 16, 33, 100]


@pytest.mark.parametrize(
    "kwargs, count",
    [
        ({}, 6_134_793),
        ({"num_iters": 4}, 6_134_793),
        ({"decoder": "shared"}, 6_102_537),
        ({"bn_chan": 128, "fusion": "sum"}, 1_739_785),
    ],
)
def test_published_sizes(kwargs, count):
    assert n_params(AFRCNN(**kwargs)) == count


def test_size_of_sfrcnn():
    # Per step: 4 depthwise convolutions with norm and 5 fusions (3,415,557); no fusion of all scales at the end.
    step = 4 * 4_096 + 3_415_557
    assert n_params(SFRCNN(prune_dead=False)) == 6_134_793 - 1_312_257 + 3 * step


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("fusion", ["concat", "sum"])
def test_async_block_is_the_naive_one(length, fusion):
    torch.manual_seed(0)
    block = FRCNNBlock(6, 8, AsyncFusion(8, 5, fusion=fusion))
    fuse = naive.pointwise if fusion == "concat" else naive.summed
    x = torch.randn(2, 6, length)

    def reference(x):
        return naive.frcnn_block(block, x, lambda layer, scales: naive.async_fusion(layer, scales, fuse))

    assert_same_function(block.double(), reference, x.double(), tol=1e-8)
    torch.testing.assert_close(block.float()(x), reference(x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("length", LENGTHS)
def test_sync_block_is_the_naive_one(length):
    torch.manual_seed(0)
    block = FRCNNBlock(6, 8, SyncFusion(8, 5, 4)).double()
    x = torch.randn(2, 6, length, dtype=torch.float64)
    assert_same_function(block, lambda x: naive.frcnn_block(block, x, naive.sync_fusion), x, tol=1e-8)


def test_neighbours_are_updated_from_old_values():
    """Only neighbours' old values are read: a change of scale 0 reaches scale 1, not scale 2."""
    layer = NeighbourFusion(4, 4, 4)
    scales = [torch.randn(1, 4, length) for length in (16, 8, 4, 2)]
    before = layer(scales)
    after = layer([scales[0] + torch.randn(1, 4, 16)] + scales[1:])
    changed = [not torch.allclose(a, b) for a, b in zip(before, after)]
    assert changed == [True, True, False, False]


@pytest.mark.parametrize("steps", [1, 2, 4, 6])
def test_pruned_synchronous_scheme_is_the_same_function(steps):
    torch.manual_seed(0)
    full, pruned = SyncFusion(6, 5, steps, prune_dead=False), SyncFusion(6, 5, steps)
    missing, unexpected = pruned.load_state_dict(full.state_dict(), strict=False)
    assert missing == []
    scales = [torch.randn(2, 6, length) for length in (32, 16, 8, 4, 2)]
    torch.testing.assert_close(pruned(scales[: pruned.n_scales]), full(scales))
    pruned(scales[: pruned.n_scales]).sum().backward()
    assert all(p.grad is not None for p in pruned.parameters())
    full(scales).square().sum().backward()
    dead = {name for name, p in full.named_parameters() if p.grad is None}
    assert dead == set(unexpected)


def test_iterations_follow_the_recurrence():
    model = small_model("afrcnn").eval()
    trunk, x = model.trunk, torch.randn(1, 16, 40)
    r = trunk.block(x)
    for _ in range(2):
        r = trunk.block(trunk.rescale(x + r))
    torch.testing.assert_close(trunk(x, 3), r)


@pytest.mark.parametrize("kind", ["afrcnn", "sfrcnn"])
def test_another_number_of_iterations_at_inference(kind):
    model, shallow, wav = small_model(kind), small_model(kind, num_iters=1), torch.randn(1, 640)
    shallow.load_state_dict(model.state_dict())
    with torch.no_grad():
        assert torch.equal(model(wav, num_iters=1), shallow(wav))
        assert torch.equal(model(wav, num_iters=3), model(wav))
        assert mean_si_sdr(model(wav, num_iters=8), model(wav)) < 60
    with pytest.raises(ValueError, match="num_iters"):
        model(wav, num_iters=0)


@pytest.mark.parametrize("kind", ["afrcnn", "sfrcnn"])
def test_checkpointed_gradients_are_the_plain_ones(kind):
    wav, kept = voices(length=800).sum(1), []

    def count(tensor):
        kept[-1] += tensor.numel()
        return tensor

    gradients = []
    for checkpointing in (False, True):
        model = small_model(kind, num_iters=6, checkpointing=checkpointing)
        kept.append(0)
        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            loss = model(wav).square().sum()
        loss.backward()
        gradients.append([p.grad for p in model.parameters()])
    torch.testing.assert_close(gradients[1], gradients[0])
    assert kept[1] < kept[0] / 5


@pytest.mark.parametrize("length, frames", [(16, 16), (160, 16), (161, 32), (8001, 816)])
def test_frames_come_in_multiples_of_the_coarsest_scale(length, frames):
    """The published padding: whole hops of 10 samples and whole strides of 2**5 samples, 160 together."""
    model, seen = small_model("afrcnn"), []
    model.trunk.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0].shape[-1]))
    model(torch.randn(1, length))
    assert seen == [frames]


def test_joint_decoder_mixes_sources_and_shared_does_not():
    for decoder, reaches in (("joint", True), ("shared", False)):
        model, wav = small_model("afrcnn", decoder=decoder, n_src=3), torch.randn(1, 320)
        out = model(wav)
        grad = torch.autograd.grad(out[:, 0].square().sum(), model.mask_net[1].weight)[0].unflatten(0, (3, -1))
        assert bool(grad[0].any()) and bool(grad[1].any()) is reaches


def test_files_say_whether_iterations_are_recomputed_now():
    model = small_model("afrcnn", checkpointing=True)
    assert model.activation_checkpointing and model.get_model_args()["checkpointing"]
    model.activation_checkpointing = False
    assert not model.get_model_args()["checkpointing"]


@pytest.mark.parametrize(
    "kwargs, said",
    [
        ({"kernel_size": 20}, "kernel_size"),
        ({"kernel_size": 1}, "kernel_size"),
        ({"n_scales": 1}, "n_scales"),
        ({"hid_chan": 0}, "hid_chan"),
        ({"bn_chan": 0}, "bn_chan"),
        ({"num_iters": 0}, "num_iters"),
        ({"fusion": "mean"}, "fusion"),
        ({"decoder": "both"}, "decoder"),
    ],
)
def test_bad_arguments(kwargs, said):
    with pytest.raises(ValueError, match=said):
        AFRCNN(**kwargs)


def test_bad_steps():
    with pytest.raises(ValueError, match="sync_steps"):
        SFRCNN(sync_steps=0)


@pytest.mark.parametrize("kind", ["afrcnn", "afrcnn_sum", "sfrcnn"])
def test_overfits_two_mixtures(kind):
    model = small_model(kind, n_filters=128, bn_chan=64, hid_chan=64)
    assert overfit_gain(model, voices(length=1200)) > 3


def test_channel_scale_is_the_depthwise_convolution(monkeypatch):
    layer, x = ChannelScale(5), torch.randn(2, 5, 7)
    expected = torch.nn.Conv1d.forward(layer, x)
    torch.testing.assert_close(layer(x), expected)
    with monkeypatch.context() as patch:
        patch.setattr("asteroid_bsrnn.common.products.PLAIN", True)
        assert "Convolution" in str(layer(x).grad_fn) and torch.equal(layer(x), expected)
    assert layer(x.bfloat16()).dtype == torch.bfloat16, "as autocast gives it"
