"""Large lists: memory grows with their length and no faster; what an archive costs is plain arithmetic."""

import pytest

from benchmarks.__main__ import Settings
from benchmarks.scale import DONE, MODELS, N_SHARDS, cost, cost_rows, run, simulate_apart


@pytest.mark.slow
def test_memory_is_linear_in_the_length_of_a_list():
    """Two hundred thousand recordings, planned, divided and resumed, take little more than twice what half of them takes."""
    small, large = simulate_apart(100_000), simulate_apart(200_000)
    grown = [found["peak"] - found["idle"] for found in (small, large)]
    assert grown[1] < 2.7 * grown[0] and grown[1] < 1500 * 200_000
    assert abs(large["imbalance"]) < 0.01
    assert large["left"] == pytest.approx((1 - DONE) * 200_000 / N_SHARDS, rel=0.2)


def test_the_arithmetic_of_an_archive():
    """A model as fast as the audio needs as many cores as hours fall into an hour of the time that is given."""
    one = cost(gmac=49.45, core_seconds=1.0)
    assert one.cores == pytest.approx(100_000 / 720) and one.kwh == pytest.approx(0.006)
    assert one.h100_speed == pytest.approx((1000.0, 300.0))  # 98.9 TFLOP per 1000 s of audio
    assert one.h100s == pytest.approx((0.1389, 0.4630), rel=1e-3)
    assert [row[0] for row in cost_rows()] == list(MODELS)


def test_the_block_of_scale(tmp_path):
    block = run(Settings("cpu", True, 1, 1, tmp_path))
    assert len(block.parts) >= 7 and any("flac, 16 bits" in part for part in block.parts)
