"""Runs over many recordings: what a single run writes, whoever else is at work, is killed or interrupted."""

import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from helpers import ROOT
from separation_models import KnownGains, KnownSpeech, files_in, noise, read, save, tiny_bsrnn, tones, write

from asteroid_bsrnn.cli.main import main
from asteroid_bsrnn.separation.many.entries import Entry
from asteroid_bsrnn.separation.many.journal import all_records
from asteroid_bsrnn.separation.many.pipeline import separate_many
from asteroid_bsrnn.separation.many.places import LocalPlaces
from asteroid_bsrnn.separation.many.sharing import Sharing
from asteroid_bsrnn.separation.recordings import Separator, separate_file
from asteroid_bsrnn.separation.request import Request


@pytest.fixture(scope="module")
def gains(tmp_path_factory):
    return save(KnownGains(), tmp_path_factory.mktemp("model") / "gains.pth")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return save(tiny_bsrnn(), tmp_path_factory.mktemp("model") / "tiny.pth")


def songs_in(folder, count, seconds=0.3, deep=False):
    """Paths of so many recordings that are all different."""
    names = [f"cd{index % 3}/{index:02d}.wav" if deep else f"{index:03d}.wav" for index in range(count)]
    return [write(folder / name, noise(int(44100 * seconds), seed=index)) for index, name in enumerate(names)]


def listed(path, lines):
    path.write_text("".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines))
    return str(path)


def contents(folder):
    return {name: Path(folder, name).read_bytes() for name in files_in(folder)}


def single_runs(model, paths, folder):
    """What each recording gives alone."""
    separator = Separator(model)
    for path in paths:
        separate_file(separator, path, folder)
    return contents(folder)


def wait_for(condition, seconds=90):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)


