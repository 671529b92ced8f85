"""Scores of stems on disk: same numbers as the experiment's, resumed, everything that does not fit named."""

import json
import math
import re

import numpy as np
import pytest
import soundfile as sf
import torch
from songs import RATE, SOURCES, Songs, evaluate, leaky, read_rows, write_stems

from asteroid_bsrnn.cli.main import main
from asteroid_bsrnn.common.errors import UserError
from asteroid_bsrnn.evaluation import evaluate_folder
from asteroid_bsrnn.metrics import TrackScores


@pytest.fixture
def disk(tmp_path):
    """(estimates, references) of three songs on disk."""
    songs = Songs()
    return write_stems(tmp_path / "est", songs, leaky(songs)), write_stems(tmp_path / "ref", songs)


@pytest.mark.parametrize("layout", ["", "test"])
@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_folder_scores_are_those_of_the_experiment(tmp_path, layout, suffix):
    songs = Songs()
    separate = leaky(songs)
    final = evaluate(songs, tmp_path / "exp", separate)
    est = write_stems(tmp_path / "est", songs, separate, suffix=suffix, folder=layout)
    ref = write_stems(tmp_path / "ref", songs, folder=layout)
    result = evaluate_folder(est, ref, tmp_path / "out", progress=False)
    assert result["final"] == pytest.approx(final, abs=1e-6 if suffix == "wav" else 1e-3)
    assert result["missing"] == result["extra"] == [] and result["n_tracks"] == 3
    rows = read_rows(tmp_path / "out" / "all_metrics.csv")
    assert rows[0]["seconds"] == "nan" and {row["source"] for row in rows} == set(SOURCES)
    assert len(list((tmp_path / "out" / "museval" / "test").glob("*.json"))) == 3


def test_long_tracks_are_read_in_blocks(tmp_path, monkeypatch):
    """12 s in blocks of 5 s, the last one broken; the largest piece in memory is one block."""
    wav = torch.randn(2, 12 * RATE + 19) * 0.1
    for folder, level in (("est", 0.9), ("ref", 1.0)):
        (tmp_path / folder / "long").mkdir(parents=True)
        sf.write(tmp_path / folder / "long" / "vocals.wav", (level * wav).numpy().T, RATE, subtype="FLOAT")
    lengths, original = [], TrackScores.update

    def update(self, est_targets, targets, mixture=None):
        lengths.append(targets.shape[-1])
        original(self, est_targets, targets, mixture)

    monkeypatch.setattr(TrackScores, "update", update)
    result = evaluate_folder(tmp_path / "est", tmp_path / "ref", tmp_path / "out", progress=False)
    assert lengths == [5 * RATE, 5 * RATE, 2 * RATE + 19]
    assert result["final"]["usdr"] == pytest.approx(20, abs=1e-3) and result["final"]["csdr"] == pytest.approx(
        20, abs=1e-3
    )
    assert math.isnan(result["final"]["input_usdr_vocals"])  # no mixture.wav


def test_folder_is_resumed_until_a_file_changes(disk, tmp_path):
    est, ref = disk
    before = evaluate_folder(est, ref, tmp_path / "out", progress=False)
    records = sorted((tmp_path / "out" / "tracks").glob("*.json"))
    times = [path.stat().st_mtime_ns for path in records]
    assert evaluate_folder(est, ref, tmp_path / "out", progress=False)["final"] == before["final"]
    assert [path.stat().st_mtime_ns for path in records] == times
    silence = np.full((5 * RATE, 2), 0.01)
    sf.write(est / Songs().names[0] / "bass.wav", silence, RATE, subtype="FLOAT")
    after = evaluate_folder(est, ref, tmp_path / "out", progress=False)
    assert after["final"]["usdr_bass"] != before["final"]["usdr_bass"]
    changed = [path.stat().st_mtime_ns != time for path, time in zip(records, times)]
    assert changed == [True, False, False] and "1 records" in after["notes"][0]


