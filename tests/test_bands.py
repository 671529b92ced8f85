"""Band tables: the published widths, every bin exactly once."""

import pytest

from asteroid_bsrnn.models.bsrnn.bands import (
    SCHEMES,
    band_widths,
    choose_scheme,
    equal_width_groups,
    scheme_from_widths,
)

WIDTHS = {
    ("vocals", 2048): [4] * 10 + [11] * 12 + [23] * 8 + [46] * 8 + [92] * 2 + [117],
    ("bass", 2048): [2] * 10 + [4] * 5 + [23] * 6 + [46] * 4 + [92] * 4 + [295],
    ("drums", 2048): [2] * 20 + [4] * 10 + [11] * 8 + [23] * 8 + [46] * 8 + [305],
    ("joint", 2048): [2] * 20 + [4] * 10 + [11] * 8 + [23] * 8 + [46] * 8 + [92] * 2 + [121],
    ("vocals", 4096): [9] * 10 + [23] * 12 + [46] * 8 + [92] * 8 + [185] * 2 + [209],
    ("bass", 4096): [4] * 10 + [9] * 5 + [46] * 6 + [92] * 4 + [185] * 4 + [580],
    ("drums", 4096): [4] * 20 + [9] * 10 + [23] * 8 + [46] * 8 + [92] * 8 + [591],
    ("joint", 4096): [4] * 20 + [9] * 10 + [23] * 8 + [46] * 8 + [92] * 8 + [185] * 2 + [221],
    ("vocals", 6144): [13] * 10 + [34] * 12 + [69] * 8 + [139] * 8 + [278] * 2 + [315],
    ("bass", 6144): [6] * 10 + [13] * 5 + [69] * 6 + [139] * 4 + [278] * 4 + [866],
}


@pytest.mark.parametrize("name, n_fft", WIDTHS)
def test_published_widths(name, n_fft):
    assert band_widths(SCHEMES[name], n_fft) == WIDTHS[name, n_fft]


@pytest.mark.parametrize("name", SCHEMES)
@pytest.mark.parametrize("n_fft", [256, 512, 1000, 1024, 2048, 4096, 6144])
def test_every_bin_belongs_to_one_band(name, n_fft):
    widths = band_widths(SCHEMES[name], n_fft)
    bins = [start + index for _, count, width, start in equal_width_groups(widths) for index in range(count * width)]
    assert bins == list(range(n_fft // 2 + 1)) and min(widths) >= 1
    assert [width for _, count, width, _ in equal_width_groups(widths) for _ in range(count)] == widths


@pytest.mark.parametrize("sample_rate", [8000, 44100, 48000])
def test_widths_become_a_table_and_back(sample_rate):
    widths = [1, 1, 7, 7, 30, 2, 209]
    scheme = scheme_from_widths(widths, 512, sample_rate)
    assert band_widths(scheme, 512, sample_rate) == widths


def test_choice_of_the_scheme():
    assert choose_scheme(("bass",)) == SCHEMES["bass"] != SCHEMES["vocals"] == choose_scheme(("other",))
    assert (
        choose_scheme(("piano",))
        == choose_scheme(("vocals", "bass"))
        == choose_scheme(("drums",), "joint")
        == SCHEMES["joint"]
    )
    assert choose_scheme(("other",), "vocals") == choose_scheme(("piano",), "vocals") == SCHEMES["vocals"]
    assert choose_scheme(("vocals", "bass"), [[2, 100.5]]) == ((2, 100.5),)
