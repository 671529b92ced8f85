"""Optional scores of speech: what they say of clean, noisy and silent speech, and where their columns land."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from asteroid_bsrnn.common.errors import UserError
from asteroid_bsrnn.data.demo.voices import Speaker, formant_speech
from asteroid_bsrnn.data.speech.utterances import resample
from asteroid_bsrnn.evaluation import evaluate_speech
from asteroid_bsrnn.metrics import check_extra_scores, estoi, get, pesq, stoi, utterance_scores

TEXTS = ("the tired captain painted a wooden bridge", "one of the musicians borrowed seven letters without any help")


@pytest.fixture(scope="module")
def talk():
    """Two voices of about 3 s at 8 kHz, (2, time), and their sum."""
    who = (Speaker("M", "m1", 0.4, 160, 1.0), Speaker("F", "f2", 0.4, 160, 1.17))
    wavs = [resample(formant_speech(text, one), 8000) for text, one in zip(TEXTS, who)]
    length = min(map(len, wavs))
    targets = torch.from_numpy(np.stack([wav[:length] for wav in wavs])).float()
    return targets, targets.sum(0)


@pytest.mark.parametrize("score, best, margin", [(stoi, 1.0, 1e-3), (estoi, 1.0, 1e-3), (pesq, 4.549, 0.01)])
def test_less_of_the_other_speaker_is_better_and_level_is_nothing(talk, score, best, margin):
    targets, mix = talk
    values = [float(score(targets + gain * targets.flip(0), targets, 8000).mean()) for gain in (1.0, 0.3, 0.0)]
    assert values[0] < values[1] < values[2] == pytest.approx(best, abs=margin)
    half = float(score(0.5 * (targets + 0.3 * targets.flip(0)), targets, 8000).mean())
    assert half == pytest.approx(values[1], abs=1e-3)


def test_silence_and_too_little_speech_have_no_score(talk):
    targets, _ = talk
    for score in (stoi, estoi, pesq):
        silent = score(torch.zeros_like(targets), targets, 8000)
        assert silent.isnan().all() and score(targets[:, :1000], targets[:, :1000], 8000).isnan().all()


def test_names_and_rates_are_checked(talk):
    assert check_extra_scores(["pesq", "stoi"]) == ("stoi", "pesq")
    with pytest.raises(UserError, match="unknown optional score 'mos': known are stoi, estoi, pesq"):
        check_extra_scores(["mos"])
    with pytest.raises(UserError, match="not at 11025 Hz"):
        pesq(*[talk[0]] * 2, 11025)


def test_gains_are_over_the_mixture(talk):
    targets, mix = talk
    found = utterance_scores(mix, targets, targets, 8000, [get("stoi")])
    assert (
        found["stoi"] == pytest.approx(1, abs=1e-3) and found["stoi_imp"] == found["stoi"] - found["input_stoi"] > 0.05
    )


class Halves(torch.nn.Module):
    """A model that returns the mixture twice."""

    sample_rate = 8000

    def __init__(self):
        super().__init__()
        self.gain = torch.nn.Parameter(torch.ones(1))

    def forward(self, wav):
        return self.gain * torch.stack([wav, wav], 1)


class OneTalk:
    names = ["a"]

    def __init__(self, talk):
        self.talk = talk

    def __getitem__(self, index):
        return self.talk[1], self.talk[0]


def test_columns_come_only_when_asked_for(talk, tmp_path):
    plain = evaluate_speech(Halves(), OneTalk(talk), tmp_path, "c", model_id="m", progress=False, n_examples=0)
    assert not [name for name in plain if "stoi" in name or "pesq" in name]
    more = evaluate_speech(
        Halves(), OneTalk(talk), tmp_path, "c", model_id="m", progress=False, n_examples=0, extra=("estoi", "pesq")
    )
    assert {"estoi", "input_estoi", "estoi_imp", "pesq"} <= set(more) and abs(more["estoi_imp"]) < 1e-9
    assert "pesq" in pd.read_csv(tmp_path / "all_metrics.csv").columns
    assert "pesq" in json.loads((tmp_path / "evaluation.json").read_text())["metric_definition"]


def test_interval_by_speaker():
    """Wider than one over mixtures where speakers differ; the mean of all lies in it; unknown speakers have none."""
    from asteroid_bsrnn.metrics.by_speaker import speaker_interval

    generator = np.random.default_rng(0)
    people = [f"p{index}" for index in range(10)]
    skill = dict(zip(people, generator.normal(5, 3, 10)))
    pairs = [tuple(generator.choice(people, 2, replace=False)) for _ in range(200)]
    values = [sum(skill[name] for name in pair) / 2 + generator.normal(0, 0.5) for pair in pairs]
    low, high = speaker_interval(values, pairs)
    assert low < np.mean(values) < high and high - low > 2 * 4 * np.std(values) / np.sqrt(200)
    assert speaker_interval(values, pairs) == (low, high)
    assert np.isnan(speaker_interval([1.0, 2.0], [("a", "b"), ("b", "a")])).all()
    assert np.isfinite(speaker_interval([*values, float("nan")], [*pairs, pairs[0]])).all()
