"""Several devices, one list: who gets what, a killed process, the split of a processor, the command."""

import dataclasses
import functools
import json
from pathlib import Path

import pytest
import torch
from killed_worker import built
from separation_models import KnownGains, files_in, noise, save, tiny_bsrnn, write

from asteroid_bsrnn.cli.main import main
from asteroid_bsrnn.common.errors import UserError
from asteroid_bsrnn.separation import Separator, processor_split, separate_file
from asteroid_bsrnn.separation.device_pool import Device, Work, _Results, parse_devices, separate_on_devices
from asteroid_bsrnn.separation.many.entries import Entry
from asteroid_bsrnn.separation.many.intake import ELSEWHERE
from asteroid_bsrnn.separation.many.journal import all_records
from asteroid_bsrnn.separation.many.places import LocalPlaces
from asteroid_bsrnn.separation.processor_split import auto_devices, best_split, measure
from asteroid_bsrnn.separation.request import Request


def contents(folder):
    return {name: Path(folder, name).read_bytes() for name in files_in(folder)}


def test_devices_by_name(monkeypatch):
    monkeypatch.setattr("asteroid_bsrnn.separation.device_pool.usable_cores", lambda: 12)
    assert parse_devices("cpu:4") == [Device("cpu", 3)] * 4 and parse_devices("cpu") == [Device("cpu", 12)]
    assert parse_devices("cpu:24") == [Device("cpu", 1)] * 24 and parse_devices("cpu:2", 5) == [Device("cpu", 5)] * 2
    assert parse_devices("cuda:0,1") == [Device("cuda:0"), Device("cuda:1")] and parse_devices("mps") == [Device("mps")]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert parse_devices("cuda") == [Device("cuda:0"), Device("cuda:1")]
    for text in ("cpu:0", "cpu:1,2", "cuda:0,0", "cuda:a", "mps:1", "tpu", ""):
        with pytest.raises(UserError, match="--devices is auto, cpu:4"):
            parse_devices(text)


@pytest.mark.parametrize("speeds, expected", [
    ({1: 1.0, 2: 1.6, 4: 2.4, 8: 1.1}, (4, 4)),
    ({1: 2.0, 2: 1.0}, (1, 16)),  # what got slower is not tried any further
    ({1: 1.0, 2: 0.97, 4: 1.2, 8: 1.2, 16: 1.0}, (4, 4)),
])  # fmt: skip
def test_the_fastest_split_of_a_processor(speeds, expected):
    asked = []

    def speed(processes, threads):
        assert processes * threads == 16
        asked.append(processes)
        return speeds[processes]

    assert best_split(16, speed) == expected and asked == list(speeds)


def test_the_split_is_measured_once(tmp_path, monkeypatch):
    measured = []
    monkeypatch.setattr(processor_split, "cache_file", lambda: tmp_path / "devices.json")
    monkeypatch.setattr(processor_split, "measure", lambda build, p, t: measured.append((p, t)) or 1.0 / p)
    monkeypatch.setattr(processor_split, "usable_cores", lambda: 2)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    separator = Separator(KnownGains(), device="cpu")
    for _ in range(2):
        assert auto_devices(None, separator) == [Device("cpu", 2)]
    assert measured == [(1, 2), (2, 1)]
    other = Separator(KnownGains(gains=(0.5, 0.5)), device="cpu")
    assert auto_devices(None, other) and len(measured) == 4
    (tmp_path / "devices.json").write_text("{")  # damaged: measured again
    assert auto_devices(None, separator) and len(measured) == 6
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert auto_devices(None, separator) == [Device("cuda:0"), Device("cuda:1")] and len(measured) == 6


def test_each_recording_is_told_once_by_whoever_did_it():
    told = []
    entries = [Entry(name, f"{name}.wav") for name in "abcd"]
    results = _Results(entries, lambda entry, result: told.append((entry.id, result["status"])))
    results.add("a", {"status": "skipped"})
    results.add("a", {"status": "done", "duration": 2.0})
    results.add("a", {"status": "skipped"})
    results.add("b", {"status": "failed", "error": str(ELSEWHERE)})
    results.add("b", {"status": "failed", "error": "b.wav: is empty"})
    results.add("c", {"status": "skipped"})
    assert told == [("a", "done"), ("b", "failed")]
    results.finish()
    assert told[2:] == [("c", "skipped"), ("d", "failed")]
    summary = results.summary
    assert (summary.done, summary.failed, summary.skipped, summary.duration) == (1, 2, 1, 2.0)


