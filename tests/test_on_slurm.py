"""SLURM through submitit, with a stand-in for the queue: arrays of shards, their last task, time limits."""

import json
import os
import sys
import time

import pytest
from separation_models import files_in, noise, save, tiny_bsrnn, write
from slurm_stand_in import StandIn
from songs import Songs, leaky, write_stems

from asteroid_bsrnn.cli.main import main, parse
from asteroid_bsrnn.cli.slurm_options import own_words
from asteroid_bsrnn.common.cluster import Command, slurm_parameters, submit_array
from asteroid_bsrnn.common.errors import UserError
from asteroid_bsrnn.evaluation import evaluate_folder
from asteroid_bsrnn.separation.many.journal import SummedUp

DelayedSubmission = pytest.importorskip("submitit.core.utils").DelayedSubmission


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    return StandIn(tmp_path / "slurm", monkeypatch)


@pytest.fixture
def disk(tmp_path):
    """(estimates, references) of three songs on disk."""
    songs = Songs()
    return write_stems(tmp_path / "est", songs, leaky(songs)), write_stems(tmp_path / "ref", songs)


def test_tasks_get_the_words_of_the_command_without_these_options():
    words = ["evaluate", "est", "--references", "a ref", "--slurm", "3", "--hours", "2.5", "--slurm_set", "a=b", "-q"]
    assert own_words(words) == ["evaluate", "est", "--references", "a ref", "-q"]
    args = parse([*words, "--slurm_set", "array_parallelism=50", "--gpus", "1"])
    assert args.words[:2] == ["evaluate", "est"]
    found = slurm_parameters(args.hours, args.gpus, args.cpus, args.slurm_set)
    assert found["timeout_min"] == 150 and found["gpus_per_node"] == 1 and found["cpus_per_task"] == 8
    assert found["slurm_a"] == "b" and found["slurm_array_parallelism"] == 50
    with pytest.raises(UserError, match="--slurm_set takes KEY=VALUE, not 'gpu'"):
        slurm_parameters(1, 1, 1, ["gpu"])


def test_without_slurm_one_sentence_says_so(disk, capsys, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert main(["evaluate", str(disk[0]), "--references", str(disk[1]), "--slurm", "2"]) == 2
    assert "error: SLURM cannot be used here" in capsys.readouterr().err
    assert main(["evaluate", str(disk[0]), "--references", str(disk[1]), "--slurm", "0"]) == 2


def test_shards_of_an_evaluation_are_its_whole(disk, tmp_path, capsys):
    """Each task scores its tracks and writes no table; a call without a shard finds all records."""
    words = ["evaluate", *map(str, (disk[0], "--references", disk[1], "-o", tmp_path / "out", "-q"))]
    for shard in ("1/2", "2/2"):
        assert main([*words, "--shard", shard]) == 0
        assert not (tmp_path / "out" / "evaluation.json").exists()
    records = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "tracks").iterdir()}
    assert len(records) == 3 and "shard 1/2: 2 recordings scored" in capsys.readouterr().out
    assert main(words) == 0
    assert {path: path.stat().st_mtime_ns for path in records} == records
    whole = evaluate_folder(disk[0], disk[1], tmp_path / "whole", progress=False)
    assert json.loads((tmp_path / "out" / "final_metrics.json").read_text()) == pytest.approx(whole["final"])
    assert main([*words, "--shard", "3/2"]) == 2


