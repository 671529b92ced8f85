"""Lists, names, trees, plans and shards of many recordings, without separating any."""

import json
import random
from concurrent.futures import ThreadPoolExecutor

import pytest
from separation_models import noise, write

from asteroid_bsrnn.common.errors import UserError
from asteroid_bsrnn.separation.many.entries import Entry, Line, check_pattern, out_path, read_list
from asteroid_bsrnn.separation.many.identities import named
from asteroid_bsrnn.separation.many.work_plan import durations, parse_shard, seconds_of, shard, slurm_shard


def ids(*lines, keep_tree=False):
    return [
        entry.id
        for entry in named([Line(*line) if isinstance(line, tuple) else Line(line) for line in lines], keep_tree)[0]
    ]


def test_a_list_of_paths_and_one_of_json_say_the_same(tmp_path):
    plain, objects = tmp_path / "plain.txt", tmp_path / "objects.jsonl"
    plain.write_text("/m/a b.wav\n\n#1 hit.mp3\r\n/m/a b.wav\n", encoding="utf-8")
    objects.write_text('{"path": "/m/a b.wav", "speaker": 3}\n{"audio_filepath": "#1 hit.mp3"}', encoding="utf-8")
    assert read_list(plain) == read_list(objects) == [Line("/m/a b.wav"), Line("#1 hit.mp3")]
    assert [line.number for line in read_list(plain)] == [1, 3]


def test_ids_offsets_and_durations_of_a_list_are_taken(tmp_path):
    file = tmp_path / "list.jsonl"
    file.write_text(
        '{"path": "x.wav", "id": "de/7", "offset": 1.5, "duration": 2}\n{"path": "x.wav", "id": 8, "offset": null}'
    )
    assert named(read_list(file))[0] == [Entry("de/7", "x.wav", 1.5, 2.0), Entry("8", "x.wav")]


def test_names_that_are_no_utf_8_come_back(tmp_path):
    file = tmp_path / "list.txt"
    file.write_bytes(b"/m/caf\xe9.wav\n")
    (line,) = read_list(file)
    assert line.path.encode("utf-8", "surrogateescape") == b"/m/caf\xe9.wav" and len(Entry("x", line.path).key()) == 16


@pytest.mark.parametrize(
    "content, words",
    [
        ("", "names no recordings"),
        ("a.wav\n{broken", "line 2 is not valid JSON"),
        ('{"id": "x"}', "line 1 names no recording"),
        ('{"path": "a", "offset": -1}', "line 1: offset is at least 0"),
        ('{"path": "a", "duration": 0}', "duration more than 0"),
        ('{"path": "a", "duration": "3"}', "duration more than 0"),
        ('{"path": "a", "id": "../b"}', "cannot name a folder"),
        ('{"path": "a", "id": "/b"}', "cannot name a folder"),
        ('{"path": "a", "id": 1.5}', "neither a text nor a whole number"),
    ],
)
def test_a_line_that_cannot_be_used_is_named(tmp_path, content, words):
    file = tmp_path / "list.txt"
    file.write_text(content)
    with pytest.raises(UserError, match=words):
        read_list(file)
    with pytest.raises(UserError, match="cannot be read"):
        read_list(tmp_path / "none.txt")


def test_flat_names_grow_by_folders_only_where_they_must():
    assert ids("/m/a/01.wav", "/m/b/02.wav") == ["01", "02"]
    assert ids("/m/a/01.wav", "/m/b/01.wav", "/m/b/02.wav") == ["a/01", "b/01", "02"]
    assert ids("/m/a/cd1/01.wav", "/m/b/cd1/01.wav") == ["a/cd1/01", "b/cd1/01"]
    assert ids("/m/01.wav", "/m/a/01.wav") == ["01", "a/01"]
    assert ids("/m/x.wav", "/m/x.flac") == ["x.wav", "x.flac"]
    assert ids("/m/a/x.wav", "/m/b/x.wav", "/m/b/x.flac") == ["a/x", "b/x.wav", "b/x.flac"]
    assert ids(("x.wav",), ("x.wav", 2.5), ("x.wav", 2.5, 1.0)) == ["x", "x@2.5", "x@2.5+1"]
    assert ids("s3://b/a/x.wav", "s3://b/c/x.wav") == ["a/x", "c/x"]


def test_a_tree_begins_below_the_folder_that_all_share():
    assert ids("/m/a/x/01.wav", "/m/a/y/01.wav", "/m/a/02.wav", keep_tree=True) == ["x/01", "y/01", "02"]
    assert ids("/m/a/x/01.wav", keep_tree=True) == ["01"]
    assert ids("/m/a/1.wav", "/m/ab/1.wav", keep_tree=True) == ["a/1", "ab/1"]
    assert ids("/m/a/1.wav", "/m/a/1.flac", keep_tree=True) == ["1.wav", "1.flac"]