def test_missing_and_extra_tracks_are_listed_and_the_command_says_so(disk, tmp_path, capsys):
    est, ref = disk
    names = Songs().names
    (est / names[0]).rename(est / "Unknown - Song")
    (est / names[1] / "drums.wav").unlink()
    arguments = ["evaluate", str(est), "--references", str(ref), "-o", str(tmp_path / "out"), "-q"]
    assert main(arguments) == 1
    printed = capsys.readouterr()
    assert f"missing: {names[0]}" in printed.err and "extra, not in the references: Unknown - Song" in printed.err
    assert f"not scored: {names[1]}: no drums among the estimates" in printed.err
    info = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert (
        info["missing"] == [names[0]] and info["extra"] == ["Unknown - Song"] and list(info["problems"]) == [names[1]]
    )
    assert info["n_tracks"] == 1
    (est / "Unknown - Song").rename(est / names[0])
    assert main([*arguments, "--sources", "vocals", "bass"]) == 0  # drums are not asked for
    printed = capsys.readouterr()
    assert printed.out.splitlines()[1].split()[0] == "vocals" and "drums" not in printed.out
    assert not [line for line in printed.err.splitlines() if line.startswith(("missing", "not scored"))]


@pytest.mark.parametrize(
    "channels, rate, length, words",
    [
        (1, RATE, 5 * RATE, "has 1 channels where"),
        (2, 2 * RATE, 5 * RATE, f"has {2 * RATE} Hz where"),
        (2, RATE, 5 * RATE - 1, f"has {5 * RATE - 1} samples where .* has {5 * RATE}"),
        (2, RATE, 5 * RATE + 1, f"has {5 * RATE + 1} samples where"),
    ],
)
def test_estimates_that_do_not_fit_are_not_compared(disk, tmp_path, channels, rate, length, words):
    est, ref = disk
    name = Songs().names[0]
    sf.write(est / name / "other.wav", np.ones((length, channels)), rate, subtype="FLOAT")
    result = evaluate_folder(est, ref, tmp_path / "out", progress=False)
    assert result["n_tracks"] == 2 and list(result["problems"]) == [name]
    assert re.search("other.wav.*" + words, result["problems"][name])


@pytest.mark.parametrize("content", [b"", b"this is text\n" * 50, None])
def test_broken_files_are_named(disk, tmp_path, content):
    est, ref = disk
    path = est / Songs().names[0] / "vocals.wav"
    if content is None:
        wav = np.zeros((5 * RATE, 2))
        wav[77] = math.nan
        sf.write(path, wav, RATE, subtype="FLOAT")
    else:
        path.write_bytes(content)
    result = evaluate_folder(est, ref, tmp_path / "out", progress=False)
    assert str(path) in result["problems"][Songs().names[0]] and result["n_tracks"] == 2


def test_folder_refuses_what_is_no_comparison(disk, tmp_path):
    est, ref = disk
    out = tmp_path / "out"
    (tmp_path / "empty").mkdir()
    for arguments, words in [
        ((tmp_path / "nowhere", ref), "nowhere is not a folder"),
        ((est, tmp_path / "empty"), "holds no tracks"),
        ((tmp_path, ref), "no track of .* is in"),
    ]:
        with pytest.raises(UserError, match=words):
            evaluate_folder(*arguments, out, progress=False)
    for path in est.glob("*/bass.wav"):
        path.unlink()
    with pytest.raises(UserError, match="no estimate has 'bass'; score a subset with --sources"):
        evaluate_folder(est, ref, out, progress=False)
    with pytest.raises(UserError, match="no reference has 'guitar'; the references have bass, drums, other, vocals"):
        evaluate_folder(est, ref, out, sources=["guitar"], progress=False)
    assert not out.exists()
    (out / "tracks").mkdir(parents=True)
    (out / "tracks" / f"{Songs().names[0]}.json").write_text('{"targets": []}')
    result = evaluate_folder(est, ref, out, sources=["vocals"], progress=False)
    assert "is no record of an evaluation" in result["problems"][Songs().names[0]]


def test_command_refuses_options_of_the_other_kind(disk, capsys):
    est, ref = disk
    assert main(["evaluate", str(est), "--references", str(ref), "--mixtures", str(ref)]) == 2
    assert "--mixtures has no meaning without --speech" in capsys.readouterr().err
    assert main(["evaluate", str(est), "--references", str(ref), "--speech", "--sources", "bass"]) == 2
    assert main(["evaluate", str(est), "--references", "nowhere"]) == 2
    assert "nowhere is not a folder" in capsys.readouterr().err
