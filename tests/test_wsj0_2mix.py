"""WSJ0-2mix: lists, levels, names, the 0.9 rule, files and load-time mixing that agree, wv1, and what can be wrong."""

import itertools
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import torch
from helpers import SHARED
from scipy.signal import resample_poly
from shorten import shorten
from speech_corpora import WSJ0_LINES, tone, write, wsj0

from asteroid_bsrnn.audio.sphere import write_sphere
from asteroid_bsrnn.common.errors import AudioError, UserError
from asteroid_bsrnn.data.speech.generate import generate
from asteroid_bsrnn.data.speech.mixtures import GeneratedFiles
from asteroid_bsrnn.data.speech.plan import OnTheFly
from asteroid_bsrnn.data.speech.wsj0_2mix import COUNTS, Line, WSJ0Plan, decode_sphere, read_levels, read_list


@pytest.fixture
def root(tmp_path):
    return wsj0(tmp_path)


def make_plan(root, **changes):
    return WSJ0Plan(root / "lists", root / "wsj0", "tt", **changes)


@pytest.mark.parametrize("mode, sample_rate", itertools.product(("min", "max"), (8000, 16000)))
def test_levels_lengths_and_the_rule_of_nine_tenths(root, mode, sample_rate):
    plan = make_plan(root, mode=mode, sample_rate=sample_rate)
    for index, (one, level, two) in enumerate(WSJ0_LINES):
        wavs = []
        for path, decibel in ((one, float(level)), (two, -float(level))):
            wav = sf.read(root / "wsj0" / f"{path}.wav")[0]
            scaled = wav if sample_rate == 16000 else resample_poly(wav, 1, 2)
            wavs.append(scaled / np.sqrt(np.mean(wav**2)) * 10 ** (decibel / 20))
        length = (min if mode == "min" else max)(map(len, wavs))
        wavs = [np.pad(wav[:length], (0, max(0, length - len(wav)))) for wav in wavs]
        loudest = max(np.abs(wav).max() for wav in [*wavs, sum(wavs)])
        made = plan.signals(index)
        assert list(made) == ["s1", "s2", "mix"] and loudest > 1
        for stream, wav in zip(made, [*wavs, sum(wavs)]):
            np.testing.assert_allclose(made[stream], 0.9 / loudest * wav, atol=1e-12)
        assert max(np.abs(wav).max() for wav in made.values()) == pytest.approx(0.9)
        assert plan.lengths()[0][index] == length


def test_quiet_mixtures_are_not_made_louder_than_nine_tenths_of_themselves(root):
    for path in (root / "lists").glob("activlev_*.txt"):
        path.write_text("".join(f"{line.split()[0]} 100.0\n" for line in path.read_text().splitlines()))
    plan = make_plan(root, sample_rate=16000)
    wav = sf.read(root / "wsj0" / "si_et_05/440/440c0201.wav")[0]
    made = plan.signals(0)["s1"]
    np.testing.assert_allclose(made, 0.9 * wav[: len(made)] / 10 * 10 ** (0.60431 / 20), atol=1e-12)


def test_names_are_those_of_the_original_script():
    assert (
        Line(("si_et_05/445/445c0206", "si_dt_05/22g/22gc0105"), (0.60431, -0.60431)).name
        == "445c0206_0.60431_22gc0105_-0.60431"
    )
    assert Line(("a/b", "c/d"), (0.079969, -0.079969)).name == "b_0.079969_d_-0.079969"
    assert Line(("a/b", "c/d"), (0.450124, -0.450124)).name == "b_0.450124_d_-0.450124"
    assert Line(("a/b", "c/d"), (2.0, -2.0)).name == "b_2_d_-2"


