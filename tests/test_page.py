"""The listening page's folder: what is read, ordered, levelled, scored, flagged, chosen and refused."""

import re

import numpy as np
import pytest
import soundfile
from helpers import SHARED
from page_folders import music_folder, speech_folder, tone, write

from asteroid_bsrnn.cli.main import main
from asteroid_bsrnn.common.errors import UserError
from asteroid_bsrnn.report import build_page
from asteroid_bsrnn.report.page import loudness
from asteroid_bsrnn.report.page.clips import find_clips
from asteroid_bsrnn.report.page.score import add_sdr, load
from asteroid_bsrnn.report.page.select import choose, mean_gain, same_sex_pairs


def speech(tmp_path, **kwargs):
    return {item.clip.name: item for item in map(load, find_clips([speech_folder(tmp_path / "sounds", **kwargs)]))}


def test_estimates_are_put_into_the_references_order(tmp_path):
    item = speech(tmp_path)["clip one"]
    assert item.swapped == ["Bad"]
    for source in ("s1", "s2"):
        assert np.corrcoef(item.estimates["Bad"][source][:, 0], item.references[source][:, 0])[0, 1] > 0.8
    scores = item.scores["Good"]["s1"]
    assert scores["out"] == pytest.approx(-20 * np.log10(0.05), abs=0.1)
    assert scores["in"] == pytest.approx(0, abs=0.1)
    assert scores["gained"] == pytest.approx(scores["out"] - scores["in"])
    assert item.means["Good"]["SI-SNR"][1] == pytest.approx(scores["out"], abs=0.1)
    add_sdr(item)
    before, after, gained = item.means["Good"]["SDR"]
    assert after - before == pytest.approx(gained) and gained > 10


def test_a_reference_in_disguise_is_found(tmp_path):
    items = speech(tmp_path)
    assert [(copy["system"], copy["source"], copy["of"]) for copy in items["clip one"].copies] == [
        ("Copied", "s1", "s1")
    ]
    assert "identical" in items["clip one"].copies[0]["why"]
    assert items["clip two"].copies == []


def test_a_scaled_and_swapped_reference_is_found_too(tmp_path):
    folder = speech_folder(tmp_path / "sounds", names=("one",))
    wav, rate = soundfile.read(folder / "references" / "s2" / "one.wav")
    write(folder / "Good" / "s1" / "one.wav", 0.3 * wav, rate)
    (copy,) = [copy for copy in load(find_clips([folder])[0]).copies if copy["system"] == "Good"]
    assert copy["of"] == "s2" and "SI-SDR" in copy["why"]


@pytest.mark.parametrize("gain", [0.01, 1.0, 30.0])
def test_speech_is_levelled_by_what_it_holds_of_its_reference(gain):
    reference, other = tone(300, 1, 8000), tone(1100, 1, 8000)
    levelled = loudness.match("speech", gain * (reference + 0.1 * other), reference, 8000, 20.0)
    assert (levelled * reference).sum() / (reference**2).sum() == pytest.approx(1)
    poor = loudness.match("speech", gain * (other + 0.01 * reference), reference, 8000, -40.0)
    assert (poor**2).mean() == pytest.approx((reference**2).mean())


def test_music_is_levelled_to_equal_loudness():
    reference = tone(400, 2, 44100, 2)
    for estimate in (0.01 * reference, 3 * tone(3000, 2, 44100, 2)):
        levelled = loudness.match("music", estimate, reference, 44100, 0.0)
        assert loudness.loudness(levelled, 44100) == pytest.approx(loudness.loudness(reference, 44100), abs=1e-6)
    assert not loudness.match("music", 0 * reference, reference, 44100, 0.0).any()


@pytest.mark.parametrize("sample_rate", [44100, 48000])
def test_loudness_is_that_of_the_recommendation(sample_rate):
    """ITU-R BS.1770: a full-scale sine of 997 Hz in one channel has -3.01 LUFS."""
    sine = np.sin(2 * np.pi * 997 * np.arange(4 * sample_rate) / sample_rate)[:, None]
    assert loudness.loudness(sine, sample_rate) == pytest.approx(-3.01, abs=0.02)


def test_page_of_speech(tmp_path):
    index = build_page([speech_folder(tmp_path / "sounds", seconds=0.5)], tmp_path / "page", seed=3)
    html = index.read_text(encoding="utf-8")
    assert not re.search(r"https?:|//[a-z]", html.replace("// ", ""))
    for path in re.findall(r'(?:src=|"audio": )"([^"]+)"', html):
        assert (tmp_path / "page" / path).is_file(), path
    assert "s1/clip one.wav of Copied is the reference of s1" in html and "no score: it is a reference" in html
    assert "random (seed 3)" in html and "Re-ordered to match the references: Bad" in html
    levels = [
        np.sqrt((soundfile.read(path)[0] ** 2).mean())
        for path in sorted((tmp_path / "page" / "audio").glob("clip1*-s1.wav"))
    ]
    assert len(levels) == 4 and max(levels) / min(levels) < 1.2  # they were up to 150 apart
    assert all(np.abs(soundfile.read(path)[0]).max() < 0.99 for path in (tmp_path / "page" / "audio").iterdir())


def test_page_of_music_joins_experiments(tmp_path):
    one = music_folder(tmp_path / "exp" / "one", leak=0.1)
    two = music_folder(tmp_path / "exp" / "two", leak=0.5, sources=("vocals",))
    (one / "run.json").write_text(
        '{"variant": "base", "n_params": 32329056, "commit": "0123456789abcdef", "seed": 4, "corpus": "excerpt"}'
    )
    (item,) = map(load, find_clips([one, two / "examples"]))
    assert list(item.estimates) == ["one", "two"] and list(item.references) == ["vocals", "drums"]
    assert item.notes == ["two has no estimate of drums."]
    assert item.scores["one"]["vocals"]["out"] == pytest.approx(6.0, abs=1.5)  # uSDR sees the lost half
    html = build_page([one, two], tmp_path / "page").read_text(encoding="utf-8")
    assert "32,329,056" in html and "files only" in html and "BS.1770" in html and "uSDR" in html


