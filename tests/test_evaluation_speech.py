"""Speech evaluation of models and of folders in the supplement's layout."""

import csv
import json
import math
import shutil

import numpy as np
import pytest
import soundfile as sf
import torch
from asteroid.metrics import get_metrics
from helpers import SHARED

from asteroid_bsrnn.cli.main import main
from asteroid_bsrnn.common.errors import UserError
from asteroid_bsrnn.evaluation import evaluate_speech, evaluate_speech_folder

RATE = 8000
SCORES = ["si_sdr", "si_sdr_imp", "sdr", "sdr_imp"]


class Utterances:
    """Three mixtures of two coloured noises, the first source 6 dB above the second."""

    def __init__(self):
        self.names = ["11-1-1_22-2-2", "11-1-2_33-3-3", "22-2-1_33-3-1"]
        self.reads = []

    def __getitem__(self, index):
        self.reads.append(index)
        noise = torch.randn(2, 2400 + 7 * index, generator=torch.Generator().manual_seed(index))
        sources = (noise + noise.roll(1, -1) * torch.tensor([[0.9], [-0.9]])) * torch.tensor([[0.2], [0.1]])
        sources = sources / sources.square().mean(-1, keepdim=True).sqrt() * torch.tensor([[0.2], [0.1]])
        return sources.sum(0), sources

    def describe(self, index):
        return {"speakers": "11 22", "sexes": "F M"}


class Separator(torch.nn.Module):
    """Low and high half of the spectrum: good on these sources; the louder, low one comes last. Counts its calls."""

    sample_rate = RATE

    def __init__(self):
        super().__init__()
        self.level, self.calls = torch.nn.Parameter(torch.tensor(3.0)), 0

    def forward(self, mix):
        assert not self.training and not torch.is_grad_enabled()
        self.calls += 1
        return self.level * torch.stack([mix - mix.roll(1, -1), mix + mix.roll(1, -1)], 1)


def evaluate(data, folder, model=None, **changes):
    options = {"corpus": "noise", "model_id": "m1", "progress": False, "n_examples": 1, **changes}
    return evaluate_speech(model or Separator(), data, folder, **options)


def read_rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def write_system(folder, signals, names, rate=RATE):
    for name, wavs in zip(names, signals):
        for index, wav in enumerate(wavs):
            path = folder / f"s{index + 1}" / f"{name}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            sf.write(path, np.asarray(wav), rate, subtype="FLOAT")


@pytest.fixture
def page(tmp_path):
    """A folder in the supplement's layout: mix, references, and two systems, one in the other order."""
    data, root = Utterances(), tmp_path / "page"
    sources = [data[i][1] for i in range(3)]
    estimates = [wav + 0.2 * wav.flip(0) + 0.01 for wav in sources]
    (root / "mix").mkdir(parents=True)
    for name, wav in zip(data.names, sources):
        sf.write(root / "mix" / f"{name}.wav", wav.sum(0).numpy(), RATE, subtype="FLOAT")
    write_system(root / "references", sources, data.names)
    write_system(root / "good", estimates, data.names)
    write_system(root / "swapped", [5 * wav.flip(0) for wav in estimates], data.names)
    return root


def test_model_scores_are_asteroids_and_all_files_are_there(tmp_path):
    data, model = Utterances(), Separator().train()
    final = evaluate(data, tmp_path, model)
    rows = read_rows(tmp_path / "all_metrics.csv")
    assert list(rows[0]) == (
        "mixture_id,n_src,speakers,sexes,level_difference_db,input_si_sdr,si_sdr,si_sdr_imp,input_sdr,sdr,sdr_imp,"
        "permutation,seconds,rtf"
    ).split(",")
    for index, row in enumerate(rows):
        mix, sources = data[index]
        estimates = _separate(model, mix).flip(0)
        theirs = get_metrics(mix.numpy()[None], sources.numpy(), estimates.numpy(), RATE, ["si_sdr", "sdr"])
        for name, value in theirs.items():
            assert float(row[name]) == pytest.approx(value, abs=1e-4), name
        assert float(row["si_sdr_imp"]) == pytest.approx(theirs["si_sdr"] - theirs["input_si_sdr"], abs=1e-4)
        assert (row["mixture_id"], row["permutation"], row["n_src"]) == (data.names[index], "1 0", "2")
        assert (row["speakers"], row["sexes"]) == ("11 22", "F M") and float(row["rtf"]) > 0
        assert float(row["level_difference_db"]) == pytest.approx(20 * math.log10(2), abs=1e-4)
    for name in SCORES:
        assert final[name] == pytest.approx(np.mean([float(row[name]) for row in rows]))
    assert final == json.loads((tmp_path / "final_metrics.json").read_text())
    info = json.loads((tmp_path / "evaluation.json").read_text())
    assert (info["n_tracks"], info["system"], info["missing"], info["undefined"]) == (3, "Separator", [], [])


