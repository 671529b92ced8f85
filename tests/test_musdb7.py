"""``--demo musdb7``: excerpts from a record, through musdb's reader, into the layout that everything else reads."""

import hashlib
import io
import subprocess
import sys
import zipfile
from os import environ

import numpy as np
import pytest
import soundfile
from helpers import ROOT
from loopback import serve

from asteroid_bsrnn.common.errors import UserError
from asteroid_bsrnn.data import music_data
from asteroid_bsrnn.data.demo.musdb7 import ARCHIVE, RECORD, provide_musdb7

stempeg = pytest.importorskip("stempeg")
musdb = pytest.importorskip("musdb")
SONGS = ("train/Some Song", "train/ANiMAL - Rockshow", "test/A Test")  # the second is one of the 14 that validate


@pytest.fixture(scope="module")
def packed():
    """A small archive: stempeg's excerpt under three names."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for song in SONGS:
            archive.write(stempeg.example_stem_path(), f"{song}.stem.mp4")
    return content.getvalue()


def offer(server, content):
    """Put ``content`` up as the record does; the address of the API."""
    url = server.add(f"/files/{ARCHIVE}", content)
    entry = {
        "key": ARCHIVE,
        "size": len(content),
        "checksum": f"md5:{hashlib.md5(content).hexdigest()}",
        "links": {"self": url},
    }
    server.add(f"/api/records/{RECORD}", {"title": "MUSDB18 7s", "metadata": {}, "files": [entry]})
    return server.url + "/api"


def test_excerpts_arrive_in_the_official_splits_with_the_samples_that_musdb_reads(tmp_path, packed, monkeypatch):
    section = music_data({"data": {"corpus": "musdb7", "root": "data/musdb7"}}, tmp_path)
    with pytest.raises(UserError, match="147 MB.*dc2bdfac5b46ce742bd60009866758a5"):
        section.prepare()
    with serve() as server:
        monkeypatch.setenv("ASTEROID_BSRNN_ZENODO_API", offer(server, packed))
        assert section.prepare(download=True) == {"train": 1, "valid": 1, "test": 1}
        asked = len(server.requests)
        section.prepare(download=True)
        assert len(server.requests) == asked, "what is there is not fetched again"
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["musdb7"], (
        "archive and intermediate files are gone"
    )

    (tmp_path / "stems" / "test").mkdir(parents=True)
    (tmp_path / "stems" / "test" / "A Test.stem.mp4").symlink_to(stempeg.example_stem_path())
    song = musdb.DB(root=str(tmp_path / "stems"), subsets=["test"]).tracks[0]
    found = {
        name: soundfile.read(tmp_path / "data" / "musdb7" / "test" / "A Test" / f"{name}.wav")[0]
        for name in song.sources
    }
    peak = max(np.abs(source.audio).max() for source in song.sources.values())
    for name, source in song.sources.items():
        np.testing.assert_allclose(found[name], source.audio / max(peak, 1.0), atol=1 / 32768)
    mixture, sources = section.test_set(("drums", "bass"))[0]
    np.testing.assert_allclose(sources[1].T, found["bass"], atol=1e-7)


def test_a_folder_of_something_else_and_an_archive_without_songs_are_refused(tmp_path, monkeypatch):
    (tmp_path / "full" / "photos").mkdir(parents=True)
    with pytest.raises(UserError, match="is not empty and holds no train and test"):
        provide_musdb7(tmp_path / "full", download=True)
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("train/readme.txt", "no music")
        archive.writestr("test/readme.txt", "no music")
    with serve() as server:
        with pytest.raises(UserError, match=r"holds no \*\.stem\.mp4"):
            provide_musdb7(tmp_path / "musdb7", download=True, api=offer(server, content.getvalue()))
    assert not (tmp_path / "musdb7").exists()


@pytest.mark.slow
def test_the_demonstration_runs_from_the_record_to_the_report(tmp_path, packed):
    import shutil

    recipe = tmp_path / "musdb18hq"
    shutil.copytree(
        ROOT / "recipes" / "musdb18hq", recipe, ignore=shutil.ignore_patterns("data", "exp", "logs", "__pycache__")
    )
    command = [
        "./run.sh",
        "--demo",
        "musdb7",
        "--source",
        "vocals",
        "--python_path",
        sys.executable,
        "--stage",
        "0",
        "--stop_stage",
        "2",
    ]
    command += ["--set", "data.n_items=8 training.epochs=1 loader.num_workers=0 data.sad_window=3.0 energy.track=false"]
    with serve() as server:
        environment = {
            **environ,
            "OMP_NUM_THREADS": "1",
            "CUDA_VISIBLE_DEVICES": "",
            "ASTEROID_BSRNN_ZENODO_API": offer(server, packed),
        }
        done = subprocess.run(command, cwd=recipe, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "musdb7 in data/musdb7: 1 train tracks, 1 valid tracks, 1 test tracks" in done.stdout.replace(
        f"{recipe}/", ""
    )
    assert (recipe / "exp" / "base_demo_musdb7" / "vocals" / "best_model.pth").exists()
