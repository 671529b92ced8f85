"""Long recordings of two people with pauses, and a separator that swaps them at will: what speaker tracking is measured on."""

from pathlib import Path

import numpy as np
import soundfile as sf
import torch

from asteroid_bsrnn.data.speech.utterances import resample
from asteroid_bsrnn.separation.segments import make_plan, stream_segments
from asteroid_bsrnn.separation.speakers import best_order

RATE = 8000
PAUSES = (0, 1, 3, 8, 20, 60)  # s


def utterances_of(folder):
    """All utterances of a speaker's folder at 8 kHz."""
    return [resample(sf.read(path, dtype="float32")[0], RATE) for path in sorted(Path(folder).glob("*/*.flac"))]


def conversation(one, two, seed, pauses=PAUSES):
    """Two speakers who talk at once or in turn, with a pause after each pair of utterances: (2, time)."""
    generator, parts = np.random.default_rng(seed), []
    for first, second in zip(one, two):
        pair = [wav * 10 ** (generator.uniform(-33, -25) / 20) / np.sqrt(np.mean(wav**2)) for wav in (first, second)]
        at_once = generator.integers(3) == 0
        length = max(map(len, pair)) if at_once else sum(map(len, pair))
        wavs = np.zeros((2, length + RATE * int(generator.choice(pauses))))
        start = 0 if at_once else len(pair[0])
        wavs[0, : len(pair[0])], wavs[1, start : start + len(pair[1])] = pair
        parts.append(wavs)
    wavs = np.concatenate(parts, axis=1)
    return torch.from_numpy(wavs + 3e-5 * generator.standard_normal(wavs.shape)).float()


class Swapping:
    """A separator that gives both speakers of a two-channel "mixture" in any order, each with some of the other and noise.

    Args:
        leak_db (float): level of the other speaker in an estimate.
    """

    def __init__(self, leak_db, seed):
        self.leak, self.generator = 10 ** (leak_db / 20), np.random.default_rng(seed)
        self.orders, self.powers = [], []

    def __call__(self, segments):
        return torch.stack([self.separate(segment) for segment in segments])

    def separate(self, sources):
        order = self.generator.permutation(2)
        self.orders.append(order)
        self.powers.append(float(sources.square().mean()))
        estimates = (sources + self.leak * sources.flip(0))[order]
        noise = torch.from_numpy(self.generator.standard_normal(estimates.shape)).float()
        return (estimates + 0.05 * estimates.square().mean().sqrt() * noise)[:, None].expand(-1, 2, -1)


class OverlapOnly:
    """How segments were matched before there was a memory: by their overlap alone."""

    def order(self, estimate, known):
        return best_order(estimate[..., : known.shape[-1]], known)


class Watched:
    """Remembers which order was chosen."""

    def __init__(self, inner):
        self.inner, self.chosen = inner, []

    def order(self, estimate, known):
        self.chosen.append(self.inner.order(estimate, known))
        return self.chosen[-1]


def swaps(sources, memory, leak_db=-10.0, seed=0, **scheme):
    """Borders at which the order of the speakers changes, number of borders, and share of segments in the wrong order.

    Segments in which nobody speaks do not count: their order means nothing.
    """
    separator, watched = Swapping(leak_db, seed), Watched(memory)
    for _ in stream_segments(separator, [sources], make_plan(RATE, **scheme), 1, watched):
        pass
    spoken = [power > 1e-3 * max(separator.powers) for power in separator.powers]
    who = [int(order[chosen[0]]) for order, chosen, yes in zip(separator.orders, watched.chosen, spoken) if yes]
    wrong = float(np.mean([one != who[0] for one in who]))
    return int(np.abs(np.diff(who)).sum()), len(who) - 1, min(wrong, 1 - wrong)


__all__ = ["RATE", "OverlapOnly", "Swapping", "conversation", "swaps", "utterances_of"]
