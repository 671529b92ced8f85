"""The ledger adds up over phases, processes and resumed runs; the estimates follow their formulas."""

import json
import multiprocessing
import os
import signal

import pytest
from engine_toys import conf, train

from asteroid_bsrnn.common.errors import UserError
from asteroid_bsrnn.experiment import energy, tracker
from asteroid_bsrnn.experiment.energy import Ledger, Meter, green_algorithms, make_meter
from asteroid_bsrnn.experiment.energy_entry import EnergyEntry
from asteroid_bsrnn.training import fit as training  # noqa: F401  loaded here, so that forked children need not
from asteroid_bsrnn.training.loop import Loop

FORK = multiprocessing.get_context("fork")


def entry(**values):
    first = {"phase": "training", "source": "vocals", "run_id": "a", "kwh": 1.0, "hours": 2.0, "epochs": 3}
    rest = {"hardware": {}, "method": "measured", "interrupted": False, "pue": 1.5, "country": "FRA"}
    return EnergyEntry(**{**first, **rest, **values})


class FakeTracker:
    """One kWh each time that it is asked."""

    works, method, estimated_parts, hardware, settings, count = True, "measured", [], {"cpu": "fake"}, {}, 0

    def __init__(self, country, pue):
        self.count = 0

    def kwh(self):
        self.count += 1
        return float(self.count - 1)

    def stop(self):
        pass


@pytest.fixture
def fake(monkeypatch):
    monkeypatch.setattr(energy, "Tracker", FakeTracker)


def test_ledger_adds_up_by_phase_and_source(tmp_path):
    ledger = Ledger(tmp_path / "exp" / "energy.json")
    assert ledger.entries() == [] and ledger.total() == 0 and ledger.per_epoch() is None
    ledger.add(entry())
    ledger.add(entry(run_id="b", source="bass", kwh=4.0))
    ledger.add(entry(phase="validation", kwh=0.5, epochs=None))
    ledger.add(entry(phase="test", kwh=None, hours=1.0, epochs=None))
    assert ledger.total() == 5.5 and ledger.total("training") == 5.0 and ledger.total(source="vocals") == 1.5
    assert ledger.hours("test") == 1.0
    ledger.add(entry(kwh=2.0))  # the same stretch of work, further on
    assert ledger.total("training", "vocals") == 2.0 and len(ledger.entries()) == 4
    stored = json.loads((tmp_path / "exp" / "energy.json").read_text())
    assert stored["kwh"] == {"training": 6.0, "validation": 0.5, "test": 0.0} and stored["unmeasured_entries"] == 1
    with pytest.raises(ValueError, match="phase 'train' is unknown; allowed are preparation"):
        ledger.add(entry(phase="train"))


def test_extrapolation_of_the_paper(tmp_path):
    ledger = Ledger(tmp_path / "energy.json")
    ledger.add(entry(kwh=2.4, epochs=3))
    ledger.add(entry(phase="validation", kwh=0.6, epochs=None))
    assert ledger.per_epoch() == pytest.approx(1.0)
    assert ledger.extrapolate(127) == pytest.approx(127.0)  # energy of 3 epochs / 3 * epochs


def test_phases_are_told_apart_and_unfinished_work_is_marked(tmp_path, fake):
    ledger = Ledger(tmp_path / "energy.json")
    meter = Meter(ledger, "vocals")
    meter.start("training")
    assert [found["interrupted"] for found in ledger.entries()] == [True]
    meter.tick(epochs=0.5)
    assert ledger.entries()[0]["epochs"] is None  # not yet: at most once a minute
    meter.start("validation")
    meter.start("training")
    meter.stop()
    assert {found["phase"]: found["kwh"] for found in ledger.entries()} == {"training": 2.0, "validation": 1.0}
    assert not any(found["interrupted"] for found in ledger.entries())
    assert ledger.entries()[0]["epochs"] == 0.5


def test_track_measures_a_block_even_if_it_fails(tmp_path, fake):
    ledger = Ledger(tmp_path / "energy.json")
    with ledger.track("preparation", pue=1.2):
        pass
    with pytest.raises(RuntimeError), ledger.track("test", "bass"):
        raise RuntimeError("out of luck")
    first, second = ledger.entries()
    assert (first["phase"], first["interrupted"], first["pue"], first["kwh"]) == ("preparation", False, 1.2, 1.0)
    assert (second["phase"], second["source"], second["interrupted"], second["kwh"]) == ("test", "bass", True, 1.0)


def add_many(path, name):
    for number in range(10):
        Ledger(path).add(entry(run_id=f"{name}{number}"))


def test_processes_do_not_lose_each_others_entries(tmp_path):
    path = tmp_path / "energy.json"
    processes = [FORK.Process(target=add_many, args=(path, name)) for name in "abc"]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert len(Ledger(path).entries()) == 30


def killed(folder, made):
    original = Loop.after_step

    def after_step(self, *args):
        original(self, *args)
        if self.progress.global_step == 8:
            os.kill(os.getpid(), signal.SIGKILL)

    Loop.after_step = after_step
    train(folder, made)


