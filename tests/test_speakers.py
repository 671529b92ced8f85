"""Speakers are followed through pauses by their voices, whatever their level; overlap alone loses them."""

import itertools

import numpy as np
import pytest
import torch
from helpers import SHARED
from long_talks import RATE, OverlapOnly, conversation, swaps, utterances_of

from asteroid_bsrnn.data.demo.talks import sentence
from asteroid_bsrnn.data.demo.voices import Speaker, formant_speech
from asteroid_bsrnn.data.speech.utterances import resample
from asteroid_bsrnn.separation.speakers import SpeakerMemory, Voice, correlations

MAN, WOMAN = Speaker("M", "en-us+m1", 0.4, 160, 1.0), Speaker("F", "en-us+f2", 0.4, 160, 1.17)


@pytest.fixture(scope="module")
def talk():
    """About two minutes of two synthetic voices with pauses of up to 20 s."""
    texts = np.random.default_rng(1)
    spoken = [[resample(formant_speech(sentence(texts), who), RATE) for _ in range(9)] for who in (MAN, WOMAN)]
    return conversation(*spoken, seed=3, pauses=(1, 8, 20))


def test_pauses_do_not_swap_speakers(talk):
    options = {"segment": 4.0, "overlap": 0.1}
    before = swaps(talk, OverlapOnly(), **options)
    after = swaps(talk, SpeakerMemory(RATE), **options)
    assert before[0] >= 5 and before[1] == after[1] > 20, "the overlap says nothing in a pause"
    assert after[0] <= 2 and after[2] < 0.05, after


def test_a_gain_changes_nothing(talk):
    """Neither of the whole recording, nor of one speaker from one segment to the next."""
    first, second = talk[..., : 4 * RATE], talk[..., 20 * RATE : 36 * RATE]
    gains = torch.tensor([0.05, 3.0])[:, None]
    for scale in (1.0, 0.01):
        for order in ([0, 1], [1, 0]):
            memory = SpeakerMemory(RATE)
            memory.order(scale * talk[:, None, : 20 * RATE], first[:, None, :0])
            assert memory.order(scale * (gains * second)[order][:, None], first[:, None, :0]) == order


def test_speech_on_the_overlap_decides():
    """Noise has no voice: then it is the waveforms that say who is who."""
    wav = torch.randn(2, 1, 4 * RATE, generator=torch.Generator().manual_seed(0))
    memory = SpeakerMemory(RATE)
    memory.order(wav[..., : 3 * RATE], wav[..., :0])
    assert memory.order(wav[..., 2 * RATE :].flip(0), wav[..., 2 * RATE : 3 * RATE]) == [1, 0]


@pytest.mark.parametrize("length", [1, 100, 4000])
def test_silence_and_short_segments_keep_the_given_order(length):
    memory, silence = SpeakerMemory(RATE), torch.zeros(3, 1, length)
    for known in (0, length // 2):
        assert memory.order(silence, silence[..., :known]) == [0, 1, 2]


def test_distance_of_voices():
    generator = np.random.default_rng(0)
    near, again, far = (Voice.of(generator.standard_normal((400, 13)) + shift, 1.0) for shift in (0, 0, 2))
    assert near.distance(again) < near.distance(far) / 5 and near.distance(Voice.silent()) == 0
    both = near.joined(again)
    assert both.count == 800 and both.distance(far) == pytest.approx(far.distance(both), rel=0.3)


def test_correlations_by_hand():
    one = torch.tensor([[1.0, 0, 0], [0, 2.0, 0], [0, 0, 0]])
    np.testing.assert_allclose(correlations(one, one), np.diag([1.0, 1.0, 0.0]))


@pytest.mark.slow
@pytest.mark.skipif(SHARED is None, reason="needs the voices")
def test_real_voices_through_pauses_of_a_minute():
    """Ten pairs of unseen speakers: the figures are in docs/tiny-2spk.md."""
    people = sorted((SHARED / "data" / "LibriSpeech" / "test-other").iterdir())
    counts = np.zeros((2, 2))
    for seed, (one, two) in enumerate(itertools.islice(itertools.combinations(people, 2), 0, 45, 5)):
        talk = conversation(utterances_of(one), utterances_of(two), seed)
        for row, memory in enumerate((OverlapOnly(), SpeakerMemory(RATE))):
            counts[row] += swaps(talk, memory, seed=seed)[:2]
    assert counts[1, 0] < counts[0, 0] / 3 and counts[1, 0] < 0.05 * counts[1, 1], counts