def _separate(model, mix):
    with torch.no_grad():
        return model.eval()(mix[None])[0]


def test_examples_are_the_supplements_layout_in_the_order_of_the_references(tmp_path):
    data, model = Utterances(), Separator()
    evaluate(data, tmp_path, model, n_examples=2, system="A-FRCNN-16")
    examples = tmp_path / "examples"
    assert sorted(path.name for path in examples.iterdir()) == ["A-FRCNN-16", "mix", "references"]
    kept = sorted(path.stem for path in (examples / "mix").iterdir())
    assert len(kept) == 2
    for name in kept:
        mix, sources = data[data.names.index(name)]
        for index in range(2):
            reference = sf.read(examples / "references" / f"s{index + 1}" / f"{name}.wav", dtype="float32")[0]
            assert np.array_equal(reference, sources[index].numpy())
            estimate = sf.read(examples / "A-FRCNN-16" / f"s{index + 1}" / f"{name}.wav", dtype="float32")[0]
            np.testing.assert_allclose(estimate, _separate(model, mix)[1 - index].numpy(), atol=1e-6)


def test_resume_scores_only_what_is_left_and_redoes_another_model(tmp_path):
    data, model = Utterances(), Separator()
    first = evaluate(data, tmp_path, model, n_examples=0)
    (tmp_path / "utterances" / f"{data.names[1]}.json").unlink()
    data.reads.clear()
    assert evaluate(data, tmp_path, model, n_examples=0) == first and data.reads == [1]
    data.reads.clear()
    with torch.no_grad():
        model.level.mul_(-1)
    evaluate(data, tmp_path, model, n_examples=0, model_id="m2", jobs=2)
    assert sorted(data.reads) == [0, 1, 2] and model.calls == 3 + 1 + 3


def test_silent_target_is_listed_and_copied_reference_flagged(tmp_path):
    class Odd(Utterances):
        def __getitem__(self, index):
            mix, sources = super().__getitem__(index)
            if index == 1:
                sources[1] = 0
            return mix, sources

    class Copies(Separator):
        def forward(self, mix):
            sources = next(s for m, s in (Utterances()[i] for i in range(3)) if m.shape == mix[0].shape)
            return torch.stack([-2 * sources[1], super().forward(mix)[0, 1]])[None]

    data = Odd()
    final = evaluate(data, tmp_path, Copies())
    info = json.loads((tmp_path / "evaluation.json").read_text())
    assert info["undefined"] == [data.names[1]] and data.names[1] in info["notes"][0]
    assert [text.split(": ")[1] for text in info["warnings"]] == ["estimate 1 is reference 2 (SI-SDR over 60 dB)"] * 2
    rows = read_rows(tmp_path / "all_metrics.csv")
    assert rows[1]["si_sdr"] == rows[1]["sdr"] == "nan"
    assert final["si_sdr"] == pytest.approx(np.mean([float(rows[i]["si_sdr"]) for i in (0, 2)]))


def test_model_with_other_sources_or_length_is_refused(tmp_path):
    class Three(Separator):
        def forward(self, mix):
            return mix.expand(3, -1)[None]

    class Short(Separator):
        def forward(self, mix):
            return super().forward(mix)[..., :-1]

    data = Utterances()
    for model, words in ((Three(), "differ in n_src: 3 against 2"), (Short(), "differ in time")):
        with pytest.raises(ValueError, match=f"{data.names[0]} cannot be scored: .*{words}"):
            evaluate(data, tmp_path, model, jobs=1)


def test_folder_of_systems(page, tmp_path, capsys):
    out = tmp_path / "out"
    assert (
        main(["evaluate", str(page), "--references", str(page / "references"), "--speech", "-o", str(out), "-q"]) == 0
    )
    rows = {row["system"]: row for row in read_rows(out / "summary.csv")}
    assert sorted(rows) == ["good", "swapped"]  # neither mix nor references
    for name in SCORES:
        assert float(rows["good"][name]) == pytest.approx(float(rows["swapped"][name]), abs=1e-4), name
    assert float(rows["good"]["si_sdr_imp"]) > 8
    assert {row["permutation"] for row in read_rows(out / "good" / "all_metrics.csv")} == {"0 1"}
    assert {row["permutation"] for row in read_rows(out / "swapped" / "all_metrics.csv")} == {"1 0"}
    assert "good" in capsys.readouterr().out
    alone = evaluate_speech_folder(page / "good", page / "references", tmp_path / "alone", progress=False)
    assert list(alone) == ["good"] and (tmp_path / "alone" / "all_metrics.csv").exists()
    assert alone["good"]["final"]["si_sdr"] == pytest.approx(float(rows["good"]["si_sdr"]))