def test_files_and_load_time_mixing_agree_sample_by_sample(root):
    plan = make_plan(root)
    record = generate(plan, root / "out")
    assert record["mixtures"] == 3
    files, quantised = GeneratedFiles(root / "out" / "metadata" / "tt", plan.infos, 8000), OnTheFly(plan, quantise=True)
    for index in range(3):
        for a, b in zip(files.load(index, 0, -1), quantised.load(index, 0, -1)):
            assert np.array_equal(a, b)
        exact = plan.signals(index)["mix"]
        assert np.abs(files.load(index, 0, -1)[1] - exact).max() <= 0.5 / 32768 + 1e-9
    assert files.describe(0)["speakers"] == ["440", "050"]


def test_rounding_is_to_the_nearest_step_halves_away_from_zero(root):
    wav = np.array([0.5, 1.5, -0.5, -1.5, 0.49, 32767.2, 40000, -40000]) / 32768
    assert make_plan(root).pcm16(wav).tolist() == [1, 2, -1, -2, 0, 32767, 32767, -32768]


def test_asteroid_reads_what_is_generated(root):
    from asteroid.data import Wsj0mixDataset

    import asteroid_bsrnn  # noqa: F401, before asteroid, which it repairs

    plan = make_plan(root)
    generate(plan, root / "out")
    theirs = Wsj0mixDataset(str(root / "out" / "metadata" / "tt"), n_src=2, sample_rate=8000, segment=None)
    ours = GeneratedFiles(root / "out" / "metadata" / "tt", plan.infos, 8000)
    for index in range(3):
        mixture, sources = theirs[index]
        assert torch.equal(mixture, torch.from_numpy(ours.load(index, 0, -1)[1]))
        assert torch.equal(sources, torch.from_numpy(ours.load(index, 0, -1)[0]))


def as_pcm(path, wav):
    write_sphere(path.with_suffix(".wv1"), np.round(wav * 32768).astype(np.int16))


def as_shorten(path, wav):
    wav = np.round(wav * 32768).astype(np.int16)
    write_sphere(path.with_suffix(".wv1"), wav, coding="pcm,embedded-shorten-v2.00", data=shorten(wav))


needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg decodes shorten")


@pytest.mark.parametrize("kind", [as_pcm, pytest.param(as_shorten, marks=needs_ffmpeg)])
def test_wv1_give_the_mixtures_of_wav_directly_and_decoded(tmp_path, kind):
    expected = make_plan(wsj0(tmp_path / "wav"))
    root = wsj0(tmp_path / "wv1", write_utterance=kind)
    assert decode_sphere(root, tmp_path / "decoded") == (4, [])
    stamps = [path.stat().st_mtime_ns for path in sorted((tmp_path / "decoded").rglob("*.wav"))]
    assert decode_sphere(root, tmp_path / "decoded")[0] == 4
    assert (
        stamps == [path.stat().st_mtime_ns for path in sorted((tmp_path / "decoded").rglob("*.wav"))]
        and len(stamps) == 4
    )
    for plan in (make_plan(root), WSJ0Plan(root / "lists", tmp_path / "decoded", "tt")):
        assert plan.lengths()[0] == expected.lengths()[0]
        for index in range(3):
            assert np.array_equal(plan.signals(index)["mix"], expected.signals(index)["mix"])


def test_damaged_wv1_stop_the_decoding_or_are_listed(tmp_path):
    root = wsj0(tmp_path, write_utterance=as_pcm)
    bad = root / "wsj0" / "si_dt_05" / "050" / "050a0502.wv1"
    bad.write_bytes(bad.read_bytes()[:-100])
    with pytest.raises(AudioError, match="050a0502.wv1: is damaged: .* samples were decoded where its header says"):
        decode_sphere(root, tmp_path / "decoded")
    count, problems = decode_sphere(root, tmp_path / "decoded", allow_missing=True)
    assert count == 4 and len(problems) == 1 and "050a0502" in problems[0]
    plan = WSJ0Plan(root / "lists", tmp_path / "decoded", "tt")
    with pytest.raises(UserError, match="050a0502.wav: is missing.*--allow_missing"):
        plan.lengths()
    assert generate(plan, tmp_path / "out", allow_missing=True)["left_out"] == 1


