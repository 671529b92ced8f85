"""Whole recordings in segments: nothing is lost, whatever the scheme, the length, the overlap and the batch."""

import itertools
import json

import numpy as np
import pytest
import torch
from helpers import SHARED

from asteroid_bsrnn.convert import from_reference
from asteroid_bsrnn.separation.segments import apply_segments, make_plan, stream_segments
from asteroid_bsrnn.separation.speakers import best_order

RATE = 100
LENGTHS = [1, 2, 3, 9, 10, 11, 19, 20, 21, 37, 100, 101, 257]  # segments have 10 or 20 samples
SCHEMES = [
    *({"scheme": "fader", "overlap": overlap} for overlap in (0.0, 0.1, 0.25, 0.5, 0.6, 0.9, 0.99)),
    *({"scheme": "fader_reference", "overlap": overlap} for overlap in (0.0, 0.1, 0.2, 0.5)),
    *({"scheme": "ola", "hop": hop} for hop in (0.01, 0.03, 0.05, 0.07, 0.1)),
    *({"scheme": "ola_reference", "hop": hop} for hop in (0.01, 0.05, 0.1)),  # divisors of the segments
    *({"scheme": "ola", "window": window, "overlap": 0.5} for window in ("hann", "hamming", "triang", "blackman")),
    {"scheme": "ola", "window": "hann", "overlap": 0.7},
    {"scheme": "whole"},
]


