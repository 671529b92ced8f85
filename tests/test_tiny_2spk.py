"""The speech model in the package: it is there offline, and the whole chain with it separates two people it never heard."""

import json
import math
from functools import cache

import numpy as np
import pytest
import soundfile as sf
import torch
from helpers import GOLDEN, ROOT

from asteroid_bsrnn.cli.main import main
from asteroid_bsrnn.common.errors import UserError
from asteroid_bsrnn.data.speech.utterances import resample
from asteroid_bsrnn.metrics import si_sdr_imp
from asteroid_bsrnn.separation import separate
from asteroid_bsrnn.weights import load_model, published
from asteroid_bsrnn.weights.published import in_package

NAME = "tiny-2spk"
GAIN = 3.0  # dB, SI-SDRi of the mixture below; 4.2 when the weights were made
CARD = ROOT / "docs" / NAME


@cache
def model():
    return load_model(NAME)


def talk(rate=8000):
    """Two readers at once, equally loud: mixture (time,), sources (2, time)."""
    wavs = [sf.read(path)[0] for path in sorted((GOLDEN / "voices").glob("*.flac"))]
    length = min(map(len, wavs))
    sources = np.stack([0.05 * wav[:length] / np.sqrt(np.mean(wav[:length] ** 2)) for wav in wavs])
    if rate != 8000:
        sources = np.stack([resample(wav, rate, 8000) for wav in sources])
    return sources.sum(0), sources


def gain(estimates, sources, mixture):
    to_tensor = [torch.from_numpy(np.ascontiguousarray(wav, np.float64))[None] for wav in (estimates, sources, mixture)]
    return float(si_sdr_imp(*to_tensor).mean())


@pytest.fixture(autouse=True)
def offline(monkeypatch, tmp_path):
    """No network, an empty cache."""
    monkeypatch.setenv("ASTEROID_BSRNN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("requests.get", lambda *args, **options: pytest.fail("the network was asked"))


@pytest.mark.parametrize("rate, channels", [(8000, 1), (16000, 2), (44100, 1)])
def test_the_command_separates_two_unseen_people(tmp_path, rate, channels):
    """Through every room: reader, resampling, segments, model, levels, writer."""
    mixture, sources = talk(rate)
    sf.write(tmp_path / "talk.wav", np.stack([mixture] * channels, 1), rate, subtype="FLOAT")
    assert main(["separate", str(tmp_path / "talk.wav"), "-o", str(tmp_path / "out"), "--model", NAME]) == 0
    wavs = [sf.read(tmp_path / "out" / "talk" / f"s{number}.wav", always_2d=True)[0] for number in (1, 2)]
    assert all(wav.shape == (len(mixture), channels) for wav in wavs)
    assert gain(np.stack([wav[:, 0] for wav in wavs]), sources, mixture) > GAIN
    assert not (tmp_path / "cache").exists(), "nothing is fetched, nothing is cached"


def test_the_model_is_what_its_card_says():
    entry = published.find(NAME)
    path = in_package.packaged_file(entry)
    run = json.loads((CARD / "run.json").read_text())
    assert path.stat().st_size == entry.size < 3e6
    assert sum(p.numel() for p in model().parameters()) == entry.parameters == run["n_params"]
    assert (type(model()).__name__, model().sample_rate) == (entry.model, 8000) and not model().training
    for score in entry.scores:
        measured = json.loads((CARD / "final_metrics.json").read_text())[score["metric"]]
        assert math.isclose(next(iter(score["values"].values())), measured, abs_tol=0.005)
    assert published.manifest(NAME)["licence"] == entry.licence and "CC BY 4.0" in entry.data


def test_level_and_silence():
    mixture, _ = talk()
    quiet, loud = (separate(model(), scale * mixture, 8000) for scale in (0.01, 1.0))
    np.testing.assert_allclose(quiet.sum(0), 0.01 * mixture, atol=0.01 * np.abs(mixture).max())
    assert np.isfinite(loud).all() and not separate(model(), 0 * mixture, 8000).any()


def test_another_file_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(in_package, "FOLDER", tmp_path)
    with pytest.raises(UserError, match="lacks"):
        published.download(NAME)
    (tmp_path / published.find(NAME).file).write_bytes(b"x")
    with pytest.raises(UserError, match="not the file that the package came with"):
        published.load(NAME)


def test_it_is_listed(capsys):
    assert main(["models", "--json"]) == 0
    (row,) = (row for row in json.loads(capsys.readouterr().out) if row["name"] == NAME)
    assert row["downloaded"] and row["public"] and row["from"] == "the package itself"