@pytest.mark.slow
def test_a_killed_process_is_missed_by_nobody(tmp_path, capsys):
    """Each recording exactly once by the records, all bytes those of single runs."""
    paths = [write(tmp_path / "in" / f"{index:02d}.wav", noise(9000, seed=index)) for index in range(16)]
    alone, model = Separator(KnownGains()), save(KnownGains(), tmp_path / "gains.pth")
    for path in paths:
        separate_file(alone, path, tmp_path / "alone")
    entries = [Entry(Path(path).stem, path) for path in paths]
    build, told = functools.partial(built, model, str(tmp_path / "killed")), []
    work = Work(build, entries, LocalPlaces(tmp_path / "out"), Request(alone.sources), str(tmp_path / "work"), 16)
    summary = separate_on_devices([Device("cpu", 1)] * 2, work, lambda entry, result: told.append((entry, result)))
    assert sorted(entry.id for entry, _ in told) == [entry.id for entry in entries]
    assert summary.failed == 0 and contents(tmp_path / "out") == contents(tmp_path / "alone")
    assert sorted(record["id"] for record in all_records(tmp_path / "work")) == [entry.id for entry in entries]
    assert capsys.readouterr().err.count("note: the process on cpu has died") == 1
    again = separate_on_devices([Device("cpu", 1)], dataclasses.replace(work), lambda entry, result: None)
    assert (again.done, again.skipped) == (0, 16)


@pytest.mark.slow
def test_the_command_on_two_processes(tmp_path, capsys):
    for index in range(4):
        write(tmp_path / "in" / f"{index}.wav", noise(9000, seed=index))
    (tmp_path / "in" / "bad.wav").write_bytes(b"no audio")
    model = save(tiny_bsrnn(), tmp_path / "tiny.pth")
    command = ["separate", str(tmp_path / "in"), "--model", model]
    assert main([*command, "-o", str(tmp_path / "alone")]) == 1
    capsys.readouterr()
    assert main([*command, "-o", str(tmp_path / "out"), "--devices", "cpu:2", "--threads", "1", "--json"]) == 1
    out, errors = capsys.readouterr()
    found = json.loads(out)
    assert "on cpu (1 threads), cpu (1 threads)" in errors and "5 recordings: 4 done, 1 failed" in errors
    assert sorted(file["status"] for file in found["files"]) == ["done"] * 4 + ["failed"]
    assert contents(tmp_path / "out") == contents(tmp_path / "alone")


def test_options_that_contradict_each_other(tmp_path, capsys):
    song, model = write(tmp_path / "a.wav", noise(100)), save(KnownGains(), tmp_path / "gains.pth")
    for extra, sentence in (
        (["--devices", "cpu:2", "--ray"], "--ray has its own devices"),
        (["--devices", "cpu:2", "--device", "cpu"], "--device cpu is for this process alone"),
        (["--devices", "cpu:none"], "--devices is auto, cpu:4"),
        (["--slurm", "2", "--overwrite"], "choose another folder instead of --overwrite"),
        (["--slurm", "2", "--shard", "1/2"], "leave --shard out"),
    ):
        assert main(["separate", song, "-o", str(tmp_path / "out"), "--model", model, *extra]) == 2
        assert sentence in capsys.readouterr().err


@pytest.mark.slow
def test_a_processor_is_measured_by_processes_of_their_own():
    build = functools.partial(Separator, KnownGains())
    assert measure(functools.partial(known_gains, build), 2, 1) > 0
    with pytest.raises(UserError, match="could not be measured with 1 processes"):
        measure(broken, 1, 1)


def known_gains(build, device, threads):
    return build(device=device)


def broken(device, threads):
    raise SystemExit(3)
