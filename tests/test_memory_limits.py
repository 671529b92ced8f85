"""Out of memory: the batch is halved, then the segment; the estimates stay, one line says so, other songs profit."""

import pickle

import numpy as np
import pytest
import torch
from separation_models import KnownGains, KnownSpeech, noise, snr, tiny_bsrnn, tones

from asteroid_bsrnn.common.errors import UserError
from asteroid_bsrnn.separation import Separator, separate
from asteroid_bsrnn.separation.memory_limits import MemoryLimits, is_out_of_memory

MPS = "MPS backend out of memory (MPS allocated: 8.00 GB, other allocations: 1.00 GB, max allowed: 9.07 GB)."
ERRORS = [torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."), RuntimeError(MPS), MemoryError()]


class Small:
    """Mixed into a model: a memory of so many samples per channel, and what was asked of it."""

    room, error = 10**9, ERRORS[0]

    def forward(self, wav):
        self.asked = [*getattr(self, "asked", []), (len(wav), wav.shape[-1])]
        if len(wav) * wav.shape[-1] > self.room:
            raise self.error
        return super().forward(wav)


class SmallGains(Small, KnownGains):
    pass


class SmallSpeech(Small, KnownSpeech):
    pass


def small(kind=SmallGains, room=10**9, error=ERRORS[0], **attributes):
    model = kind()
    for name, value in {"room": room, "error": error, **attributes}.items():
        setattr(model, name, value)
    return model


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_the_batch_is_halved_and_every_bit_stays(error, capsys):
    wav = noise(44100 * 9)
    expected = separate(small(), wav, 44100, segment=1, batch=8)
    model = small(room=3 * 44100, error=error)
    np.testing.assert_array_equal(separate(model, wav, 44100, segment=1, batch=8), expected)
    said = capsys.readouterr().err.splitlines()
    assert said == ["note: not enough memory: from here on 2 segments at once"]


def test_networks_give_the_same_within_rounding():
    """Where a network computes a batch otherwise than its items, halving is a smaller ``batch``, to the last bit."""
    wav, separator = noise(44100 * 3), Separator(tiny_bsrnn(), device="cpu")
    expected, whole = (separate(separator, wav, 44100, segment=0.5, batch=batch) for batch in (2, 4))
    separator.models[0].register_forward_pre_hook(refuse_more_than(2))
    found = separate(separator, wav, 44100, segment=0.5, batch=4)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_allclose(whole, found, atol=1e-5)


def refuse_more_than(batch):
    def hook(module, inputs):
        if len(inputs[0]) > batch:
            raise ERRORS[0]

    return hook


def test_what_was_learned_serves_the_next_song(capsys):
    separator = Separator(small(room=2 * 44100), device="cpu")
    for _ in range(2):
        separate(separator, noise(44100 * 6), 44100, segment=1, batch=4)
    model = separator.models[0]
    assert sum(asked == (4, 44100) for asked in model.asked) == 1 and separator.limits.batch == 2
    assert capsys.readouterr().err.count("not enough memory") == 1


def test_one_segment_is_cut_shorter(capsys):
    wav = noise(44100 * 9)
    model = small(room=44100 * 3)
    found = separate(model, wav, 44100, segment=8, batch=2)
    np.testing.assert_allclose(found, separate(small(), wav, 44100), atol=1e-6)  # an identity: any cut will do
    assert max(length for batch, length in model.asked[-3:]) == 44100 * 2
    assert capsys.readouterr().err.endswith("1 segment at once, of 2 s, which changes the stems a little\n")


def test_sources_without_order_keep_their_places_across_the_cut():
    wav = tones(9, 8000, 1, low=200) + tones(9, 8000, 1, low=3000)
    expected = separate(small(SmallSpeech), wav, 8000, segment=8)
    found = separate(small(SmallSpeech, room=8000 * 4), wav, 8000, segment=8)
    assert min(snr(e, f) for e, f in zip(expected, found)) > 40


def test_no_segment_is_shorter_than_the_model_was_made_for():
    """... but as long as its grid wants it to be; then the error is the user's to read."""
    limits = MemoryLimits([small(segment=44100 * 3, multiple=1000)], 44100, True)
    lengths = []

    def forward(wav):
        lengths.append(wav.shape[-1])
        raise ERRORS[1]

    with pytest.raises(RuntimeError, match="MPS backend out of memory"):
        limits.run(forward, torch.ones(1, 2, 44100 * 10))
    assert lengths == [441000, 221000, 133000]  # half, then the native 132300, each up to the grid


def test_other_errors_are_not_taken_for_it():
    assert not is_out_of_memory(RuntimeError("shape mismatch")) and not is_out_of_memory(UserError("out of memory"))
    with pytest.raises(RuntimeError, match="broken"):
        MemoryLimits([small()], 44100, True).run(broken, torch.ones(4, 2, 100))


def broken(wav):
    raise RuntimeError("broken")


def test_limits_travel_with_a_separator():
    separator = Separator(KnownGains(), device="cpu")
    separator.limits.batch = 3
    assert pickle.loads(pickle.dumps(separator)).limits.batch == 3
