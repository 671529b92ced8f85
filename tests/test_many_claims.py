"""Claims and records: one owner at a time, however owners end; lines that are whole, whoever is killed."""

import json
import os
import subprocess
import sys
import threading

import pytest
from helpers import ROOT
from separation_models import KnownGains

from asteroid_bsrnn.common import locks
from asteroid_bsrnn.separation.many import claims as claims_module
from asteroid_bsrnn.separation.many.claims import Claims
from asteroid_bsrnn.separation.many.entries import Entry
from asteroid_bsrnn.separation.many.journal import Records, Summary, all_records, merge
from asteroid_bsrnn.separation.many.sharing import Sharing
from asteroid_bsrnn.separation.recordings import Separator
from asteroid_bsrnn.separation.request import Request

HOLDER = """
import os, sys, time
from asteroid_bsrnn.separation.many.claims import Claims
claims = Claims(sys.argv[1]).__enter__()
print(claims.take("song") is not None, flush=True)
time.sleep(60)
"""


@pytest.fixture
def no_locks(monkeypatch):
    """A file system that knows no locks."""
    monkeypatch.setattr(locks, "fcntl", None)


def test_one_of_many_gets_it_and_the_next_when_it_is_let_go(tmp_path):
    with Claims(tmp_path) as mine, Claims(tmp_path) as other:
        claim = mine.take("a/song")
        assert claim is not None and claim.mine() and not claim.taken_over
        assert other.take("a/song") is None and mine.take("a/song") is None and other.take("b/song") is not None
        mine.release("a/song")
        assert other.take("a/song") is not None
    assert os.listdir(tmp_path) == []  # both ended: nothing is claimed any more


