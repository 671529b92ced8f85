"""Reports of experiments: numbers in their places, nothing compared that must not be, every empty cell with its reason."""

import csv
import json
import shutil

import numpy as np
import pandas as pd
import pytest
from page_folders import music_folder
from report_folders import LEVELS, music, speech, training, write_json

from asteroid_bsrnn.cli.main import main
from asteroid_bsrnn.report import write_report
from asteroid_bsrnn.report.experiments import find_experiments, read_experiment
from asteroid_bsrnn.report.tables.ablation import table_2, table_3
from asteroid_bsrnn.report.tables.cells import Cell, Table
from asteroid_bsrnn.report.tables.comparison import comparable_groups, why_apart
from asteroid_bsrnn.report.tables.costs import cost_table, total_energy
from asteroid_bsrnn.report.tables.demo import demo_table
from asteroid_bsrnn.report.tables.score_cells import difference_table, score_table
from asteroid_bsrnn.report.tables.speech_tables import afrcnn_table, table_s1, today_table


def row_of(table, *words):
    """The one row whose first cells hold the words, as a dictionary."""
    found = [
        row
        for row in table.rows
        if all(
            any(str(cell.value) == word or str(cell.value).startswith(f"{word} (seeds") for cell in row[:4])
            for word in words
        )
    ]
    assert len(found) == 1, [[cell.value for cell in row[:4]] for row in found]
    return dict(zip(table.columns, found[0]))


def test_scores_are_the_fields_aggregates_with_intervals(tmp_path):
    exp = read_experiment(music(tmp_path / "base"))
    table = score_table([exp], "scores")
    usdr, csdr = ({key: cell for key, cell in row_of(table, "base", name).items()} for name in ("uSDR", "cSDR"))
    for source in LEVELS:
        values = exp.scores.rows[exp.scores.rows["source"] == source]
        assert usdr[source.capitalize()].value == pytest.approx(values["usdr"].mean())
        assert csdr[source.capitalize()].value == pytest.approx(values["csdr"].median())
        assert usdr[source.capitalize()].low < usdr[source.capitalize()].value < usdr[source.capitalize()].high
    assert csdr["Average"].value == pytest.approx(np.mean([csdr[source.capitalize()].value for source in LEVELS]))


def test_differences_are_paired(tmp_path):
    """A constant gain on every track is certain, however far the tracks are apart."""
    group = [
        read_experiment(music(tmp_path / tag, variant, gain=gain))
        for tag, variant, gain in (("base", "base", 0.0), ("tac", "tac_prelu", 0.4))
    ]
    table = difference_table(group, "differences")
    cell = row_of(table, "tac", "uSDR")["Vocals"]
    assert (cell.value, cell.low, cell.high) == pytest.approx((0.4, 0.4, 0.4))
    assert cell.text().startswith("+0.40")
    wide = row_of(score_table(group, "scores"), "tac", "uSDR")["Vocals"]
    assert wide.high - wide.low > 1
    assert difference_table(group[1:], "differences") is None


def test_tracks_that_only_one_has_are_left_out_and_said(tmp_path):
    group = [
        read_experiment(music(tmp_path / "base", n_tracks=8)),
        read_experiment(music(tmp_path / "tac", "tac_prelu", n_tracks=6)),
    ]
    table = difference_table(group, "differences")
    assert any("2 tracks that only one of the two has" in note for note in table.notes)


@pytest.mark.parametrize(
    "change",
    [
        {"corpus": "musdb18"},
        {"subset": "validation"},
        {"median_rule": "lower"},
        {"sample_rate": 22050},
        {"metric_definition": {"usdr": "otherwise"}},
    ],
)
def test_what_was_scored_otherwise_is_never_compared(tmp_path, change):
    exps = [read_experiment(music(tmp_path / "one")), read_experiment(music(tmp_path / "two", "tac_prelu", **change))]
    groups = comparable_groups(exps)
    assert [[exp.tag for exp in group] for group in groups] == [["one"], ["two"]]
    (sentence,) = why_apart(groups)
    ((name, value),) = change.items()
    assert "one and two" in sentence
    assert (str(value) in sentence) if name != "metric_definition" else "definition of the metric" in sentence