def test_folder_resumes_until_a_file_changes(page, tmp_path):
    arguments = (page / "good", page / "references", tmp_path)
    before = evaluate_speech_folder(*arguments, progress=False)["good"]
    records = sorted((tmp_path / "utterances").iterdir())
    times = [path.stat().st_mtime_ns for path in records]
    name = Utterances().names[0]
    sf.write(page / "good" / "s1" / f"{name}.wav", Utterances()[0][0].numpy(), RATE, subtype="FLOAT")
    after = evaluate_speech_folder(*arguments, progress=False)["good"]
    assert after["final"]["si_sdr"] < before["final"]["si_sdr"]
    assert [path.stat().st_mtime_ns != time for path, time in zip(records, times)] == [True, False, False]


def test_what_is_missing_extra_or_broken_is_listed(page, tmp_path, capsys):
    names = Utterances().names
    for speaker in ("s1", "s2"):
        (page / "good" / speaker / f"{names[0]}.wav").unlink()
        shutil.copy(page / "good" / speaker / f"{names[1]}.wav", page / "good" / speaker / "new.wav")
    (page / "good" / "s2" / f"{names[1]}.wav").unlink()
    code = main(
        ["evaluate", str(page), "--references", str(page / "references"), "--speech", "-o", str(tmp_path / "o"), "-q"]
    )
    errors = capsys.readouterr().err
    assert code == 1 and f"good: missing: {names[0]}" in errors and "good: extra, not in the references: new" in errors
    assert f"good: not scored: {names[1]}: {names[1]}: 1 estimates for 2 references" in errors
    info = json.loads((tmp_path / "o" / "good" / "evaluation.json").read_text())
    assert info["n_tracks"] == 1 and info["missing"] == [names[0]] and info["extra"] == ["new"]


def test_rates_and_channels_that_differ_are_not_compared(page, tmp_path):
    names, mix = Utterances().names, Utterances()[0][0].numpy()
    sf.write(page / "good" / "s1" / f"{names[0]}.wav", mix, 2 * RATE, subtype="FLOAT")
    sf.write(page / "good" / "s1" / f"{names[1]}.wav", np.stack([mix, mix], 1), RATE, subtype="FLOAT")
    problems = evaluate_speech_folder(page / "good", page / "references", tmp_path, progress=False)["good"]["problems"]
    assert sorted(problems) == names[:2]
    assert "has 16000 Hz where" in problems[names[0]] and "has 2 channels where" in problems[names[1]]


def test_folders_that_cannot_be_compared_are_refused(page, tmp_path):
    def attempt(est, references, **options):
        return evaluate_speech_folder(est, references, tmp_path / "out", progress=False, **options)

    with pytest.raises(UserError, match="must have folders s1, s2"):
        attempt(page, page / "mix")
    with pytest.raises(UserError, match="holds no separated speech"):
        attempt(page / "mix", page / "references")
    shutil.move(page / "mix", tmp_path / "mixtures")
    with pytest.raises(UserError, match="name it with --mixtures"):
        attempt(page, page / "references")
    assert set(attempt(page, page / "references", mixtures_dir=tmp_path / "mixtures")) == {"good", "swapped"}
    (tmp_path / "mixtures" / f"{Utterances().names[0]}.wav").unlink()
    with pytest.raises(UserError, match=f"no mixture of '{Utterances().names[0]}'"):
        attempt(page, page / "references", mixtures_dir=tmp_path / "mixtures")


@pytest.mark.skipif(SHARED is None, reason="needs the two public Libri2Mix mixtures of the reference material")
def test_published_systems_on_two_public_mixtures(tmp_path):
    """SI-SDR gains as measured independently (one decimal) on the authors' demo audio, and the copied reference."""
    root = SHARED / "data" / "libri2mix_samples"
    results = evaluate_speech_folder(root, root / "references", tmp_path, progress=False)
    measured = {
        "DPCL": (9.7, 5.6),
        "Conv-TasNet": (13.6, 4.5),
        "SuDoRM-RF-1.0x": (13.0, 7.2),
        "DualPathRNN": (12.1, 1.0),
    }
    measured |= {"A-FRCNN-16": (14.8, 14.0), "uPIT": (8.3, None)}
    assert set(results) == set(measured)
    for system, gains in measured.items():
        rows = read_rows(tmp_path / system / "all_metrics.csv")
        for row, gain in zip(rows, gains):
            if gain is not None:
                assert float(row["si_sdr_imp"]) == pytest.approx(gain, abs=0.0501), system
    flagged = {name: result["warnings"] for name, result in results.items() if result["warnings"]}
    assert list(flagged) == ["uPIT"] and flagged["uPIT"][0].startswith("6829-")