def test_an_evaluation_as_an_array(disk, tmp_path, slurm, capsys):
    """Tasks have a shard each; the last one calls the command whole, which writes the tables."""
    out = tmp_path / "out"
    words = ["evaluate", str(disk[0]), "--references", str(disk[1]), "-o", str(out), "-q"]
    assert main([*words, "--slurm", "2", "--hours", "1", "--slurm_set", "partition=cpu"]) == 0
    assert "job 1: 2 tasks; job 2 sums up when they have ended" in capsys.readouterr().out
    flags, last = slurm.flags(1), slurm.flags(2)
    assert flags["array"] == "0-1%2" and flags["time"] == "60" and flags["partition"] == "cpu"
    assert flags["signal"] == "USR2@180" and "array" not in last and last["dependency"] == "afterany:1"
    for name, shard in (("1_0", ["--shard", "1/2"]), ("1_1", ["--shard", "2/2"]), ("2", [])):
        job = DelayedSubmission.load(out / "slurm_logs" / f"{name}_submitted.pkl").function
        assert job.words == [sys.executable, "-m", "asteroid_bsrnn", *words, *shard] and job.accepted == (0, 1)


@pytest.mark.slow
def test_a_task_that_hits_its_limit_stops_cleanly_and_is_queued_again(tmp_path, slurm):
    """The command sees SIGTERM, saves and leaves; the array's task is requeued and the next try finishes it."""
    program = (
        "import os, pathlib, signal, sys, time\n"
        "def stop(*_): pathlib.Path('saved').touch(); sys.exit(143)\n"
        "signal.signal(signal.SIGTERM, stop)\n"
        "if pathlib.Path('saved').exists(): pathlib.Path('finished').touch(); sys.exit(0)\n"
        "pathlib.Path('parent').write_text(str(os.getppid())); pathlib.Path('started').touch()\n"
        "while True: time.sleep(0.05)\n"
    )
    command = Command([sys.executable, "-c", program], str(tmp_path))
    submit_array([command], tmp_path / "logs", slurm_parameters(1, 0, 1))
    process = slurm.start(1, 0)
    while not (tmp_path / "started").exists():
        assert process.poll() is None
        time.sleep(0.05)
    os.kill(int((tmp_path / "parent").read_text()), slurm.signal)
    process.communicate()
    assert (tmp_path / "saved").exists() and not (tmp_path / "finished").exists()
    assert (slurm.queue.parent / "queue.scontrol").read_text().startswith("requeue 1")
    slurm.run(1)
    assert (tmp_path / "finished").exists()


def test_a_command_that_fails_fails_its_job(tmp_path):
    assert Command([sys.executable, "-c", "raise SystemExit(1)"], accepted=(0, 1))() == 1
    with pytest.raises(RuntimeError, match="exit code 3"):
        Command([sys.executable, "-c", "raise SystemExit(3)"])()


@pytest.mark.slow
def test_a_list_as_an_array(tmp_path, slurm, monkeypatch, capsys):
    """Two shards of about the same length, once each, with the bytes of a single run; their records in one file."""
    monkeypatch.chdir(tmp_path)
    model = save(tiny_bsrnn(), tmp_path / "tiny.pth")
    paths = [write(tmp_path / "in" / f"{index}.wav", noise(4000 + 1000 * index, seed=index)) for index in range(5)]
    (tmp_path / "list.txt").write_text("\n".join([*paths, "gone.wav"]))
    command = ["separate", "--list", "list.txt", "--model", model]
    assert main([*command, "-o", "alone"]) == 1
    assert main([*command, "-o", "out", "--slurm", "2", "--cpus", "2"]) == 0
    assert "job 1: 2 tasks; job 2 sums up" in capsys.readouterr().out
    assert slurm.flags(1)["cpus-per-task"] == "2" and "gpus-per-node" not in slurm.flags(1)
    (plan,) = (tmp_path / "out.work").glob("plan-*.jsonl")  # made before the tasks begin
    assert len(plan.read_text().splitlines()) == 6
    slurm.run(1), slurm.run(2)
    for name in files_in(tmp_path / "alone"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "alone" / name).read_bytes()
    records = [json.loads(line) for line in (tmp_path / "out.work" / "records.jsonl").read_text().splitlines()]
    assert sorted((record["id"], record["status"]) for record in records) == [
        *((str(index), "done") for index in range(5)), ("gone", "failed")
    ]  # fmt: skip
    assert SummedUp(str(tmp_path / "out.work"))() == {"done": 5, "failed": 1}
