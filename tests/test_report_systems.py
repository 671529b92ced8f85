"""Table I with costs: ensembles apart, typos marked, ours in their rows by protocol."""

import json

import pytest
from helpers import ROOT
from report_folders import LEVELS, music

from asteroid_bsrnn.recipe.configuration import load_conf
from asteroid_bsrnn.recipe.cost import recipe_cost
from asteroid_bsrnn.recipe.variants import variant_names
from asteroid_bsrnn.report import write_report
from asteroid_bsrnn.report.experiments import read_experiment
from asteroid_bsrnn.report.published import SOURCES, load
from asteroid_bsrnn.report.tables.systems_table import MARK, draw_systems, table_1, variants

RECIPE = ROOT / "recipes" / "musdb18hq"


def rows_of(table):
    return [dict(zip(table.columns, row)) for row in table.rows]


def experiment(folder, variant, protocol, **options):
    path = music(folder, variant, **options)
    for file in path.rglob("run.json"):
        run = json.loads(file.read_text())
        file.write_text(json.dumps({**run, "protocol": protocol, "gmac_per_second": {"total": 12.5}}))
    return read_experiment(path)


def test_every_system_of_the_paper_is_there():
    mine = {(row["name"], row["group"] == "With extra data") for row in load("table_1_systems")["rows"]}
    printed = {(row["name"], row["group"] == "with extra data") for row in load("bsrnn_table_1")["rows"]}
    assert printed <= mine
    assert variants() <= set(variant_names(RECIPE))


def test_numbers_are_those_that_the_paper_prints_but_for_its_two_typos():
    mine = {
        (row["name"], row["group"] == "With extra data"): row
        for row in load("table_1_systems")["rows"]
        if "average" in row
    }
    typos = []
    for printed in load("bsrnn_table_1")["rows"]:
        row = mine[printed["name"], printed["group"] == "with extra data"]
        for source in (*SOURCES, "average"):
            if row[source] != printed[source]:
                typos.append((printed["name"], source))
                assert row["printed"] == {source: printed[source]}
        values = [row[source] for source in SOURCES]
        assert abs(sum(values) / 4 - row["average"]) <= 0.101, printed["name"]
    assert typos == [("HT Demucs", "other"), ("DTTNet", "drums")]


def test_typos_are_marked_and_ensembles_stand_apart():
    table = table_1()
    rows = rows_of(table)
    marked = [
        (row["System"].value, column) for row in rows for column, cell in row.items() if cell.text().endswith(MARK)
    ]
    assert marked == [("HT Demucs", "Other"), ("DTTNet", "Drums")]
    assert sum(note.startswith(MARK) for note in table.notes) == 2
    blocks = dict(zip((row["System"].value for row in rows), table.groups))
    assert blocks["KUIELab-MDX-Net (four networks, mixer and Demucs)"] == "Ensembles"
    assert all(group != "Single networks" for name, group in blocks.items() if "bag" in name)
    assert len(table.notes) >= 12 and "mean of its four numbers is 9.27" in " ".join(table.notes)


@pytest.mark.slow
def test_costs_are_those_of_the_variants():
    for row in load("table_1_systems")["rows"]:
        if "gmac" not in row or "variants" not in row:
            continue
        params, gmac = recipe_cost(load_conf(RECIPE, row["variants"][0]), with_macs=True)
        assert row["params_m"] == pytest.approx(params["total"] / 1e6, abs=0.06)
        assert row["gmac"] == pytest.approx(gmac["total"], rel=0.01), row["name"]


def test_ours_stand_in_their_rows_by_protocol(tmp_path):
    exps = [
        experiment(tmp_path / "ctl", "scnet", "controlled", gain=1.0),
        experiment(tmp_path / "nat", "scnet", "published"),
    ]
    rows = rows_of(table_1(exps))
    place = next(index for index, row in enumerate(rows) if row["System"].value == "SCNet")
    native, controlled = rows[place + 1], rows[place + 2]
    assert (
        native["From"].value.startswith("ours (nat, protocol published")
        and "protocol controlled" in controlled["From"].value
    )
    csdr = exps[1].scores.by_recording("csdr", ["vocals"])["vocals"]
    assert native["Vocals"].value == pytest.approx(csdr.median())
    assert native["GMAC per s"].value == 12.5
    assert sum("ours" in row["From"].value for row in rows) == 2
    partly = experiment(tmp_path / "part", "dttnet", "published", sources=("vocals",))
    row = next(row for row in rows_of(table_1([partly])) if "ours" in row["From"].value)
    assert row["Drums"].value is None and row["Drums"].why == "source not scored" and row["Average"].value is None
    assert draw_systems(exps + [partly]) is not None


def test_what_was_changed_stands_in_no_system_s_row(tmp_path):
    exps = []
    for tag, protocol, changed in (
        ("wide", "published", {"model.dims": [1, 2]}),
        ("rate", "published", {"optim.lr": [1, 2]}),
        ("tuned", "controlled", {"optim.lr": [1, 2]}),
    ):
        path = tmp_path / tag
        experiment(path, "scnet", protocol)
        for file in path.rglob("run.json"):
            file.write_text(json.dumps({**json.loads(file.read_text()), "changed": changed}))
        exps.append(read_experiment(path))
    table = table_1(exps)
    names = {
        row[1].value.split()[1].strip("(,"): (row[0].value, group)
        for row, group in zip(table.rows, table.groups)
        if "ours" in row[1].value
    }
    assert names["tuned"] == ("SCNet", "Single networks")
    assert names["wide"] == ("scnet, changed: model.dims=2", "Ours, changed from their variants")
    assert names["rate"][1] == "Ours, changed from their variants"


def test_the_report_draws_it(tmp_path):
    music(tmp_path / "exp" / "dtt", "dttnet", sources=tuple(LEVELS))
    text = write_report([tmp_path / "exp"], tmp_path / "out", published=True).read_text(encoding="utf-8")
    for name in ("table_1_operations", "table_1_operations_published"):
        assert (tmp_path / "out" / "figures" / f"{name}.png").stat().st_size > 2000 and f"figures/{name}.png" in text
    assert (tmp_path / "out" / "tables" / "table_1.csv").exists() and "ours (dtt" in text