def test_unfinished_experiments_are_compared_with_nothing(tmp_path):
    music(tmp_path / "exp" / "base", sources=("vocals",))
    music(tmp_path / "exp" / "cut", "optimized", gain=2, status="interrupted", sources=("vocals", "bass"))
    exps = find_experiments([tmp_path / "exp"])
    groups = comparable_groups(exps)
    assert len(groups) == 2 and "training of cut is interrupted" in why_apart(groups)[0]
    ours = row_of(table_2(exps), "+", "ours")
    assert ours["Vocals"].value is None and ours["Vocals"].why == "interrupted"
    text = write_report([tmp_path / "exp"], tmp_path / "out").read_text(encoding="utf-8")
    assert "cut: training of vocals, bass is interrupted; it is compared with nothing" in text
    assert "paired differences" not in text.lower()


def test_table_2_puts_ours_beside_the_published(tmp_path):
    exps = [
        read_experiment(music(tmp_path / tag, variant, seed=seed, gain=gain))
        for tag, variant, seed, gain in (("one", "base", 1, 0.0), ("two", "base", 2, 1.0), ("tac", "tac_prelu", 1, 0.5))
    ]
    table = table_2(exps)
    ours = row_of(table, "1", "ours")
    assert ours["Vocals"].value == pytest.approx(8.2) and ours["Vocals"].spread == pytest.approx(np.std([0, 1], ddof=1))
    assert ours["Average"].value == pytest.approx(np.mean(list(LEVELS.values())) + 0.5)
    assert ours["Energy (kWh)"].value == pytest.approx(4 * 31.5) and ours["Parameters (M)"].value == pytest.approx(
        32.08, abs=0.01
    )
    assert row_of(table, "13", "ours")["Bass"].value == pytest.approx(6.6)
    assert row_of(table, "13", "published")["Bass"].value == 6.5
    assert row_of(table, "12", "ours")["Bass"].why == "not run"


def test_only_the_seed_may_differ_in_a_spread(tmp_path):
    exps = [music(tmp_path / "one", seed=1), music(tmp_path / "two", seed=2), music(tmp_path / "other", seed=3, gain=1)]
    for source in LEVELS:
        run = json.loads((exps[2] / source / "run.json").read_text())
        write_json(exps[2] / source / "run.json", {**run, "protocol": "corrected"})
    rows = [row for row in table_2(list(map(read_experiment, exps))).rows if row[0].value == "1"]
    assert [row[2].value for row in rows] == ["published", "ours (seeds 1, 2)", "ours (corrected protocol)"]
    assert rows[1][3].value == pytest.approx(7.7) and rows[2][3].value == pytest.approx(8.7)


def test_selected_epoch_follows_what_is_monitored(tmp_path):
    exp = music(tmp_path / "loss", "monitor_loss", sources=("vocals",))
    shutil.rmtree(exp / "vocals")
    training(exp / "vocals", "monitor_loss", "musdb18hq", 1, 7.5, "finished", "vocals", "loss", monitor="val_loss")
    ours = row_of(table_2([read_experiment(exp)]), "3", "ours")
    assert ours["Vocals"].value == pytest.approx(7.0)  # uSDR where the loss is lowest, not the highest uSDR
    assert ours["Bass"].why == "source not trained" and ours["Average"].why == "not all sources"


def test_table_3_keeps_inference_rows_apart(tmp_path):
    fader = music(tmp_path / "fader", "large_patience_30", gain=1)
    ola = music(tmp_path / "ola", "large_patience_30", inference={"scheme": "ola", "segment": 3.0, "hop": 0.5})
    left_open = {"scheme": "ola_reference", "segment": 3.0, "overlap": 0.5, "hop": None}
    published_ola = music(tmp_path / "as", "large_patience_30", inference=left_open)
    table = table_3([read_experiment(fader), read_experiment(ola), read_experiment(published_ola)])
    ours = {str(row[1].value): row[0].value for row in table.rows if str(row[1].value).startswith("ours (")}
    assert ours == {
        "ours (fader, seed 1, fader, 8 tracks)": "Replication, fader",
        "ours (ola, seed 1, ola_0.5, 8 tracks)": "Replication, overlap-add, hop 0.5 s",
        "ours (as, seed 1, ola_reference_1.5, 8 tracks)": "Replication, overlap-add, hop 1.5 s",
    }


