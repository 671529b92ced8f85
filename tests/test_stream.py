"""Streams: resampling that shifts nothing, sums that are exact, and memory that does not grow."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from separation_models import KnownGains, tones

from asteroid_bsrnn.audio.resample import resample, resample_blocks
from asteroid_bsrnn.separation.stem_files import StemFormat

RATES = [7000, 8000, 11025, 16000, 22050, 44100, 48000, 96000, 192000, 384000]


@pytest.mark.parametrize("rate", RATES)
def test_there_and_back_is_aligned(rate):
    wav = torch.from_numpy(tones(1.0, rate))
    there = resample(wav, rate, 44100)
    assert there.shape[-1] == -(-wav.shape[-1] * 44100 // rate)
    torch.testing.assert_close(there, torch.from_numpy(tones(1.0, 44100)), atol=2e-4, rtol=0)
    back = resample(there, 44100, rate)[..., : wav.shape[-1]]
    torch.testing.assert_close(back, wav, atol=2e-4, rtol=0)


@pytest.mark.parametrize("n", [1, 2, 3, 10, 1000, 4321])
@pytest.mark.parametrize("rate", RATES)
def test_no_sample_is_lost(rate, n):
    there = resample(torch.ones(2, n), rate, 44100)
    assert there.shape[-1] == -(-n * 44100 // rate)
    assert resample(there, 44100, rate).shape[-1] >= n


def test_blocks_change_nothing():
    wav = torch.randn(3, 2, 5000, generator=torch.Generator().manual_seed(0))
    expected = resample(wav, 48000, 44100)
    for size in (1000, 333, 7):
        out = torch.cat(list(resample_blocks(wav.split(size, -1), 48000, 44100)), -1)
        torch.testing.assert_close(out, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("bits", [16, 24, 32])
@pytest.mark.parametrize("scale", [0.5, 1e-3, 1e-6])
def test_rows_sum_to_the_mixture_to_the_last_bit(bits, scale):
    rng = np.random.default_rng(0)
    samples = np.round(scale * rng.uniform(-1, 1, (2, 4000)) * 2**23)  # of 24 bits
    mixture = torch.from_numpy(samples / 2**23).float()
    stems = torch.from_numpy(scale * rng.uniform(-1, 1, (4, 2, 4000))).float()
    rows = StemFormat("wav", bits, consistent=True, complement=True).rows(mixture, stems)
    rows = rows.float().double() if bits == 32 else rows
    step = 2.0 ** (1 - bits) if bits < 32 else 0
    target = torch.round(mixture.double() / step) * step if step else mixture.double()
    assert torch.equal(rows[:4].sum(0), target)
    assert torch.equal(rows[:4] + rows[4:], target.expand(4, -1, -1))
    error = rows[:4] - stems - (mixture - stems.sum(0)) / 4
    assert error.abs().max() <= max(2 * step, 2 * 3 * 2.0**-23 * scale)


def test_rows_of_float_mixtures_are_as_near_as_floats_can_be():
    generator = torch.Generator().manual_seed(0)
    mixture, stems = torch.randn(1, 5000, generator=generator), torch.randn(3, 1, 5000, generator=generator)
    rows = StemFormat("wav", 32, consistent=True).rows(mixture, stems).float()
    error = (rows.double().sum(0) - mixture.double()).abs()
    assert (error <= 2.0**-24 * rows[-1].abs().double()).all()


MEASURE = """if True:
    import json, resource, sys
    import soundfile, torch
    torch.set_num_threads(1)
    from asteroid_bsrnn.separation import Separator, separate_file
    from separation_models import KnownGains
    separator = Separator(KnownGains(sample_rate=8000), device="cpu")
    for minutes in (5, 120):
        done = separate_file(separator, f"{sys.argv[1]}/{minutes}.wav", sys.argv[1] + "/out", consistent=True)
        with soundfile.SoundFile(done["stems"]["vocals"]) as stem:
            assert stem.frames == minutes * 60 * 11025 == done["frames"]
        print(json.dumps([minutes, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_length(tmp_path):
    """Peak memory for 2 hours of stereo exceeds that for 5 minutes by under 50 MB; stems alone would take 1.2 GB."""
    import soundfile

    minute = tones(60.0, 11025).T
    for minutes in (5, 120):
        with soundfile.SoundFile(tmp_path / f"{minutes}.wav", "w", 11025, 2) as file:
            for _ in range(minutes):
                file.write(minute)
    command = [sys.executable, "-c", MEASURE, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parent)
    peaks = dict(json.loads(line) for line in done.stdout.splitlines())
    assert peaks[120] - peaks[5] < 50, peaks


def test_the_measured_model_is_what_it_says():
    wav = torch.ones(1, 2, 10)
    assert torch.equal(KnownGains()(wav)[0, :, 0, 0], torch.tensor([0.25, 0.75]))
