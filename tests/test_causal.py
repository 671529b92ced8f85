"""The causal BSRNN: it hears no future, and blocks of any size give what the whole recording gives."""

import pytest
import torch
from asteroid.models import BaseModel
from torch.nn import functional as F

from asteroid_bsrnn.common.errors import UserError
from asteroid_bsrnn.convert import to_reference
from asteroid_bsrnn.dsp.low_delay import LowDelaySTFT
from asteroid_bsrnn.losses import TimeTFLoss
from asteroid_bsrnn.models import BSRNN, CausalBSRNN, StemSeparator
from asteroid_bsrnn.models.base import count_params
from asteroid_bsrnn.models.layers.cumulative import cumulative_norm
from asteroid_bsrnn.separation import Separator

HOP = 64
TINY = dict(feature_dim=8, n_repeats=2, n_fft=256, n_hop=HOP)
VARIANTS = {
    "base": {},
    "naive": dict(stereo="naive", group_num=2),
    "tac": dict(stereo="tac", n_heads=2, time_layer="gru"),
    "bands only": dict(time_layer="none", band_layer="dilated", bidirectional=False),
    "sources": dict(sources=("low", "high", "rest"), residual_source=True, mask_context=1),
}


def tiny(seed=0, **arguments):
    torch.manual_seed(seed)
    return CausalBSRNN(**{**TINY, **arguments}).eval()


def noise(*shape, seed=0):
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def streamed(stream, wav, sizes):
    """What a stream gives for a recording in blocks of these sizes, which repeat."""
    parts, start, index = [], 0, 0
    while start < wav.shape[-1]:
        parts.append(stream.push(wav[..., start : start + sizes[index % len(sizes)]]))
        start, index = start + sizes[index % len(sizes)], index + 1
    return torch.cat([*parts, stream.finish()], dim=-1)