def test_what_nothing_tells_apart_is_refused():
    with pytest.raises(UserError, match=r"a.wav \(line 1\) and b.wav \(line 2\) would both go to 'same'"):
        named([Line("a.wav", id="same", number=1), Line("b.wav", id="same", number=2)])
    with pytest.raises(UserError, match="would both go to 'b/x'"):
        named([Line("q.wav", id="b/x"), Line("/m/a/x.wav"), Line("/m/b/x.wav")])


def test_patterns_of_names():
    assert str(out_path("out", "a/x", "drums", "flac")) == "out/a/x/drums.flac"
    assert str(out_path("out", "a/x", "drums", "wav", check_pattern("{source}/{id}"))) == "out/drums/a/x.wav"
    for wrong in ("{id}", "{source}.wav", "../{id}/{source}", "/{id}/{source}", "{id}/{source}/{rate}"):
        with pytest.raises(UserError, match="--out-pattern"):
            check_pattern(wrong)


@pytest.mark.parametrize("count", [1, 3, 7, 200])
def test_shards_are_disjoint_complete_and_balanced(count):
    draw = random.Random(0)
    plan = [draw.choice([3.0, 5.0, draw.uniform(1, 600)]) for _ in range(1000)]
    shards = [shard(plan, index, count) for index in range(1, count + 1)]
    assert sorted(sum(shards, [])) == list(range(1000))
    loads = [sum(plan[entry] for entry in each) for each in shards]
    assert max(loads) - min(loads) <= max(plan) + 1e-6
    assert shards == [shard(list(plan), index, count) for index in range(1, count + 1)]


def test_more_shards_than_recordings():
    assert [shard([1.0, 2.0], index, 4) for index in range(1, 5)] == [[1], [0], [], []]


@pytest.mark.parametrize("wrong", ["0/3", "4/3", "3", "a/b", "-1/3", "1/0", "1/3/4", "1.5/3", ""])
def test_shards_count_from_1(wrong):
    assert parse_shard("3/200") == (3, 200) and parse_shard("1/1") == (1, 1)
    with pytest.raises(UserError, match="such as 3/200"):
        parse_shard(wrong)


def test_the_shard_of_a_slurm_array():
    def array(number, lowest, count, **more):
        values = {"ID": number, "MIN": lowest, "COUNT": count, **more}
        return slurm_shard({f"SLURM_ARRAY_TASK_{name}": str(value) for name, value in values.items()})

    assert array(3, 1, 200) == (3, 200) and array(0, 0, 5) == (1, 5) and array(104, 100, 5) == (5, 5)
    assert array(9, 5, 3, STEP=2) == (3, 3)
    assert slurm_shard({}) is None and slurm_shard({"SLURM_ARRAY_TASK_ID": "3"}) is None
    with pytest.raises(UserError, match="give --shard"):
        array(9, 1, 3)


def test_durations_are_probed_once_and_kept(tmp_path):
    """Many tasks that begin together: one of them opens the files; given durations are never looked up."""
    entries = [Entry(f"{index}", write(tmp_path / f"{index}.wav", noise(4410 * (index + 1)))) for index in range(5)]
    entries += [
        Entry("given", "/nowhere/x.wav", 0.0, 7.5),
        Entry("gone", "/nowhere/y.wav"),
        Entry("part", entries[4].path, 0.2),
    ]
    asked = []

    def find(entry):
        asked.append(entry.id)
        return seconds_of(entry)

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: durations(entries, tmp_path / "work", find), range(4)))
    assert sorted(asked) == sorted(entry.id for entry in entries if entry.id != "given")
    known = [0.1, 0.2, 0.3, 0.4, 0.5, 7.5, 0.3]
    assert found[0] == found[3] == pytest.approx([*known[:6], sum(known) / 7, 0.3], abs=1e-3)
    (plan,) = (tmp_path / "work").glob("plan-*.jsonl")
    assert json.loads(plan.read_text().splitlines()[5]) == {"id": "given", "seconds": 7.5}
    durations(entries[:3], tmp_path / "work")  # another list: a plan of its own
    assert len(list((tmp_path / "work").glob("plan-*.jsonl"))) == 2
    plan.write_text(plan.read_text()[:20])
    with pytest.raises(UserError, match="remove it"):
        durations(entries, tmp_path / "work")