@pytest.mark.parametrize("layout", ["", "wsj0", "11-13.1/wsj0"])
def test_where_the_folders_may_lie(tmp_path, layout):
    root = wsj0(tmp_path)
    moved = tmp_path / "moved" / layout
    moved.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(root / "wsj0", moved)
    assert len(WSJ0Plan(root / "lists", tmp_path / "moved", "tt").lengths()[0]) == 3


def test_bad_lists_and_levels(root):
    path = root / "lists" / "mix_2_spk_tt.txt"
    good = path.read_text()

    def refused(said, text):
        path.write_text(text)
        with pytest.raises(UserError, match=said):
            make_plan(root)

    refused("mix_2_spk_tt.txt, line 2: expected 'path level path level'", good.replace(" 2.4999", "", 1))
    refused("line 1: expected", good.replace("0.60431", "loud", 1))
    refused("gives two mixtures the same name", good + good.splitlines()[0])
    refused("no active level for 999c0101", good.replace("440c0201", "999c0101"))
    path.write_text(good)
    with pytest.raises(UserError, match="has 3 mixtures where 3000 were expected: it is cut or another version"):
        make_plan(root, n_expected=COUNTS["tt"])
    levels = root / "lists" / "activlev_si_et_05.txt"
    levels.write_text("440c0201 zero\n")
    with pytest.raises(UserError, match="activlev_si_et_05.txt, line 1: expected 'utterance level'"):
        make_plan(root)
    levels.write_text("440c0201 0.0\n")
    with pytest.raises(UserError, match="expected 'utterance level'"):
        make_plan(root)
    for changes, said in (({"mode": "mean"}, "unknown mode"), ({"sample_rate": 44100}, "unknown sample_rate")):
        with pytest.raises(UserError, match=said):
            make_plan(root, **changes)
    (root / "lists" / "copy").mkdir()
    shutil.copy(path, root / "lists" / "copy")
    refused("holds 2 files mix_2_spk_tt.txt", good)


def test_missing_folders(tmp_path, root):
    with pytest.raises(UserError, match="no activlev"):
        read_levels(tmp_path / "wsj0")
    with pytest.raises(UserError, match="no mix_2_spk_cv.txt; the lists are in"):
        read_list(root / "lists", "cv")
    with pytest.raises(UserError, match="there is no WSJ0 folder"):
        WSJ0Plan(root / "lists", root / "none", "tt")


def test_a_list_line_with_a_missing_file(root):
    (root / "wsj0" / "si_dt_05" / "050" / "050a0502.wav").unlink()
    with pytest.raises(UserError, match="050a0502.wav: is missing"):
        generate(make_plan(root), root / "out")


@pytest.mark.skipif(SHARED is None, reason="needs the public lists")
def test_real_lists_and_levels(tmp_path):
    """Names agree with those of WHAM's files, which LibriMix' metadata mentions; levels exist for every utterance."""
    folder = SHARED / "data" / "metadata"
    lines = read_list(folder, "tt", COUNTS["tt"])
    names, levels = {f"{line.name}.wav" for line in lines}, read_levels(folder)
    with open(folder / "libri2mix_test-clean.csv") as file:
        mentioned = {row.split(",")[5].removeprefix("tt/") for row in file.read().splitlines()[1:]}
    assert len(mentioned) > 2000 and mentioned <= names and len(names) == 3000
    assert all(Path(path).name in levels for line in lines for path in line.paths)
    assert all(line.levels[0] == -line.levels[1] for line in lines)
    for number, path in enumerate({path for line in lines[:2] for path in line.paths}):
        write(tmp_path / "wsj0" / f"{path}.wav", tone(number, 0.5 + 0.1 * number))
    record = generate(
        WSJ0Plan(folder, tmp_path / "wsj0", "tt", n_expected=3000), tmp_path / "out", limit=2, allow_missing=True
    )
    assert record["mixtures"] == 2
    assert {path.stem for path in (tmp_path / "out" / "tt" / "mix").iterdir()} == {line.name for line in lines[:2]}
