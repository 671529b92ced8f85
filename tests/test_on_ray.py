"""Ray: a separator over columns, and a pool of workers of which one is killed; each recording exactly once."""

import builtins
import json
import os
import pickle
import signal
from pathlib import Path

import numpy as np
import pytest
from helpers import ROOT
from separation_models import KnownGains, noise

from asteroid_bsrnn.common.errors import UserError
from asteroid_bsrnn.separation import Separator, separate
from asteroid_bsrnn.separation.on_ray import RayWorker, run_on_ray

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


def fragile(folder):
    """Work that kills its own process at the first sight of entry 7."""

    def work(entries):
        for entry in entries:
            if entry["index"] == 7 and not (Path(folder) / "killed").exists():
                (Path(folder) / "killed").touch()
                os.kill(os.getpid(), signal.SIGKILL)
            yield {"index": entry["index"], "pid": os.getpid()}

    return work


class Fragile:
    """:func:`fragile` with its folder, as Ray pickles it."""

    def __init__(self, folder):
        self.folder = folder

    def __call__(self):
        return fragile(self.folder)


@pytest.mark.slow
def test_a_killed_worker_is_replaced_and_each_entry_comes_once(local_ray, tmp_path):
    found = list(run_on_ray([{"index": index} for index in range(24)], Fragile(str(tmp_path)), at_once=3))
    assert sorted(record["index"] for record in found) == list(range(24))
    assert len({record["pid"] for record in found}) >= 2 and (tmp_path / "killed").exists()