def test_speech_tables(tmp_path):
    exps = [
        read_experiment(speech(tmp_path / "one")),
        read_experiment(speech(tmp_path / "two", seed=2, si_sdr_imp=15.5)),
        read_experiment(speech(tmp_path / "wsj", corpus="WSJ0-2mix", si_sdr_imp=17.0)),
    ]
    ours = row_of(table_s1(exps), "A-DualPathRNN", "ours")
    assert ours["Libri2Mix"].value == pytest.approx(15.0) and ours["Libri2Mix"].spread == pytest.approx(
        0.7071, abs=1e-3
    )
    assert ours["WSJ0-2mix"].value == pytest.approx(17.0) and ours["WSJ0-2mix"].low < 17.0 < ours["WSJ0-2mix"].high
    assert ours["Parameters (M)"].value == pytest.approx(2.918279)
    assert row_of(table_s1(exps), "Sandglasset", "ours")["Libri2Mix"].why == "not run"
    published = row_of(afrcnn_table(exps), "A-FRCNN-16", "published")
    assert (published["WSJ0-2mix SI-SNRi"].value, published["Libri2Mix SDRi"].value) == (18.3, 17.2)


def test_the_strongest_systems_of_today(tmp_path):
    exps = [read_experiment(speech(tmp_path / "one", "sepreformer_t", si_sdr_imp=12.0))]
    table = today_table(exps)
    published, mine = row_of(table, "SepReformer-T", "published"), row_of(table, "SepReformer-T", "ours")
    assert (published["WSJ0-2mix SDRi"].value, published["GMAC per s"].value, published["GMAC as printed"].value) == (
        22.6,
        5.43,
        10.4,
    )
    assert mine["Libri2Mix SI-SNRi"].value == pytest.approx(12.0) and mine["GMAC per s"].value == 5.43
    assert row_of(table, "TF-GridNet", "published")["GMAC per s"].why == "not counted"
    assert "sepreformer_t" not in {row[0].value for row in afrcnn_table(exps).rows}


def test_a_demonstration_is_no_result(tmp_path):
    exp = music_folder(music(tmp_path / "exp" / "demo", corpus="excerpt", n_tracks=2, sources=("vocals", "drums")))
    table = demo_table(read_experiment(exp), "demo")
    row = dict(zip(table.columns, table.rows[0]))
    assert row["Silence"].value == 0.0 and row["Mixture"].value == pytest.approx(-5.5)
    assert row["Estimate"].value == pytest.approx(LEVELS["vocals"], abs=1)
    text = write_report([exp], tmp_path / "out").read_text(encoding="utf-8")
    assert "A demonstration on excerpt, not a result" in text
    assert "Table II" not in text and "Table III" not in text
    assert "page/index.html" in text and "not a result" in (tmp_path / "out" / "page" / "index.html").read_text(
        encoding="utf-8"
    )
    assert (tmp_path / "out" / "figures" / "triptych_demo_Some_Song_vocals.png").exists()


def test_costs_and_the_energy_of_everything(tmp_path):
    music(tmp_path / "exp" / "base")
    music(tmp_path / "exp" / "cut", status="interrupted", sources=("vocals",))
    entries = [{"phase": "test", "source": None, "run_id": "t", "kwh": None, "hours": 0.5, "interrupted": False}]
    double = {
        "phase": "training",
        "source": "vocals",
        "run_id": "basevocals",
        "kwh": 30.0,
        "hours": 20.0,
        "interrupted": False,
    }
    write_json(tmp_path / "exp" / "base" / "energy.json", {"entries": entries + [double]})
    exps = find_experiments([tmp_path / "exp" / "base"])
    cost = row_of(cost_table(exps), "base")
    assert cost["Training (kWh)"].value == pytest.approx(126) and cost["Training (h)"].value == pytest.approx(84)
    assert cost["RTF"].value == pytest.approx(0.25) and cost["Peak memory (GiB)"].why == "not recorded"
    assert cost["Test (kWh)"].why == "not measured"
    table, problems = total_energy([exps[0].path])
    total = row_of(table, "all")
    assert total["Energy (kWh)"].value == pytest.approx(126 + 31.5) and total["of that (kWh)"].value == pytest.approx(
        30
    )
    assert problems == [] and any("1 entries have no measured energy" in note for note in table.notes)