@pytest.mark.parametrize("n_fft, n_hop", [(256, 64), (256, 128), (250, 33), (2048, 512)])
def test_the_transform_gives_every_length_back(n_fft, n_hop):
    stft = LowDelaySTFT(n_fft, n_hop)
    for length in (1, n_hop - 1, n_hop, n_hop + 1, n_fft, 3000):
        wav = torch.randn(2, length)
        spec = stft(wav)
        assert spec.shape == (2, n_fft // 2 + 1, stft.n_frames(length))
        torch.testing.assert_close(stft.inverse(spec, length), wav, atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("arguments", [(3, 2), (256, 129), (256, 0)])
def test_the_transform_refuses_windows_that_do_not_fit(arguments):
    with pytest.raises(ValueError, match=r"n_fft must be|n_hop must lie"):
        LowDelaySTFT(*arguments)


@pytest.mark.parametrize("n_groups", [1, 2])
def test_the_norm_of_a_frame_is_that_of_all_frames_up_to_it(n_groups):
    x = 1 + 2 * torch.randn(2, 3, 9, 8)
    found = cumulative_norm(x, n_groups, 1e-5)
    for frame in range(9):
        seen = x[:, :, : frame + 1].flatten(0, 1).transpose(1, 2)
        expected = F.group_norm(seen, n_groups, eps=1e-5)[..., frame].view(2, 3, 8)
        torch.testing.assert_close(found[:, :, frame], expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("change", [500, 1024, 1343])
def test_what_lies_beyond_the_next_hop_changes_nothing(name, change):
    """An estimate knows the mixture up to the end of the next hop: 2 * hop - 1 samples ahead at most, and no less."""
    model, wav = tiny(**VARIANTS[name]), noise(1, 2, 1500)
    other = wav.clone()
    other[..., change:] = noise(1, 2, 1500 - change, seed=1)
    with torch.no_grad():
        before, after = model(wav), model(other)
    first_block = (change // HOP - 1) * HOP  # of those whose estimate may hear the change
    assert torch.equal(before[..., :first_block], after[..., :first_block])
    assert not torch.equal(before[..., first_block : first_block + HOP], after[..., first_block : first_block + HOP])


@pytest.mark.parametrize("name", VARIANTS)
def test_blocks_of_any_size_give_what_the_whole_gives(name):
    model, wav = tiny(**VARIANTS[name]), noise(1, 2, 600)
    with torch.no_grad():
        whole = model(wav)
    for sizes in ([1], [7], [HOP], [HOP + 1], [250], [600], [1, 300, 3, 64, 0, 129]):
        blocks = streamed(model.open_stream(), wav, sizes)
        assert blocks.shape == whole.shape
        assert (blocks - whole).abs().max() < 1e-6 * whole.abs().max(), sizes
        assert torch.equal(streamed(model.open_stream(), wav, sizes), blocks), "the same blocks, bit for bit"


@pytest.mark.parametrize("n_chan", [1, 3])
@pytest.mark.parametrize("name", ["base", "tac"])
def test_streams_of_other_numbers_of_channels(name, n_chan):
    model, wav = tiny(**VARIANTS[name]), noise(2, n_chan, 400)
    with torch.no_grad():
        whole = model(wav)
    assert (streamed(model.open_stream(), wav, [90]) - whole).abs().max() < 1e-6 * whole.abs().max()


def test_a_sample_comes_out_as_soon_as_the_next_hop_is_there():
    model = tiny()
    stream, given = model.open_stream(), 0
    assert stream.latency == 2 * HOP - 1
    for received in range(1, 5 * HOP):
        given += stream.push(noise(1, 2, 1)).shape[-1]
        assert received - given <= stream.latency
    assert given == (received // HOP - 1) * HOP


def test_short_recordings_and_two_streams_at_once():
    model = tiny()
    for length in (1, HOP - 1, HOP, 2 * HOP, 2 * HOP + 1):
        wav = noise(1, 2, length)
        with torch.no_grad():
            whole = model(wav)
        assert (streamed(model.open_stream(), wav, [50]) - whole).abs().max() < 1e-6 * whole.abs().max()
    songs, streams = [noise(1, 2, 600, seed=seed) for seed in (1, 2)], [model.open_stream(), model.open_stream()]
    parts = [
        [stream.push(song[..., start : start + 200]) for start in (0, 200, 400)] for stream, song in zip(streams, songs)
    ]
    for stream, song, own in zip(streams, songs, parts):
        alone = streamed(model.open_stream(), song, [200])
        assert torch.equal(torch.cat([*own, stream.finish()], dim=-1), alone)


@pytest.mark.parametrize("name", VARIANTS)
def test_every_parameter_learns(name):
    model, wav = tiny(**VARIANTS[name]).train(), noise(2, 2, 700)
    targets = noise(2, model.n_src, 2, 700, seed=1)
    loss_func = TimeTFLoss().match_stft(model)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    losses = []
    for _ in range(2):
        optimizer.zero_grad()
        losses.append(loss_func(model.estimates(wav), targets))
        losses[-1].backward()
        for key, parameter in model.named_parameters():
            assert parameter.grad is not None and parameter.grad.isfinite().all(), key
        optimizer.step()
    assert losses[1] < losses[0]


def test_checkpointing_changes_nothing():
    model, wav = tiny().train(), noise(1, 2, 500)
    expected = torch.autograd.grad(model(wav).square().sum(), list(model.parameters()))
    model.activation_checkpointing = True
    found = torch.autograd.grad(model(wav).square().sum(), list(model.parameters()))
    for pair in zip(found, expected):
        torch.testing.assert_close(*pair)


def test_its_size_is_that_of_a_bsrnn_whose_time_nets_run_one_way():
    """Less, per block: the backward LSTM (4 gates of n + h + 2 values each) and its half of the projection."""
    n, h = TINY["feature_dim"], 2 * TINY["feature_dim"]
    less = TINY["n_repeats"] * (4 * h * (n + h + 2) + n * h)
    assert count_params(tiny()) == count_params(BSRNN(**TINY)) - less


def test_files_bring_it_back(tmp_path):
    model, wav = tiny(**VARIANTS["sources"]), noise(1, 2, 500)
    torch.save(model.serialize(), tmp_path / "model.pth")
    again = BaseModel.from_pretrained(str(tmp_path / "model.pth")).eval()
    with torch.no_grad():
        assert type(again) is CausalBSRNN and torch.equal(again(wav), model(wav))
    assert "causal" not in BSRNN(**TINY).get_model_args()
    with pytest.raises(ValueError, match="only a BSRNN has a form in the reference, got CausalBSRNN"):
        to_reference(model)


@pytest.mark.parametrize(
    "arguments, named",
    [(dict(time_layer="conv"), "conv"), (dict(time_layer="dilated"), "dilated"), (dict(n_attn_heads=2), "attention")],
)
def test_parts_that_hear_the_future_are_refused_by_name(arguments, named):
    with pytest.raises(ValueError, match=f"{named}.* hears the future"):
        CausalBSRNN(**TINY, **arguments)


def test_a_separator_streams_members_of_different_delays():
    members = [tiny(sources=["low"]), tiny(seed=1, sources=["high"], n_hop=100)]
    model, wav = StemSeparator(members, sources=["high", "low"]).eval(), noise(2, 2000)
    stream = Separator(model, device="cpu").open_stream(44100)
    assert stream.sources == ("high", "low") and stream.latency == 199
    with torch.no_grad():
        whole = model(wav[None])[0]
    assert (streamed(stream, wav, [77]) - whole).abs().max() < 1e-6 * whole.abs().max()


def test_a_separator_streams_an_ensemble_and_chosen_sources():
    models = [tiny(seed=seed, sources=("low", "high")) for seed in (0, 1)]
    separator, wav = Separator(models, weights=[3, 1], device="cpu", sources=["high"]), noise(700)
    with torch.no_grad():
        whole = (0.75 * models[0](wav) + 0.25 * models[1](wav))[1:]
    found = streamed(separator.open_stream(44100), wav, [100])
    assert found.shape == (1, 700) and (found - whole).abs().max() < 1e-6 * whole.abs().max()


def test_what_cannot_be_streamed_is_refused_in_one_sentence():
    separator = Separator(tiny(), device="cpu")
    with pytest.raises(UserError, match="has the rate of its model, 44100 Hz, not 48000"):
        separator.open_stream(48000)
    with pytest.raises(UserError, match="shifts 2 need the whole recording"):
        Separator(tiny(), device="cpu", shifts=2).open_stream(44100)
    with pytest.raises(UserError, match="BSRNN hears the whole recording and cannot stream"):
        Separator(BSRNN(**TINY), device="cpu").open_stream(44100)
    with pytest.raises(UserError, match="a naive stereo model streams 2 channels, not 1"):
        Separator(tiny(stereo="naive"), device="cpu").open_stream(44100).push(noise(100))
    stream = separator.open_stream(44100)
    with pytest.raises(UserError, match="nothing was pushed"):
        stream.finish()
    with pytest.raises(UserError, match="NaN or infinite"):
        stream.push(torch.full((2, 3), float("nan")))
    with pytest.raises(UserError, match="a block is floats"):
        stream.push(torch.ones(2, 3, dtype=torch.int16))
    stream.push(noise(2, 100))
    with pytest.raises(UserError, match="same batch and channels"):
        stream.push(noise(3, 100))
    stream.finish()
    for late in (stream.finish, lambda: stream.push(noise(2, 100))):
        with pytest.raises(UserError, match="the stream is finished"):
            late()
