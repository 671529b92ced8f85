"""The table of docs/choosing.md: rows keep their order and each other, scores are those of the published tables."""

import argparse

import pytest

from benchmarks import laptop
from benchmarks.contest import Outcome

ROW = "| `{}` | speech | 0.10 | 100 MiB | 1.0 M | {} |"
ARGS = argparse.Namespace(demo=True, seconds=7.0, limit=3.0, repeats=1, threads=1)


def test_rows_are_replaced_one_by_one_and_stand_in_the_order_of_the_recipes(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"Before.\n{laptop.BEGIN}\n{laptop.END}\n\nAfter.\n", encoding="utf-8")
    for name, text in (("afrcnn_4", "old"), ("scnet", "music"), ("afrcnn_4", "new")):
        laptop.keep(page, name, ROW.format(name, text), "a laptop, 2 threads")
    text = page.read_text(encoding="utf-8")
    assert text.startswith("Before.\n") and text.endswith(f"{laptop.END}\n\nAfter.\n") and "old" not in text
    assert text.index("`scnet`") < text.index("`afrcnn_4`") and text.count("| model |") == 1


def test_the_page_that_is_shipped_has_its_place_for_rows():
    text = laptop.PAGE.read_text(encoding="utf-8")
    assert text.count(laptop.BEGIN) == text.count(laptop.END) == 1


@pytest.mark.parametrize("name, expected", [
    ("base", "uSDR 7.1 dB, musdb18hq validation"),
    ("optimized", "cSDR 9.07 dB, musdb18hq test"),
    ("optimized_no_tac", "cSDR 8.5 dB, musdb18hq test"),
    ("gru", "uSDR of vocals 7.8 dB, musdb18hq validation"),
    ("scnet", "cSDR 9.0 dB, musdb18hq test"),
    ("convtdfnet", "-"),
    ("afrcnn_4", "SI-SNRi 12.61 dB, libri2mix test"),
    ("sepreformer_b", "SI-SNRi 21.7 dB, libri2mix test"),
    ("locoformer_s", "SI-SNRi 22.0 dB, wsj0-2mix test"),
    ("a_dprnn", "SI-SNRi 14.5 dB, libri2mix test"),
])  # fmt: skip
def test_scores_are_those_of_the_published_tables(name, expected):
    assert laptop.published(name) == expected


def test_costs_are_the_median_over_the_length_and_the_memory_with_the_weights(monkeypatch):
    monkeypatch.setattr(
        laptop, "contest", lambda entries, *_: dict.fromkeys(entries, Outcome([3.0, 4.0, 3.5], 5 * 2**20))
    )
    recipe = laptop.shipped()["afrcnn_4"]
    assert laptop.costs(recipe, "afrcnn_4", ARGS, 2**20) == ("0.50", "6 MiB")


def test_a_network_that_does_not_fit_is_said_to(monkeypatch):
    def contest(*_):
        raise RuntimeError("a process of the benchmark failed: MemoryError: no memory left")

    monkeypatch.setattr(laptop, "contest", contest)
    assert laptop.costs(laptop.shipped()["afrcnn_4"], "afrcnn_4", ARGS, 0) == ("-", "over 3 GiB")


def test_variants_that_differ_in_training_alone_are_measured_once(monkeypatch):
    runs = []
    monkeypatch.setattr(laptop, "costs", lambda recipe, name, *_: runs.append(name) or ("0.50", "6 MiB"))
    measured = {}
    for name in ("base", "loss_time", "mask_ratio_2"):
        assert laptop.row(laptop.shipped()[name], name, ARGS, measured).startswith(
            f"| `{name}` | music | 0.50 | 6 MiB | "
        )
    assert runs == ["base", "mask_ratio_2"]


def test_an_unknown_variant_is_named(capsys):
    with pytest.raises(SystemExit):
        laptop.main(["no_such_model"])
    assert "unknown: no_such_model" in capsys.readouterr().err


def test_small_sizes_do_not_go_to_the_page_that_is_shipped(capsys):
    with pytest.raises(SystemExit):
        laptop.main(["--demo", "afrcnn_4"])
    assert "--page" in capsys.readouterr().err


@pytest.mark.slow
def test_a_network_is_measured(tmp_path):
    page = tmp_path / "page.md"
    laptop.main(["afrcnn_4", "--demo", "--seconds", "0.2", "--repeats", "1", "--threads", "1", "--page", str(page)])
    assert "| `afrcnn_4` | speech | " in page.read_text(encoding="utf-8")