def test_broken_files_are_said_not_hidden(tmp_path):
    exp = music(tmp_path / "exp" / "base", sources=("vocals", "bass"))
    (exp / "all_metrics.csv").write_text("track,source\na,b\n")
    (exp / "bass" / "run.json").write_text("{")
    (exp / "bass" / "energy.json").write_text("[]")
    (exp / "vocals" / "history.csv").write_text("epoch,val_usdr\n0,1.0\n1,5.0\n1,6.0\n2,")  # resumed, then cut
    found = read_experiment(exp)
    assert any("all_metrics.csv cannot be read" in problem for problem in found.problems)
    assert any("bass/run.json cannot be read" in problem for problem in found.problems)
    assert found.histories["vocals"].scores["usdr"].tolist()[:2] == [1.0, 6.0]
    text = write_report([exp], tmp_path / "out").read_text(encoding="utf-8")
    assert "energy.json cannot be read" in text and "bass/run.json" in text


def test_scores_of_any_folder_are_not_taken_for_a_training(tmp_path):
    """What ``evaluate`` leaves has no run.json: it is no row of the paper and nothing is compared with it as the base."""
    other = music(tmp_path / "other_tool", gain=3.0)
    for source in LEVELS:
        shutil.rmtree(other / source)
    group = [read_experiment(other), read_experiment(music(tmp_path / "tac", "tac_prelu"))]
    assert group[0].variant == "unknown" and difference_table(group, "differences") is None
    assert "other_tool" not in str(table_2(group).markdown())


def test_exact_estimates_have_no_interval_and_no_difference(tmp_path):
    exp = music(tmp_path / "exact", "tac_prelu")
    scores = pd.read_csv(exp / "all_metrics.csv")
    scores["csdr"] = np.inf
    scores.to_csv(exp / "all_metrics.csv", index=False)
    group = [read_experiment(music(tmp_path / "base")), read_experiment(exp)]
    cell = row_of(score_table(group, "scores"), "exact", "cSDR")["Vocals"]
    assert (cell.value, cell.low) == (np.inf, None)
    assert row_of(difference_table(group, "differences"), "exact", "cSDR")["Vocals"].why == "an exact estimate"


def test_undefined_scores_are_left_out_and_said(tmp_path):
    exp = music(tmp_path / "base")
    scores = pd.read_csv(exp / "all_metrics.csv")
    scores.loc[(scores["track"] == "track 1") & (scores["source"] == "vocals"), "csdr"] = np.nan
    scores.to_csv(exp / "all_metrics.csv", index=False)
    table = score_table([read_experiment(exp)], "scores")
    values = scores[scores["source"] == "vocals"]["csdr"]
    assert row_of(table, "base", "cSDR")["Vocals"].value == pytest.approx(np.nanmedian(values))
    assert any("cSDR of vocals has no value for 1 of 8 tracks" in note for note in table.notes)


def test_whole_report(tmp_path, capsys):
    for tag, variant, gain in (("base", "base", 0.0), ("tac", "tac_prelu", 0.5)):
        music(tmp_path / "exp" / tag, variant, gain=gain)
    assert main(["report", str(tmp_path / "exp"), "-o", str(tmp_path / "out")]) == 0
    text = (tmp_path / "out" / "index.md").read_text(encoding="utf-8")
    for name in ("boxes_1", "figure_2_1", "figure_3", "learning_tac"):
        assert f"figures/{name}.png" in text
        assert all(
            (tmp_path / "out" / "figures" / f"{name}.{suffix}").stat().st_size > 2000 for suffix in ("png", "svg")
        )
    with open(tmp_path / "out" / "tables" / "scores_1.csv", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 4 and float(rows[0]["Vocals low"]) < float(rows[0]["Vocals"]) < float(rows[0]["Vocals high"])


def test_a_table_tells_why_a_cell_is_empty():
    table = Table(
        "t", "T", ["a", "b", "c"], [["x", Cell(why="not run"), Cell(why="not run")], ["y", 1.25, Cell(why="lost")]]
    )
    assert "| x | – (not run) | – |" in table.markdown() and "| y | 1.2 | – (lost) |" in table.markdown()
    assert "b: not run; c: not run" in table.csv()
    with pytest.raises(ValueError, match="2 cells for 1 columns"):
        Table("t", "T", ["a"], [[1, 2]])
