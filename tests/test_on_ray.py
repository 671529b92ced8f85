"""Ray: a separator over columns, and a pool of workers of which one is killed; each recording exactly once."""

import builtins
import functools
import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from helpers import ROOT
from killed_worker import built
from separation_models import KnownGains, files_in, noise, save, tiny_bsrnn, write

from asteroid_bsrnn.cli.main import main
from asteroid_bsrnn.common.errors import UserError
from asteroid_bsrnn.separation import Separator, separate, separate_file
from asteroid_bsrnn.separation.device_pool import Work
from asteroid_bsrnn.separation.many.entries import Entry
from asteroid_bsrnn.separation.many.journal import all_records
from asteroid_bsrnn.separation.many.places import LocalPlaces
from asteroid_bsrnn.separation.on_ray import RayWorker, run_on_ray, separate_on_ray
from asteroid_bsrnn.separation.request import Request

RAY = {"num_cpus": 2, "include_dashboard": False, "object_store_memory": 80 * 2**20, "log_to_driver": False}
WAVS = [noise(3000, seed=0), noise(5000, seed=1)[:1], noise(4000, channels=3, seed=2)]


@pytest.fixture(scope="module")
def local_ray():
    """A Ray of two cores, whose workers can import what the tests can."""
    ray = pytest.importorskip("ray")
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    ours = {"PYTHONPATH": paths, "ASTEROID_BSRNN_PLUGINS": "separation_models", "OMP_NUM_THREADS": "1"}
    ray.init(**RAY, runtime_env={"env_vars": ours})
    yield ray
    ray.shutdown()


def test_columns_of_recordings():
    """Any lengths, rates and channels side by side; other columns are passed on."""
    separator = pickle.loads(pickle.dumps(Separator(KnownGains(), device="cpu")))
    rates = [44100, 22050, 44100]
    batch = separator({"audio": WAVS, "sample_rate": rates, "id": ["a", "b", "c"]})
    assert list(batch) == ["audio", "sample_rate", "id", "vocals", "drums"] and batch["id"] == ["a", "b", "c"]
    assert separator({"audio": [WAVS[0][0]], "sample_rate": [44100]})["drums"][0].shape == (3000,)
    for index, (wav, rate) in enumerate(zip(WAVS, rates)):
        vocals, drums = separate(separator, wav, rate)
        np.testing.assert_array_equal(batch["vocals"][index], vocals)
        np.testing.assert_array_equal(batch["drums"][index], drums)


def test_columns_that_do_not_fit_are_refused():
    separator = Separator(KnownGains(), device="cpu")
    with pytest.raises(UserError, match="needs the columns audio and sample_rate; it has audio"):
        separator({"audio": WAVS})
    with pytest.raises(UserError, match="has a column 'drums' already"):
        separator({"audio": WAVS, "sample_rate": [44100] * 3, "drums": WAVS})


def test_a_worker_loads_once_and_answers_in_json():
    loaded = []

    def build():
        loaded.append(1)
        return lambda entries: [{"file": entry["file"], "n": len(entry)} for entry in entries]

    worker = RayWorker(build)
    for _ in range(2):
        assert worker({"entry": [json.dumps({"file": "ä"})]}) == {"record": [json.dumps({"file": "ä", "n": 1})]}
    assert loaded == [1]


def test_without_ray_one_sentence_says_what_to_install(monkeypatch):
    real = builtins.__import__

    def without_ray(name, *args, **options):
        if name.partition(".")[0] == "ray":
            raise ImportError(name)
        return real(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", without_ray)
    with pytest.raises(UserError, match=r"--ray needs Ray: pip install 'asteroid_bsrnn\[ray\]'"):
        next(run_on_ray([{}], dict))


@pytest.mark.slow
def test_the_class_serves_map_batches_as_it_is(local_ray):
    rows = [{"audio": wav, "sample_rate": 44100, "id": index} for index, wav in enumerate(WAVS)]
    pool = local_ray.data.ActorPoolStrategy(size=1)
    options = {"fn_constructor_kwargs": {"models": KnownGains(), "device": "cpu"}, "compute": pool}
    found = local_ray.data.from_items(rows).map_batches(Separator, batch_size=2, **options).take_all()
    assert sorted(row["id"] for row in found) == [0, 1, 2]
    for row in found:
        expected = separate(KnownGains(), WAVS[row["id"]], 44100, device="cpu")
        np.testing.assert_array_equal(row["vocals"], expected[0])


def listed(folder, count):
    """Entries for so many recordings that are all different, and what each gives alone with the model."""
    paths = [write(folder / "in" / f"{index:02d}.wav", noise(9000, seed=index)) for index in range(count)]
    model = save(tiny_bsrnn(), folder / "tiny.pth")
    separator = Separator(model, device="cpu")
    for path in paths:
        separate_file(separator, path, folder / "alone")
    return paths, model, separator


def contents(folder):
    return {name: Path(folder, name).read_bytes() for name in files_in(folder)}


@pytest.mark.slow
def test_a_killed_worker_is_replaced_and_each_recording_comes_once(local_ray, tmp_path):
    """... with the bytes of a single run, by records that the driver writes; a second run finds all done."""
    paths, model, separator = listed(tmp_path, 12)
    build = functools.partial(built, model, str(tmp_path / "killed"))
    entries = [Entry(Path(path).stem, path) for path in paths]
    work = Work(build, entries, LocalPlaces(tmp_path / "out"), Request(separator.sources), str(tmp_path / "work"), 12)
    told = []
    summary = separate_on_ray(work, separator, lambda entry, result: told.append(entry.id), threads=1)
    assert sorted(told) == [entry.id for entry in entries] and (summary.done, summary.failed) == (12, 0)
    assert (tmp_path / "killed").exists() and contents(tmp_path / "out") == contents(tmp_path / "alone")
    records = list(all_records(tmp_path / "work"))
    assert sorted(record["id"] for record in records) == sorted(told) and records[0]["device"] == "cpu"
    assert separate_on_ray(work, separator, lambda entry, result: None).skipped == 12


@pytest.mark.slow
def test_the_command_on_ray(local_ray, tmp_path, monkeypatch, capsys):
    """Relative names too: workers begin where the command was called."""
    monkeypatch.chdir(tmp_path)
    listed(tmp_path, 3)
    Path("list.txt").write_text("in/00.wav\nin/01.wav\nin/none.wav\nin/02.wav\n")
    command = ["separate", "--list", "list.txt", "-o", "out", "--model", "tiny.pth", "--ray"]
    assert main(command) == 1
    out, errors = capsys.readouterr()
    assert "4 recordings: 3 done, 1 failed, 0 skipped" in out and "in/none.wav: does not exist" in errors
    assert contents(tmp_path / "out") == contents(tmp_path / "alone")