def test_the_supplements_own_folder_name_of_references(tmp_path):
    assert find_clips([speech_folder(tmp_path / "sounds", references="Ground Truth")])[0].references["s1"].exists()


def test_a_page_is_replaced_but_nothing_else(tmp_path, capsys):
    folder = speech_folder(tmp_path / "sounds", seconds=0.25, names=("one",))
    assert main(["report", "--page", str(folder), "-o", str(tmp_path / "page")]) == 0
    (tmp_path / "page" / "audio" / "old.wav").write_bytes(b"")
    assert main(["report", "--page", str(folder), "-o", str(tmp_path / "page")]) == 0
    assert not (tmp_path / "page" / "audio" / "old.wav").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("words")
    assert main(["report", "--page", str(folder), "-o", str(tmp_path / "mine")]) == 2
    assert (tmp_path / "mine" / "thesis.tex").exists() and "no listening page" in capsys.readouterr().err


def test_what_does_not_fit_is_refused(tmp_path):
    folder = speech_folder(tmp_path / "sounds", names=("one",))
    wav, rate = soundfile.read(folder / "Bad" / "s1" / "one.wav")
    victim = folder / "Bad" / "s1" / "one.wav"

    def refused(message):
        with pytest.raises(UserError, match=message):
            build_page([folder], tmp_path / "page")
        assert not (tmp_path / "page").exists()

    write(victim, wav[:-1], rate)
    refused("7999 samples, but its mixture .* has 8000")
    write(victim, wav, 16000)
    refused("16000 Hz, but its mixture .* has 8000")
    write(victim, np.where(np.arange(len(wav)) == 5, np.nan, wav), rate)
    refused("NaN")
    write(victim, wav[:0], rate)
    refused("is empty")
    victim.write_text("no sound")
    refused("cannot be read as sound")
    victim.unlink()
    refused("Bad has no estimate of one for 1 of 2 sources")


def test_folders_without_clips_are_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no sound examples"):
        find_clips([tmp_path / "empty"])
    with pytest.raises(UserError, match="is not a folder"):
        find_clips([tmp_path / "nowhere"])
    one, two = (music_folder(tmp_path / name) for name in ("one", "two"))
    write(two / "examples" / "Some - Song" / "vocals.wav", tone(900, 1, 44100, 2), 44100)
    with pytest.raises(UserError, match="is not the recording"):
        [load(clip) for clip in find_clips([one, two])]
    with pytest.raises(UserError, match="two systems called one"):
        find_clips([one, one])


def test_clips_are_chosen_by_rule(tmp_path):
    names = [f"clip {i:02d}" for i in range(12)]
    clips = list(speech(tmp_path, names=names, seconds=0.25).values())
    ranked = sorted(clips, key=mean_gain)
    chosen = choose(clips, seed=1)
    again = [item.clip.name for item, _ in choose(clips, seed=1)]
    assert [item.clip.name for item, _ in chosen] == again != [item.clip.name for item, _ in choose(clips, seed=2)]
    reasons = {item.clip.name: reason for item, reason in chosen}
    assert len(reasons) <= 9 and sum("random" in reason for reason in reasons.values()) == 3
    assert "worst" in reasons[ranked[0].clip.name] and "best" in reasons[ranked[-1].clip.name]
    left_out = next(name for name in names if name not in reasons)
    assert dict((item.clip.name, why) for item, why in choose(clips, 1, {left_out}))[left_out] == "speakers of one sex"


def test_pairs_of_one_sex_are_read_from_both_tables(tmp_path):
    (tmp_path / "info.csv").write_text(
        "mixture_ID,speaker_1_ID,speaker_1_sex,speaker_2_ID,speaker_2_sex\na,1,M,2,F\nb,1,F,2,F\n"
    )
    (tmp_path / "all.csv").write_text("mixture_id,sexes\na,M F\nb,M M\nc,FF\nd,\n")
    assert same_sex_pairs(tmp_path / "info.csv") == {"b"}
    assert same_sex_pairs(tmp_path / "all.csv") == {"b", "c"}
    (tmp_path / "none.csv").write_text("x\n1\n")
    with pytest.raises(UserError, match="neither the columns"):
        same_sex_pairs(tmp_path / "none.csv")


@pytest.mark.skipif(
    SHARED is None or not (SHARED / "data" / "libri2mix_samples").is_dir(), reason="needs the sample mixtures"
)
def test_the_authors_own_samples():
    """The uPIT file of one mixture is the reference of the other speaker, byte for byte; A-FRCNN-16 gains most."""
    items = [load(clip) for clip in find_clips([SHARED / "data" / "libri2mix_samples"])]
    assert len(items) == 2 and len(items[0].estimates) == 6
    copies = [(item.clip.name[:4], copy["system"], copy["of"]) for item in items for copy in item.copies]
    assert copies == [("6829", "uPIT", "s2")]
    gains = {name: means["SI-SNR"][2] for name, means in items[0].means.items()}
    published = {
        "A-FRCNN-16": 14.8,
        "Conv-TasNet": 13.6,
        "DPCL": 9.7,
        "DualPathRNN": 12.1,
        "SuDoRM-RF-1.0x": 13.0,
        "uPIT": 8.3,
    }
    assert gains == pytest.approx(published, abs=0.06)