def test_threads_that_race_for_hundred_pieces_get_each_once(tmp_path):
    got, start = [], threading.Barrier(8)

    def race():
        with Claims(tmp_path) as claims:
            start.wait()
            got.extend(name for name in map(str, range(100)) if claims.take(name))
            start.wait()

    threads = [threading.Thread(target=race) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == sorted(map(str, range(100)))


def test_a_killed_owner_is_seen_at_once_by_its_lock(tmp_path):
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process, Claims(tmp_path) as claims:
        assert process.stdout.readline() == "True\n"
        assert claims.take("song") is None
        process.kill()
        process.wait()
        claim = claims.take("song")
        assert claim is not None and claim.taken_over and claim.mine()
    assert os.listdir(tmp_path) == []


def test_without_locks_a_claim_is_stale_when_nobody_touches_it(tmp_path, no_locks, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(claims_module.time, "monotonic", lambda: now[0])
    claims, other = Claims(tmp_path, stale=100), Claims(tmp_path, stale=100)
    claim = claims.take("song")
    assert other.take("song") is None
    now[0] = 99
    assert other.take("song") is None
    os.utime(claim.path, (12345, 12345))  # its owner lives, whatever its clock says
    now[0] = 150
    assert other.take("song") is None
    now[0] = 251
    taken = other.take("song")
    assert taken is not None and taken.taken_over and taken.mine() and not claim.mine()
    assert claims.take("song") is None
    other.release("song")
    assert os.listdir(tmp_path) == []


def test_of_many_that_see_it_stale_one_takes_it_over(tmp_path, no_locks):
    dead = Claims(tmp_path)
    names = [str(number) for number in range(40)]
    assert all(dead.take(name) for name in names)
    got, start = [], threading.Barrier(6)

    def race():
        claims = Claims(tmp_path, stale=-1.0)
        claims._stale = lambda path: path.name == "0"  # what all of them have found
        start.wait()
        got.extend(name for name in names if claims.take(name))

    threads = [threading.Thread(target=race) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == sorted(names)


def test_records_of_many_writers_are_whole_lines(tmp_path):
    def write(number):
        records = Records(tmp_path, 25_000)
        for index in range(50):
            records.append({"key": f"{number * 50 + index:016x}", "status": "done", "text": "é" * 200})

    threads = [threading.Thread(target=write, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = sorted(record["key"] for record in all_records(tmp_path))
    assert found == [f"{number:016x}" for number in range(300)]
    assert len(list(tmp_path.iterdir())) == 3  # files, for so many entries


def test_a_torn_line_spoils_nothing(tmp_path):
    first, second = Records(tmp_path, 1), Records(tmp_path, 1)
    first.append({"key": "00000000a", "status": "done"})
    second.read()
    (path,) = tmp_path.iterdir()
    with open(path, "ab") as file:
        file.write(b'{"key": "00000000b", "sta')  # its writer was killed
    assert second.refresh("00000000b") is None
    first.append({"key": "00000000c", "status": "failed"})
    assert second.refresh("00000000c") == "failed" and second.refresh("00000000a") == "done"
    assert [record["key"] for record in all_records(tmp_path)] == ["00000000a", "00000000c"]


def test_merging_keeps_the_last_word_of_each(tmp_path):
    records = Records(tmp_path, 30_000)
    for number in range(9):
        records.append({"key": f"{number:016x}", "status": "failed"})
    records.append({"key": f"{4:016x}", "status": "done"})
    assert merge(tmp_path, tmp_path / "all.jsonl") == 9
    lines = [json.loads(line) for line in (tmp_path / "all.jsonl").read_text().splitlines()]
    assert {line["key"]: line["status"] for line in lines}[f"{4:016x}"] == "done" and len(lines) == 9
    only = Records(tmp_path, 30_000)
    only.read({f"{2:016x}"})
    assert only.status == {f"{2:016x}": "failed"}


def test_what_somebody_did_meanwhile_is_not_done_again(tmp_path):
    """The claim is to be had, as its owner let it go; the record says why."""
    separator, request = Separator(KnownGains()), Request(("vocals", "drums"))
    entries = [Entry("one", "1.wav"), Entry("two", "2.wav"), Entry("three", "3.wav")]
    with Sharing(tmp_path, separator, request, 3) as first, Sharing(tmp_path, separator, request, 3) as second:
        first.begin(entries)
        second.begin(entries)
        for entry, status in zip(entries, ("done", "failed")):
            claim = first.take(entry, lambda: True)
            assert second.take(entry, lambda: True) is None
            assert first.settle(entry, claim, {"status": status})
            assert second.take(entry, lambda: True) == status
        lost = second.take(entries[0], lambda: False)  # somebody removed its stems
        second.claims.release("one")
        assert lost is not None and len(list(all_records(tmp_path))) == 2
    with Sharing(tmp_path, separator, request, 3) as later:
        later.begin(entries)
        assert later.take(entries[0], lambda: True) == "done"
        assert not isinstance(later.take(entries[1], lambda: True), str)  # what failed is tried again
    with Sharing(tmp_path, separator, request, 3, overwrite=True) as anew:
        anew.begin(entries)
        assert not isinstance(anew.take(entries[0], lambda: True), str)
    other = Request(("vocals",))
    with Sharing(tmp_path, separator, other, 3) as different:
        different.begin(entries)
        assert not isinstance(different.take(entries[0], lambda: True), str)


@pytest.mark.parametrize("later", [False, True])
def test_who_stood_still_for_long_writes_nothing_down(tmp_path, later):
    """And does not take away what somebody else has by now."""
    separator, request, entry = Separator(KnownGains()), Request(("vocals", "drums")), Entry("one", "1.wav")
    with Sharing(tmp_path, separator, request, 1) as slow, Sharing(tmp_path, separator, request, 1) as fast:
        claim = slow.take(entry, lambda: True)
        fast.claims._stale = lambda path: path == claim.path
        taken = fast.take(entry, lambda: True)
        assert taken.taken_over and fast.claims.take("one") is None
        if later:
            assert fast.settle(entry, taken, {"status": "done"})
            taken = fast.take(entry, lambda: False)
        assert not slow.settle(entry, claim, {"status": "done"}) and taken.mine()
        assert fast.settle(entry, taken, {"status": "done"})
    assert len(list(all_records(tmp_path))) == 1 + later and os.listdir(tmp_path / "claims") == []


def test_the_summary_counts():
    summary = Summary()
    for status in ("done", "done", "failed", "skipped"):
        summary.add({"status": status, "duration": 1800.0 if status == "done" else None})
    summary.seconds = 180.0
    assert str(summary) == (
        "4 recordings: 2 done, 1 failed, 1 skipped (60.0 min of audio in 3.0 min, 20.0 times real time)"
    )
