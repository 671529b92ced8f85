"""A- and S-DualPathRNN: published sizes, chunks, blocks against the obvious ones, tying, dead weights, overfit."""

import pytest
import torch
from speech_helpers import assert_same_function, n_params, overfit_gain, small_model, voices

from asteroid_bsrnn.models import ADPRNNTasNet, SDPRNNTasNet
from asteroid_bsrnn.models.dual_path.blocks import INTER, INTRA, MultiScaleIntra, RecurrentPath
from asteroid_bsrnn.models.layers.chunking import Chunks
from asteroid_bsrnn.models.layers.codec import LearnedCodec
from asteroid_bsrnn.models.layers.multi_scale import AsyncFusion, SyncFusion
from benchmarks.naive_speech import NaiveForms

naive = NaiveForms()


@pytest.mark.parametrize(
    "cls, kwargs, count",
    [
        (ADPRNNTasNet, {}, 2_918_279),
        (ADPRNNTasNet, {"preset": "literal"}, 1_001_607),
        (ADPRNNTasNet, {"n_blocks": 6}, 2_918_279 - 297_344),
        (SDPRNNTasNet, {"prune_dead": False}, 3_493_013),
        (SDPRNNTasNet, {}, 3_493_013 - 440_074),
    ],
)
def test_published_sizes(cls, kwargs, count):
    assert n_params(cls(**kwargs)) == count


def test_published_s_dprnn_has_exactly_its_dead_weights():
    model, sources = SDPRNNTasNet(prune_dead=False), voices(batch=1, length=400)
    (model(sources.sum(1)) - sources).square().sum().backward()
    dead = {name: p for name, p in model.named_parameters() if p.grad is None or not p.grad.any()}
    assert sum(p.numel() for p in dead.values()) == 440_074
    assert all(".fusion.steps." in name for name in dead)


def test_pruning_changes_nothing_but_the_size():
    full, pruned = small_model("s_dprnn", prune_dead=False), small_model("s_dprnn")
    assert pruned.load_state_dict(full.state_dict(), strict=False).missing_keys == []
    wav = torch.randn(2, 900)
    with torch.no_grad():
        torch.testing.assert_close(pruned(wav), full(wav))


@pytest.mark.parametrize("chunk_size, hop_size", [(8, 4), (9, 3), (5, 5), (4, 1), (1, 1)])
def test_chunks_join_to_what_was_split(chunk_size, hop_size):
    chunks = Chunks(chunk_size, hop_size)
    for n_frames in range(1, 30):
        x = torch.randn(2, 3, n_frames)
        parts = chunks.split(x)
        assert parts.shape[:3] == (2, 3, chunk_size)
        torch.testing.assert_close(chunks.join(parts, n_frames), x)
        ones = chunks.split(torch.ones(1, 1, n_frames))
        assert ones.sum() == n_frames * chunk_size // hop_size


def test_convolution_commutes_with_join():
    chunks, conv = Chunks(8, 4), torch.nn.Conv1d(3, 5, 1)
    parts = torch.randn(2, 3, 8, 6)
    each = torch.stack([conv(part) for part in parts.unbind(3)], dim=3)
    torch.testing.assert_close(conv(chunks.join(parts, 18)), chunks.join(each, 18))


@pytest.mark.parametrize("kernel_size, stride", [(18, 8), (16, 8), (2, 1), (8, 8), (21, 10)])
def test_every_sample_is_in_a_frame(kernel_size, stride):
    codec = LearnedCodec(4, kernel_size, stride)
    torch.nn.init.ones_(codec.encoder.weight)
    for length in range(1, 60):
        wav = torch.zeros(1, length)
        wav[0, -1] = 1.0
        frames = codec.encode(wav)
        assert frames.sum() > 0
        assert (frames.shape[-1] - 1) * stride + kernel_size - length < max(kernel_size, stride)
        assert codec.decode(frames.unsqueeze(1), length).shape == (1, 1, length)


@pytest.mark.parametrize("axis", [INTRA, INTER])
def test_recurrent_path_is_the_naive_one(axis):
    torch.manual_seed(0)
    path = RecurrentPath(6, 5, axis).double()
    x = torch.randn(2, 6, 7, 4, dtype=torch.float64)
    assert_same_function(path, lambda x: naive.recurrent(path.rnn, path.proj, x, axis), x, tol=1e-8)


@pytest.mark.parametrize("chunk_size", [2, 7, 16, 25])
@pytest.mark.parametrize("per_stage_proj", [True, False])
@pytest.mark.parametrize("scheme", ["async", "sync"])
def test_multi_scale_intra_is_the_naive_one(chunk_size, per_stage_proj, scheme):
    torch.manual_seed(0)
    fusion = AsyncFusion(6, 5, 2) if scheme == "async" else SyncFusion(6, 5, 4, 2)
    module = MultiScaleIntra(6, 4, fusion, per_stage_proj)
    reference = naive.async_fusion if scheme == "async" else naive.sync_fusion
    x = torch.randn(2, 6, chunk_size, 3)

    def naively(x):
        return naive.multi_scale_intra(module, x, reference)

    assert_same_function(module.double(), naively, x.double(), tol=1e-8)
    torch.testing.assert_close(module.float()(x), naively(x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("tie_intra, tie_inter", [(True, True), (True, False), (False, True), (False, False)])
def test_tied_modules_serve_every_block(tie_intra, tie_inter):
    model = small_model("a_dprnn", n_blocks=3, tie_intra=tie_intra, tie_inter=tie_inter)
    paths, used = model.paths, []
    for kind in ("intra", "inter"):
        for i, module in enumerate(getattr(paths, kind)):
            module.register_forward_hook(lambda *_, name=(kind, i): used.append(name))
    model(torch.randn(1, 500))
    expected = [
        (kind, 0 if tied else b) for b in range(3) for kind, tied in (("intra", tie_intra), ("inter", tie_inter))
    ]
    assert used == expected


def test_preset_gives_way_to_what_is_given():
    model = ADPRNNTasNet(preset="literal", n_blocks=2, per_stage_proj=True, bn_chan=8, hid_size=4)
    assert (model.n_blocks, model.tie_intra, model.tie_inter, model.per_stage_proj) == (2, True, True, True)
    assert ADPRNNTasNet(**model.get_model_args()).get_model_args() == model.get_model_args()


@pytest.mark.parametrize(
    "kwargs, said",
    [
        ({"preset": "published"}, "preset"),
        ({"hop_size": 30}, "hop_size"),
        ({"chunk_size": 0}, "chunk_size"),
        ({"stride": 20}, "stride"),
        ({"n_scales": 1}, "n_scales"),
        ({"n_blocks": 0}, "n_blocks"),
        ({"hid_size": 0}, "hid_size"),
        ({"n_filters": 0}, "n_filters"),
    ],
)
@pytest.mark.parametrize("cls", [ADPRNNTasNet, SDPRNNTasNet])
def test_bad_arguments(cls, kwargs, said):
    with pytest.raises(ValueError, match=said):
        cls(**kwargs)


def test_bad_steps():
    with pytest.raises(ValueError, match="sync_steps"):
        SDPRNNTasNet(sync_steps=0)


@pytest.mark.parametrize("kind", ["a_dprnn", "s_dprnn", "a_dprnn_literal"])
def test_overfits_two_mixtures(kind):
    model = small_model(kind, n_filters=64, bn_chan=48, hid_size=48)
    assert overfit_gain(model, voices(length=1200), lr=2e-3) > 3