def noise(length, channels=2, seed=0):
    return torch.rand(channels, length, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def two_copies(x):
    """A model of two sources: the input and its negative."""
    return torch.stack([x, -x], dim=1)


def position_in_segment(x):
    """A model whose output shows where in its segment a sample lay."""
    return torch.arange(1.0, x.shape[-1] + 1).expand(x.shape)[:, None]


@pytest.mark.parametrize("options", SCHEMES, ids=lambda options: "-".join(map(str, options.values())))
@pytest.mark.parametrize("batch", [1, 3, 8])
def test_identity_model_returns_its_input(options, batch):
    for length, segment in itertools.product(LENGTHS, (0.1, 0.2)):
        wav = noise(length)
        out = apply_segments(two_copies, wav, RATE, segment=segment, batch=batch, **options)
        torch.testing.assert_close(out, torch.stack([wav, -wav]), atol=1e-6, rtol=0)


@pytest.mark.parametrize("options", SCHEMES, ids=lambda options: "-".join(map(str, options.values())))
def test_batches_and_blocks_change_nothing(options):
    """A model that normalises over its segment would show any padding and any other cut."""

    def normalise(x):
        return two_copies(x / x.std(dim=-1, keepdim=True, correction=0).clamp(min=1e-3) + x.mean(-1, keepdim=True))

    for length in LENGTHS:
        wav = noise(length, seed=length)
        expected = apply_segments(normalise, wav, RATE, segment=0.1, **options)
        for batch, block in [(2, length), (5, 1), (8, 7)]:
            plan = make_plan(RATE, segment=0.1, **options)
            out = torch.cat(list(stream_segments(normalise, wav.split(block, -1), plan, batch)), -1)
            torch.testing.assert_close(out, expected, atol=1e-5, rtol=0)


def lengths_seen(n, **options):
    seen = []

    def model(x):
        seen.extend([x.shape[-1]] * x.shape[0])
        return x[:, None]

    apply_segments(model, torch.ones(1, n), 10, **options)
    return seen


def test_published_pattern_of_lengths():
    """30 s -> 11, 12, 9 s and 60 s -> 11, 12, 12, 12, 12, 6 s, as observed in the reference; up to 11 s in one go."""
    reference = {"scheme": "fader_reference", "segment": 10.0, "overlap": 0.1}
    assert lengths_seen(300, **reference) == [110, 120, 90]
    assert lengths_seen(600, **reference) == [110, 120, 120, 120, 120, 60]
    assert lengths_seen(110, **reference) == [110]
    assert lengths_seen(220, **reference) == [110, 120]
    assert lengths_seen(221, **reference) == [110, 120, 11]


def test_published_fader_sample_by_sample():
    """Against the pattern written down directly: ramps of linspace(0, 1, O) on [jG - O, jG), summed."""
    wav_len, fade, stride = 300, 10, 110
    expected = torch.zeros(wav_len)
    spans = [(0, 110), (100, 220), (210, 300)]
    for start, stop in spans:
        part = torch.arange(1.0, stop - start + 1)
        if start > 0:
            part[:fade] *= torch.linspace(0, 1, fade)
        if stop < wav_len:
            part[-fade:] *= torch.linspace(1, 0, fade)
        expected[start:stop] += part
    out = apply_segments(position_in_segment, torch.zeros(1, wav_len), 10, scheme="fader_reference", segment=10.0)
    assert stride == spans[0][1]
    torch.testing.assert_close(out[0, 0], expected, atol=1e-4, rtol=0)


@pytest.mark.skipif(not SHARED, reason="no shared data")
@pytest.mark.parametrize("case", ["0", "1"])
def test_the_authors_whole_song_inference(case):
    """Half samples of fade (1102.5) and of hop (5512.5) included."""
    folder = SHARED / "golden" / "inference"
    arrays, index = np.load(folder / "inference.npz"), json.loads((folder / "index.json").read_text())
    weights = {key[3:]: arrays[key] for key in arrays.files if key.startswith("sd/")}
    model = from_reference(weights, index["hyper_parameters"]).eval()
    expected = torch.from_numpy(arrays[f"y{case}"])
    for batch in (1, 3):
        out = apply_segments(model, torch.from_numpy(arrays[f"x{case}"]), 44100, batch=batch, **index[f"case{case}"])
        torch.testing.assert_close(out, expected, atol=1e-6, rtol=0)


def test_a_fade_that_is_no_whole_number_of_samples():
    """G = 16, O = 1.5: segments begin at 14 + 16 j, one sample before their fade of one sample needs it."""
    options = {"scheme": "fader_reference", "segment": 1.5, "overlap": 0.1}
    out = apply_segments(lambda x: torch.ones_like(x)[:, None], torch.zeros(1, 40), 10, **options)[0, 0]
    expected = torch.ones(40)
    expected[[15, 31]] = 2.0  # both segments are there at full weight
    expected[[14, 30]] = 1.0  # full weight falling, and a rise that begins at 0
    torch.testing.assert_close(out, expected)


def test_published_overlap_add_sample_by_sample():
    """Written down directly: zeros at both ends, segments at every hop, scaled by hop / segment, ends cut off."""
    wav, segment, hop = noise(57, channels=1), 20, 7
    padded, total = torch.nn.functional.pad(wav, (segment, segment)), torch.zeros(1, 57 + 2 * segment)
    for start in range(0, 57 + segment, hop):
        part = padded[:, start : start + segment]
        total[:, start : start + segment] += (part + 0.5) * hop / segment
    expected = total[:, segment:-segment]
    for block, batch in ((57, 1), (5, 4)):
        plan = make_plan(10, "ola_reference", segment=2.0, hop=0.7)
        parts = stream_segments(lambda x: x[:, None] + 0.5, wav.split(block, -1), plan, batch)
        torch.testing.assert_close(torch.cat(list(parts), -1)[0], expected)


def test_without_a_hop_segments_overlap_by_the_overlap():
    for scheme in ("ola", "ola_reference"):
        given, left_open = (make_plan(10, scheme, 2.0, overlap=0.25, hop=hop) for hop in (1.5, None))
        assert given.hop == left_open.hop == 15


def test_fader_segments_are_exact():
    assert set(lengths_seen(1234, scheme="fader", segment=10.0, overlap=0.1)) == {100}
    assert lengths_seen(99, scheme="fader", segment=10.0) == [99]
    assert lengths_seen(280, scheme="fader", segment=10.0, overlap=0.1) == [100, 100, 100]
    assert lengths_seen(281, scheme="fader", segment=10.0, overlap=0.1) == [100, 100, 100, 100]


def test_fader_fades_linearly():
    out = apply_segments(position_in_segment, torch.zeros(1, 190), 10, scheme="fader", segment=10.0, overlap=0.1)[0, 0]
    ramp = torch.linspace(0, 1, 10)
    torch.testing.assert_close(out[90:100], torch.arange(91.0, 101) * (1 - ramp) + torch.arange(1.0, 11) * ramp)
    torch.testing.assert_close(out[:90], torch.arange(1.0, 91))
    torch.testing.assert_close(out[100:], torch.arange(11.0, 101))


def test_overlap_add_weighs_with_its_window():
    out = apply_segments(position_in_segment, torch.zeros(1, 15), 10, scheme="ola", segment=1.0, hop=0.5, window="hann")
    w = torch.hann_window(10)
    torch.testing.assert_close(out[0, 0, 5:10], w[5:] * torch.arange(6.0, 11) + w[:5] * torch.arange(1.0, 6))


@pytest.mark.parametrize("options", [{}, {"scheme": "fader_reference"}, {"scheme": "ola", "window": "hann"}])
@pytest.mark.parametrize("batch", [1, 3])
def test_sources_keep_their_order(options, batch):
    """A speech model that swaps its outputs in every second segment is put right on the overlap."""
    count = itertools.count()

    def swapping(x):
        channels = torch.eye(2)[None, :, :, None] * x[:, None]  # source s is channel s alone
        return torch.stack([item.flip(0) if next(count) % 2 else item for item in channels])

    wav, options = noise(1234), {"segment": 1.0, "overlap": 0.2, "batch": batch, **options}
    expected = torch.eye(2)[:, :, None] * wav
    kept = apply_segments(swapping, wav, RATE, match_sources=True, **options)
    kept = kept if kept[0, 0].any() else kept.flip(0)
    torch.testing.assert_close(kept, expected, atol=1e-6, rtol=0)
    lost = apply_segments(swapping, wav, RATE, **options)
    assert (lost - expected).abs().max() > 0.5


def test_best_order_of_silence_is_the_given_one():
    assert best_order(torch.zeros(3, 5), torch.zeros(3, 5)) == [0, 1, 2]
    a = noise(50, channels=3)
    assert best_order(a[[2, 0, 1]], a) == [1, 2, 0]


def test_progress_reaches_the_end():
    seen = []
    apply_segments(two_copies, noise(345), RATE, segment=0.5, batch=2, progress=lambda *at: seen.append(at))
    assert seen[-1] == (345, 345) and [done for done, _ in seen] == sorted(done for done, _ in seen)


@pytest.mark.parametrize(
    "options, sentence",
    [
        ({"scheme": "fade"}, "unknown scheme 'fade': did you mean 'fader'\\? known are fader"),
        ({"segment": 0}, "segment must be more than 0"),
        ({"segment": float("nan")}, "segment must be more than 0"),
        ({"overlap": 1.0}, "overlap is a fraction"),
        ({"overlap": -0.1}, "overlap is a fraction"),
        ({"hop": 0.5}, "belong to scheme 'ola'"),
        ({"window": "hann"}, "belong to scheme 'ola'"),
        ({"scheme": "ola", "hop": 11.0}, "hop must be"),
        ({"scheme": "ola", "hop": -1.0}, "hop must be"),
        ({"scheme": "ola", "window": "hanning"}, "unknown window 'hanning'"),
        ({"scheme": "ola", "window": "flattop"}, "negative"),
        ({"batch": 0}, "batch is a whole number"),
    ],
)
def test_wrong_options_are_refused(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        apply_segments(two_copies, noise(50), RATE, **options)


def test_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match="at least one sample"):
        apply_segments(two_copies, torch.zeros(2, 0), RATE)
    with pytest.raises(ValueError, match="channels, time"):
        apply_segments(two_copies, torch.zeros(5), RATE)
    for model in (lambda x: x, lambda x: two_copies(x)[..., :-1], lambda x: two_copies(x)[:, :, :1]):
        with pytest.raises(ValueError, match="the model returned shape"):
            apply_segments(model, noise(50), RATE)


def test_nothing_of_the_graph_is_kept():
    gain = torch.ones(1, requires_grad=True)
    assert not apply_segments(lambda x: two_copies(x * gain), noise(50), RATE).requires_grad
