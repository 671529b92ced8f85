"""What an experiment's files say goes through its dataclasses unharmed; version 0.1.0's too."""

import ast
import json
from contextlib import suppress
from dataclasses import fields

import numpy as np
import pytest
from helpers import ROOT

from asteroid_bsrnn.common.errors import UserError
from asteroid_bsrnn.common.files import atomic_folder
from asteroid_bsrnn.experiment.energy import Ledger, all_entries
from asteroid_bsrnn.experiment.energy_entry import EnergyEntry
from asteroid_bsrnn.experiment.evaluation import Evaluation, read_evaluation, read_final
from asteroid_bsrnn.experiment.history import Epoch, last_epoch, read_history, write_history
from asteroid_bsrnn.experiment.run import RunRecord
from asteroid_bsrnn.experiment.run_file import Run, read_run
from asteroid_bsrnn.experiment.scores import music_table, read_scores

OLD = ROOT / "tests" / "golden" / "version_0_1_0" / "run"


def test_the_record_of_version_0_1_0_is_read_whole():
    stored, run = json.loads((OLD / "run.json").read_text()), read_run(OLD)
    assert run.more == {} and (run.status, run.epochs, run.n_params, run.source) == ("finished", 2, 12300, "vocals")
    assert {key: value for key, value in run.content().items() if key in stored} == stored
    history = read_history(OLD / "history.csv")
    assert history.epoch.tolist() == [1, 2] and set(history.scores) == {"loss", "usdr"} and last_epoch(OLD) == 2


def test_what_a_later_version_noted_is_kept(tmp_path):
    (tmp_path / "run.json").write_text('{"seed": 1, "weather": "rain", "variant": null}')
    record = RunRecord(tmp_path, {"training": {"seed": 1}})
    record.begin(corpus="musdb18hq")
    record.end(status="finished", best=7.5)
    stored = json.loads((tmp_path / "run.json").read_text())
    assert (stored["weather"], stored["seed"], stored["variant"]) == ("rain", 1, None)
    assert (stored["corpus"], stored["best"], stored["status"]) == ("musdb18hq", 7.5, "finished")
    assert read_run(tmp_path).content() == stored


@pytest.mark.parametrize("kind", [Run, Evaluation, EnergyEntry])
def test_every_attribute_survives_the_file(kind):
    names = [entry.name for entry in fields(kind) if entry.name != "more"]
    told = {name: [name] for name in names}
    assert kind.of({**told, "unknown": 1}).content() == {**told, "unknown": 1}
    assert kind.of(dict.fromkeys(names)) == kind(), "null is not known"


def test_an_evaluation_survives_its_files(tmp_path):
    rows = [{"track": "NA", "source": "bass", "usdr": 5.0, "csdr": float("nan"), "seconds": 1.0, "rtf": 0.5}]
    told = Evaluation(corpus="songs", sources=["bass"], final={"usdr": 5.0, "csdr": float("nan")}, notes=["one"])
    told.write(tmp_path, music_table(rows))
    found = read_evaluation(tmp_path)
    assert found.final == {"usdr": 5.0} == read_final(tmp_path) and (found.corpus, found.notes) == ("songs", ["one"])
    assert "final" not in json.loads((tmp_path / "evaluation.json").read_text())
    scores = read_scores(tmp_path / "all_metrics.csv")
    assert scores.by_recording("usdr", ["bass"]).loc["NA", "bass"] == 5.0 and scores.n_recordings == 1
    assert scores.rtf == 0.5 and not scores.is_speech and found["final"] == found.final


def test_a_history_survives_its_file(tmp_path):
    noted = {"step": 2, "lr": 0.1, "train_seconds": 1.0, "val_seconds": 2.0, "skipped_steps": 0, "unreadable": 0}
    rows = [Epoch(epoch=i, train_loss=1.0 / i, scores={"val_loss": 1.0, "val_x": i}, **noted).row() for i in (1, 2)]
    write_history(tmp_path / "history.csv", rows)
    history = read_history(tmp_path / "history.csv")
    assert history.train_loss.tolist() == [1.0, 0.5] and history.at(1) == {"loss": 1.0, "x": 2.0}
    assert np.array_equal(history.lr, [0.1, 0.1])


def test_an_entry_that_stands_in_two_ledgers_counts_once_and_a_broken_one_is_told(tmp_path):
    entry = EnergyEntry(phase="training", source="bass", run_id="a", kwh=2.0, hours=1.0)
    for folder in (tmp_path, tmp_path / "bass"):
        Ledger(folder / "energy.json").add(entry)
    assert all_entries(tmp_path) == ([entry], [])
    (tmp_path / "energy.json").write_text('{"entries": 3}')
    with pytest.raises(UserError, match="energy.json is no ledger of energy"):
        Ledger(tmp_path / "energy.json").entries()
    entries, problems = all_entries(tmp_path)
    assert entries == [entry] and "energy.json cannot be read" in problems[0]


OF_FILES = {entry.name for kind in (Run, Evaluation, EnergyEntry, Epoch) for entry in fields(kind)} - {
    "variant", "corpus", "source", "scores", "subset", "final",  # published tables and records of tracks have these too
    "sample_rate", "sources", "warnings", "more", "settings", "system", "inference",
}  # fmt: skip


@pytest.mark.parametrize("room", ["evaluation", "report", "publishing"])
def test_no_key_of_these_files_is_read_elsewhere(room):
    for path in sorted((ROOT / "asteroid_bsrnn" / room).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
                assert node.slice.value not in OF_FILES, f"{path.name}, line {node.lineno}"


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    for name, fails in (("one", False), ("two", True), ("three", False)):
        with suppress(ZeroDivisionError), atomic_folder(tmp_path / "deep" / "it") as partial:
            (partial / name).touch()
            assert not fails or 1 / 0
        assert [path.name for path in (tmp_path / "deep").iterdir()] == ["it"]
        assert [path.name for path in (tmp_path / "deep" / "it").iterdir()] == ["one" if fails else name]
