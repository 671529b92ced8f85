"""The published numbers: complete, consistent within rounding, and drawn without any experiment."""

import csv

import pytest
from helpers import ROOT

from asteroid_bsrnn.cli.main import main
from asteroid_bsrnn.report import published, write_report
from asteroid_bsrnn.report.published import SOURCES, readme
from asteroid_bsrnn.report.published.drawn import published_tables

MUSIC = """base accumulate_gradients monitor_loss loss_time loss_tf stft_4096 mask_ratio_2 large large_patience_30
stereo_naive stereo_naive_mask_ratio_8 tac_tanh tac_prelu bscnn attention_1x8 attention_2x16 multi_head_2 silent_target
no_sad_umx optimized_no_tac optimized""".split()
BESIDE = """base_patience_30 mask_ratio_1 stft_6144 gru conv multi_head_2_r4 bscnn_small joint_bands simo_subtract simo
simo_optimized""".split()
SPEECH = """sepreformer_t sepreformer_s sepreformer_b sepreformer_m locoformer_s locoformer_m afrcnn_16 afrcnn_8 afrcnn_4 afrcnn_sum_16 sfrcnn dprnn dprnn_k2 s_dprnn a_dprnn sandglasset a_sandglasset
upit_blstm upit_blstm_st dpcl chimera conv_tasnet sudormrf_1x""".split()


def scores_of(row):
    """The per-source score dictionaries of a row, whatever the layout of its table."""
    return [part for part in (row, row.get("usdr"), row.get("csdr")) if part and "average" in part]


@pytest.mark.parametrize("name", published.NAMES)
def test_every_table_says_where_it_comes_from(name):
    table = published.load(name)
    assert list(table) == "title source corpus subset metric unit caveats rows".split() and all(table.values())
    assert all(row["name"] for row in table["rows"])


@pytest.mark.parametrize("name", published.NAMES)
def test_averages_agree_with_their_rows_within_rounding(name):
    checked = 0
    for row in published.load(name)["rows"]:
        if row.get("spread"):
            continue
        for scores in scores_of(row):
            values = [scores[source] for source in SOURCES]
            digits = max(len(repr(float(value)).split(".")[1]) for value in values)
            rounding = 0.5 * 10**-digits
            agrees = abs(sum(values) / 4 - scores["average"]) <= 2 * rounding + 1e-9
            assert agrees != bool(row.get("inconsistent")), row["name"]  # what the source misprints is marked as such
            checked += 1
    assert checked or not name.startswith("bsrnn")


def test_rows_carry_the_names_of_the_variants():
    rows = published.load("bsrnn_table_2")["rows"]
    assert [row["variant"] for row in rows] == MUSIC
    assert [row["line"] for row in rows] == [str(i) for i in range(1, 21)] + ["+"]
    known = {"bsrnn": MUSIC + BESIDE}
    for name in published.NAMES:
        allowed = known["bsrnn"] if name.startswith("bsrnn") else SPEECH
        assert {row.get("variant") for row in published.load(name)["rows"]} <= {None, *allowed}, name


def test_both_prints_of_one_number_agree():
    """Table III's cSDR and the later README print the same evaluations with different precision."""
    table = published.by_variant(published.load("bsrnn_table_3"))
    for variant, (row,) in published.by_variant(published.load("bsrnn_readme")).items():
        for printed in table.get(variant, []):
            if printed["inference"] == "fader":
                for source in SOURCES + ("average",):
                    assert abs(printed["csdr"][source] - row[source]) <= 0.05 + 1e-9


def test_base_row_is_the_mean_of_the_three_runs():
    analysis = published.load("bsrnn_analysis")["rows"]
    base = published.load("bsrnn_table_2")["rows"][0]
    for source in SOURCES:
        runs = [row[source] for row in analysis if "run" in row]
        assert len(runs) == 3 and abs(sum(runs) / 3 - base[source]) <= 0.1


def test_load_names_what_there_is():
    with pytest.raises(ValueError, match="bsrnn_table_2"):
        published.load("table_9")


def test_tables_hold_each_published_number_in_its_place():
    tables = {table.name: table for table, _ in published_tables()}
    table = tables["table_2_published"]
    last = dict(zip(table.columns, [cell.value for cell in table.rows[-1]]))
    assert (last["Vocals"], last["Average"], last["Parameters (M)"], last["Energy (kWh)"]) == (10.2, 9.6, 164.1, 508)
    table = tables["table_3_published"]
    ola = dict(zip(table.columns, table.rows[2]))
    assert ola["Drums uSDR"].value == 8.3 and ola["Drums cSDR"].value is None and ola["Drums cSDR"].why
    assert [cell.value for cell in tables["table_s1_published"].rows[4]] == ["A-Sandglasset", 17.9, 14.9, 1.3]


def test_report_published_needs_no_experiment(tmp_path, capsys):
    assert main(["report", "--published", "-o", str(tmp_path / "out")]) == 0
    index = tmp_path / "out" / "index.md"
    assert capsys.readouterr().out.strip() == str(index)
    text = index.read_text(encoding="utf-8")
    for name in ("table_1", "table_2", "table_3", "table_s1", "figure_2", "figure_3"):
        for suffix in ("png", "svg"):
            assert (tmp_path / "out" / "figures" / f"{name}_published.{suffix}").stat().st_size > 2000
        assert f"figures/{name}_published.png" in text
    with open(tmp_path / "out" / "tables" / "table_2_published.csv", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 21 and rows[15]["Bass"] == "7.7" and rows[15]["group"] == "Architecture variants"
    assert "arXiv 2603.09187" in text


def test_report_without_anything_to_report(tmp_path, capsys):
    assert main(["report"]) == 2
    assert "--published" in capsys.readouterr().err
    assert main(["report", str(tmp_path / "nowhere")]) == 2
    assert "nowhere is not a folder" in capsys.readouterr().err
    with pytest.raises(ValueError, match="holds no experiment"):
        write_report([tmp_path], tmp_path / "out")


@pytest.mark.parametrize("name", ["musdb18hq-test", "musdb18hq-validation", "libri2mix", "wsj0-2mix"])
def test_the_tables_in_readmes_are_those_of_the_data_files(name):
    """Otherwise: python -m asteroid_bsrnn.report.published.readme recipes/*/README.md"""
    recipe = name.removesuffix("-test").removesuffix("-validation")
    text = (ROOT / "recipes" / recipe / "README.md").read_text(encoding="utf-8")
    assert readme.renewed(text) == text and f"<!-- published {name}:" in text
    assert readme.renewed(f"a\n<!-- published {name}: old -->\n| 1 |\n<!-- end -->\nb").count("\n") > 8