def test_energy_of_a_killed_run_is_kept_and_added(tmp_path):
    made = {**conf(), "energy": {"country": "FRA", "pue": 1.5, "flush_seconds": 0.0}}
    process = FORK.Process(target=killed, args=(tmp_path, made))
    process.start(), process.join()
    assert process.exitcode == -signal.SIGKILL
    ledger = Ledger(tmp_path / "energy.json")
    before = ledger.entries()
    assert {found["phase"] for found in before} == {"training", "validation"}
    assert all(found["interrupted"] and found["hours"] > 0 for found in before)
    first = ledger.total()
    assert first > 0  # a validation of milliseconds may measure nothing by itself

    train(tmp_path, made)
    entries = ledger.entries()
    assert entries[:2] == before and len(entries) == 4 and not any(found["interrupted"] for found in entries[2:])
    assert ledger.total() == pytest.approx(first + sum(found["kwh"] for found in entries[2:]))
    epochs = [found["epochs"] for found in entries if found["phase"] == "training"]
    assert epochs == [pytest.approx(8 / 6, abs=1e-3), pytest.approx(10 / 6, abs=1e-3)]
    stored = json.loads((tmp_path / "run.json").read_text())["energy"]
    assert stored["training_kwh"] == ledger.total("training") and stored["kwh_per_epoch"] == ledger.per_epoch()
    assert all(found["pue"] == 1.5 and found["country"] == "FRA" and found["hardware"]["cpu"] for found in entries)


def test_says_what_is_estimated(tmp_path):
    with Ledger(tmp_path / "energy.json").track("test"):
        pass
    (found,) = Ledger(tmp_path / "energy.json").entries()
    assert found["method"] in ("measured", "estimated") and "ram" in found["estimated_parts"]
    if found["method"] == "estimated":
        assert "cpu" in found["estimated_parts"]


@pytest.mark.parametrize("where", ["home", "here", "environment"])
def test_private_settings_of_codecarbon_change_nothing(tmp_path, monkeypatch, where):
    values = {"tracking_mode": "process", "measure_power_secs": "1", "gpu_ids": "7", "output_dir": "/nowhere", "force_cpu_power": "9999",
              "force_ram_power": "9999", "pue": "3", "save_to_file": "true", "force_mode_cpu_load": "true", "wue": "5"}  # fmt: skip
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    monkeypatch.chdir(tmp_path)
    if where == "environment":
        for key, value in values.items():
            monkeypatch.setenv(f"CODECARBON_{key.upper()}", value)
    else:
        folder = tmp_path / "home" if where == "home" else tmp_path
        (folder / ".codecarbon.config").write_text(
            "[codecarbon]\n" + "".join(f"{key}={value}\n" for key, value in values.items())
        )
    with Ledger(tmp_path / "energy.json").track("test", pue=1.25):
        pass
    (entry,) = Ledger(tmp_path / "energy.json").entries()
    assert entry["kwh"] is not None and entry["kwh"] < 0.01 and entry["pue"] == 1.25
    settings = {
        key: entry["settings"][key] for key in ("tracking_mode", "measure_power_secs", "force_cpu_power", "wue")
    }
    assert settings == {"tracking_mode": "machine", "measure_power_secs": 15.0, "force_cpu_power": None, "wue": 0.0}
    assert entry["settings"]["gpu_ids"] is None and entry["settings"]["codecarbon"]
    assert not (tmp_path / "emissions.csv").exists()


def test_without_codecarbon_only_hours_are_recorded(tmp_path, monkeypatch):
    find = tracker.importlib.util.find_spec
    monkeypatch.setattr(tracker.importlib.util, "find_spec", lambda name: None if name == "codecarbon" else find(name))
    with Ledger(tmp_path / "energy.json").track("test"):
        pass
    (found,) = Ledger(tmp_path / "energy.json").entries()
    assert found["kwh"] is None and found["hours"] > 0 and "codecarbon is not installed" in found["method"]
    assert Ledger(tmp_path / "energy.json").total() == 0.0


def test_quiet(tmp_path, capfd):
    with Ledger(tmp_path / "energy.json").track("test"):
        pass
    assert capfd.readouterr() == ("", "")


def test_green_algorithms():
    # 10 h of 4 cores at 10 W, half used, one GPU of 250 W and 64 GB at 3 W per 8 GB: (20 + 250 + 24) W
    machine = dict(cores=4, core_watts=10, core_usage=0.5, gpus=1, gpu_watts=250, memory_gb=64)
    estimate = green_algorithms(10, **machine, pue=1.5)
    assert estimate == pytest.approx(10 * 294 * 1.5 / 1000)


def test_settings_are_checked(tmp_path):
    assert make_meter(tmp_path / "energy.json", track=False) is None
    for settings, sentence in (({"pue": 0.5}, "energy.pue must be"), ({"country": "France"}, "energy.country must be")):
        with pytest.raises(UserError, match=sentence):
            make_meter(tmp_path / "energy.json", **settings)