def start(*args):
    command = [sys.executable, "-m", "asteroid_bsrnn", "separate", *args]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_tree_keeps_its_folders_and_its_bytes(tiny, tmp_path, capsys):
    paths = songs_in(tmp_path / "in", 6, deep=True)
    assert main(["separate", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--model", tiny, "--keep-tree"]) == 0
    alone = single_runs(tiny, paths, tmp_path / "alone")
    found = contents(tmp_path / "out")
    assert sorted(found) == sorted(f"cd{int(name[:2]) % 3}/{name}" for name in alone)
    assert all(found[f"cd{int(name[:2]) % 3}/{name}"] == alone[name] for name in alone)
    assert "6 recordings: 6 done, 0 failed, 0 skipped" in capsys.readouterr().out
    assert not (tmp_path / "out.work").exists()  # nobody else was asked to take part


def test_a_list_with_ids_parts_and_a_pattern(gains, tmp_path, capsys):
    first, second = songs_in(tmp_path / "in", 2, seconds=1.0)
    lines = [
        first,
        {"path": second, "id": "de/7", "offset": 0.25, "duration": 0.5},
        {"path": second, "duration": 0.996},
    ]
    given = listed(tmp_path / "list.jsonl", lines)
    before = Path(given).read_bytes()
    options = ["-o", str(tmp_path / "out"), "--model", gains, "--out-pattern", "{source}/{id}", "--sources", "vocals"]
    assert main(["separate", "--list", given, *options]) == 0
    assert files_in(tmp_path / "out") == ["vocals/000.wav", "vocals/001.wav", "vocals/de/7.wav"]
    np.testing.assert_allclose(read(tmp_path / "out/vocals/de/7.wav"), 0.25 * read(second)[:, 11025:33075], atol=1e-6)
    assert read(tmp_path / "out/vocals/001.wav").shape == (2, 44100)  # 0.996 s was rounded
    assert Path(given).read_bytes() == before
    records = {record["id"]: record for record in all_records(tmp_path / "out.work")}
    assert set(records) == {"000", "001", "de/7"}
    told = records["de/7"]
    assert told["file"] == second and (told["offset"], told["part"], told["duration"]) == (0.25, 0.5, 0.5)
    assert told["status"] == "done" and told["gain"] == 1 and told["error"] is None and told["device"] == "cpu"
    assert len(told["model"]) == 16 and told["seconds"] > 0


def test_the_exit_code_and_the_records_say_what_failed(gains, tmp_path, capsys):
    paths = songs_in(tmp_path / "in", 2)
    given = listed(tmp_path / "list.txt", [*paths, str(tmp_path / "gone.wav")])
    command = ["separate", "--list", given, "-o", str(tmp_path / "out"), "--model", gains]
    assert main([*command, "--json"]) == 1
    assert [file["status"] for file in json.loads(capsys.readouterr().out)["files"]] == ["done", "done", "failed"]
    records = {record["id"]: record for record in all_records(tmp_path / "out.work")}
    assert records["gone"]["status"] == "failed" and records["gone"]["error"].endswith("gone.wav: does not exist")
    write(tmp_path / "gone.wav", noise())
    capsys.readouterr()
    assert main(command) == 0  # what failed is tried again, what is done is not done again
    assert "3 recordings: 1 done, 0 failed, 2 skipped" in capsys.readouterr().out
    (tmp_path / "out/000/vocals.wav").unlink()
    assert main([*command, "--skip-existing"]) == 0  # a record alone is no stem
    assert "1 done, 0 failed, 2 skipped" in capsys.readouterr().out
    assert main([*command, "--overwrite"]) == 0 and "3 done" in capsys.readouterr().out


def test_stems_that_no_record_explains_are_kept(gains, tmp_path, capsys):
    (path,) = songs_in(tmp_path / "in", 1)
    vocals = Path(write(tmp_path / "out/000/vocals.wav", noise(100)))
    old = vocals.read_bytes()
    command = ["separate", "--list", listed(tmp_path / "l", [path]), "-o", str(tmp_path / "out"), "--model", gains]
    assert main(command) == 1 and "exists: choose --overwrite or --skip-existing" in capsys.readouterr().err
    assert vocals.read_bytes() == old
    assert main([*command, "--complement", "--skip-existing"]) == 0 and vocals.read_bytes() != old
    assert main([*command, "--complement", "--segment", "3"]) == 1  # another job
    assert main([*command, "--complement", "--segment", "3", "--skip-existing"]) == 0


def test_shards_together_do_everything_once(gains, tmp_path, monkeypatch, capsys):
    given = listed(tmp_path / "list.txt", songs_in(tmp_path / "in", 7))
    command = ["separate", "--list", given, "-o", str(tmp_path / "out"), "--model", gains]
    assert main([*command, "--shard", "3/3"]) == 0
    for number in (5, 6):
        for name, value in (("ID", number), ("MIN", 5), ("COUNT", 3)):
            monkeypatch.setenv(f"SLURM_ARRAY_TASK_{name}", str(value))
        assert main(command) == 0
    done = [record["id"] for record in all_records(tmp_path / "out.work")]
    assert sorted(done) == [f"{index:03d}" for index in range(7)]
    assert len(list((tmp_path / "out.work").glob("plan-*.jsonl"))) == 1
    assert main(["separate", str(tmp_path / "in/000.wav"), "-o", str(tmp_path / "alone"), "--model", gains]) == 0
    assert files_in(tmp_path / "alone")  # an array that gives each task its recordings is left alone
    for wrong in ("4/3", "0/3", "x"):
        assert main([*command, "--shard", wrong]) == 2
    assert "such as 3/200" in capsys.readouterr().err


@pytest.mark.parametrize(
    "options, words",
    [
        ([], "nothing to separate"),
        (["--list", "LIST", "--offset", "1"], "a list gives its own"),
        (["--list", "LIST", "--out-pattern", "{id}"], "needs {id} and {source}"),
        (["--list", "nowhere.txt"], "cannot be read"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_done(gains, tmp_path, capsys, options, words):
    given = listed(tmp_path / "list.txt", songs_in(tmp_path / "in", 1))
    options = [given if option == "LIST" else option for option in options]
    assert main(["separate", *options, "-o", str(tmp_path / "out"), "--model", gains]) == 2
    assert words in capsys.readouterr().err and not (tmp_path / "out").exists()


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("speech", [False, True])
def test_recordings_of_all_kinds_side_by_side_are_what_they_are_alone(tmp_path, batch, speech):
    """Long and short, of any rate and number of channels, silent ones; integer formats with a gain of their own."""
    lengths = [(0.05, 44100, 2), (2.5, 48000, 1), (0.05, 44100, 2), (0.7, 8000, 2), (7.0, 44100, 2), (0.05, 44100, 6)]
    paths = [
        write(tmp_path / f"in/{index}.wav", tones(seconds, rate, channels, peak=0.9, low=200 + 50 * index), rate)
        for index, (seconds, rate, channels) in enumerate(lengths)
    ]
    paths.append(write(tmp_path / "in/silent.wav", np.zeros((2, 5000))))
    model = KnownSpeech() if speech else KnownGains(gains=(1.4, -0.4))
    model.factor.requires_grad_(False)
    separator = Separator(model)
    separator.ordered, names = True, separator.sources  # KnownSpeech counts its calls, which matching undoes elsewhere
    if speech:
        model.forward = lambda wav: torch.stack([wav[:, 0], -0.5 * wav[:, 0]], dim=1)
    request = Request(names, True, True, "flac", 16, batch, inference={"segment": 0.5})
    entries = [Entry(Path(path).stem, path) for path in paths]
    summary = separate_many(separator, entries, LocalPlaces(tmp_path / "out", "flac"), request)
    assert (summary.done, summary.failed, summary.skipped) == (7, 0, 0)
    for path in paths:
        separate_file(separator, path, tmp_path / "alone", None, True, True, "flac", 16, segment=0.5)
    assert contents(tmp_path / "out") == contents(tmp_path / "alone")


def test_equal_segments_share_passes_and_others_do_not(tmp_path):
    shapes = []

    class Watched(KnownGains):
        def forward(self, wav):
            shapes.append((len(wav), wav.shape[-1]))
            return super().forward(wav)

    paths = songs_in(tmp_path / "in", 8, 0.2) + [write(tmp_path / "in/odd.wav", noise(7777, seed=9))]
    entries = [Entry(Path(path).stem, path) for path in paths]
    separator = Separator(Watched())
    for batch, largest in ((1, 1), (4, 4)):
        shapes.clear()
        separate_many(
            separator, entries, LocalPlaces(tmp_path / f"out{batch}"), Request(separator.sources, batch=batch)
        )
        assert sum(count for count, length in shapes if length == 8820) == 8 and (1, 7777) in shapes
        assert max(count for count, _ in shapes) <= largest
        assert batch == 1 or len(shapes) < 9
    assert contents(tmp_path / "out1") == contents(tmp_path / "out4")  # as KnownGains' bits know no batch


def test_one_bad_recording_in_a_shared_pass_fails_alone(tmp_path):
    class Picky(KnownGains):
        def forward(self, wav):
            if (wav.amax((1, 2)) > 0.9).any():
                raise RuntimeError("too loud")
            return super().forward(wav)

    paths = [write(tmp_path / f"in/{index}.wav", noise(4410, peak=0.99 if index == 2 else 0.5)) for index in range(6)]
    results = {}
    separator = Separator(KnownGains())
    separator.models[0].__class__ = Picky
    summary = separate_many(
        separator, [Entry(Path(path).stem, path) for path in paths], LocalPlaces(tmp_path / "out"),
        Request(separator.sources, batch=4), tell=lambda entry, result: results.update({entry.id: result}),
    )  # fmt: skip
    assert (summary.done, summary.failed) == (5, 1) and results["2"]["error"] == "RuntimeError: too loud"
    assert sorted(os.listdir(tmp_path / "out")) == ["0", "1", "3", "4", "5"]


def test_a_writer_that_fails_lets_the_others_go_on(tmp_path, gains, capsys):
    """A long recording whose stems have no place: what is read ahead and computed of it is given up."""
    paths = [write(tmp_path / f"in/{index}.wav", noise(44100 * (60 if index == 1 else 1), 1)) for index in range(3)]
    (tmp_path / "out").mkdir()
    (tmp_path / "out/1").write_text("in the way")
    assert main(["separate", *paths, "-o", str(tmp_path / "out"), "--model", gains]) == 1
    assert files_in(tmp_path / "out") == ["0/drums.wav", "0/vocals.wav", "1", "2/drums.wav", "2/vocals.wav"]


def test_an_error_in_a_thread_of_the_run_ends_it(tmp_path, gains):
    """Not that of a recording but, say, a folder of records that cannot be written to."""
    paths = songs_in(tmp_path / "in", 5)
    entries = [Entry(Path(path).stem, path) for path in paths]
    separator = Separator(gains)
    request = Request(separator.sources)
    with Sharing(tmp_path / "work", separator, request, 5) as sharing:
        sharing.records.append = None
        with pytest.raises(TypeError):
            separate_many(separator, entries, LocalPlaces(tmp_path / "out"), request, sharing)
    assert os.listdir(tmp_path / "work/claims") == []


def test_places_that_are_not_on_this_machine_get_whole_recordings_or_none(tmp_path):
    """As an object store would: what ended without an error is put there, an interrupted run leaves the rest alone."""
    put = []

    class Elsewhere(LocalPlaces):
        @contextmanager
        def kept(self, entry, names):
            yield {name: tmp_path / "temporary" / entry.id / f"{name}.wav" for name in names}
            put.append(entry.id)

    class Interrupting(KnownGains):
        def forward(self, wav):
            if calls.pop() == 0:
                raise KeyboardInterrupt
            return super().forward(wav)

    calls = list(range(1000))
    paths = songs_in(tmp_path / "in", 12)
    separator, entries = Separator(Interrupting()), [Entry(Path(path).stem, path) for path in paths]
    calls[:] = range(7)
    with pytest.raises(KeyboardInterrupt):
        separate_many(separator, entries, Elsewhere("nowhere"), Request(separator.sources))
    assert len(put) <= 6 and sorted(put) == sorted(os.listdir(tmp_path / "temporary"))
    assert all(len(os.listdir(tmp_path / "temporary" / name)) == 2 for name in put)


@pytest.mark.slow
def test_four_processes_of_which_three_are_killed(tiny, tmp_path):
    """Each recording is done once by the records, and all bytes are those of single runs."""
    paths = songs_in(tmp_path / "in", 36, 1.0)
    given = listed(tmp_path / "list.txt", paths)
    args = ["--list", given, "-o", str(tmp_path / "out"), "--model", tiny, "--threads", "1"]
    work, processes = tmp_path / "out.work", [start(*args) for _ in range(4)]

    def n_done():
        return sum(1 for _ in all_records(work))

    try:
        for number, process in enumerate(processes[:3], 1):
            wait_for(lambda number=number: n_done() >= 5 * number)
            process.kill()
            process.wait()
        out, err = processes[3].communicate(timeout=120)
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    assert processes[3].returncode == 0, err
    records = [record for record in all_records(work)]
    assert sorted(record["id"] for record in records) == [f"{index:03d}" for index in range(36)]
    assert {record["status"] for record in records} == {"done"}
    assert contents(tmp_path / "out") == single_runs(tiny, paths, tmp_path / "alone")  # and nothing half-written
    assert os.listdir(work / "claims") == []
    assert main(["separate", *args]) == 0 and n_done() == 36


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_undoes_what_is_open(tiny, tmp_path, number):
    """What is there is whole and in the records; nothing else is; the next run does the rest."""
    paths = songs_in(tmp_path / "in", 30, 1.0)
    given = listed(tmp_path / "list.txt", paths)
    args = ["--list", given, "-o", str(tmp_path / "out"), "--model", tiny, "--threads", "1", "--format", "flac"]
    with start(*args) as process:
        wait_for(lambda: sum(1 for _ in all_records(tmp_path / "out.work")) >= 5)
        process.send_signal(number)
        process.communicate(timeout=60)
    assert process.returncode == (143 if number == signal.SIGTERM else 130)
    done = [record["id"] for record in all_records(tmp_path / "out.work")]
    assert 5 <= len(done) < 30 and len(set(done)) == len(done)
    assert files_in(tmp_path / "out") == sorted(f"{name}/{stem}.flac" for name in done for stem in ("drums", "vocals"))
    assert sorted(os.listdir(tmp_path / "out")) == sorted(done)  # no empty folders either
    assert os.listdir(tmp_path / "out.work/claims") == []
    assert main(["separate", *args]) == 0
    assert len(files_in(tmp_path / "out")) == 60


@pytest.mark.slow
def test_ten_thousand_files_in_memory_that_stays_flat(tmp_path):
    """All names are links to a few files; what is resident at the end is what it was after two thousand."""
    real = [write(tmp_path / f"{index}.wav", noise(800, 1), 8000) for index in range(4)]
    entries = [Entry(f"{index % 100}/{index}", real[index % 4]) for index in range(10_000)]
    separator = Separator(KnownGains(("all",), (1.0,), 8000, 1))
    request, peaks = Request(("all",), fmt="wav", bits=32), []

    def tell(entry, result):
        assert result["status"] == "done"
        Path(result["stems"]["all"]).unlink()
        if len(peaks) % 1000 == 999:
            assert len(list((tmp_path / "work/claims").iterdir())) < 50
        peaks.append(int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() // 1024)  # resident

    with Sharing(tmp_path / "work", separator, request, len(entries)) as sharing:
        summary = separate_many(separator, entries, LocalPlaces(tmp_path / "out"), request, sharing, tell)
    assert summary.done == 10_000 and soundfile.info(real[0]).frames == 800
    assert peaks[-1] - peaks[2_000] < 20_000, "KiB"
    assert len({record["id"] for record in all_records(tmp_path / "work")}) == 10_000


def test_only_the_network_computes_in_several_threads(tmp_path):
    counts, around = [], set()

    class Counting(KnownGains):
        def forward(self, wav):
            counts.append(torch.get_num_threads())
            return super().forward(wav)

    def watch(*progress):
        around.add((threading.current_thread() is threading.main_thread(), torch.get_num_threads()))

    usual = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        separator = Separator(Counting())
        entries = [Entry(Path(path).stem, str(path)) for path in songs_in(tmp_path, 3)]
        separate_many(separator, entries, LocalPlaces(tmp_path / "out", "wav"), Request(separator.sources), watch=watch)
        assert set(counts) == {2} and around == {(False, 1)} and torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(usual)
