"""The folder to upload is complete, loads by either file, and states only what the experiment wrote down."""

import hashlib
import json
import os

import pytest
import torch
import yaml
from asteroid.models import BaseModel, ConvTasNet

from asteroid_bsrnn import weights
from asteroid_bsrnn.cli.main import main
from asteroid_bsrnn.common.errors import UserError
from asteroid_bsrnn.models import BSRNN, StemSeparator
from asteroid_bsrnn.publishing import folder as module
from asteroid_bsrnn.publishing.folder import publish
from asteroid_bsrnn.weights import load_model, read_safetensors

FILES = ["README.md", "conf.yml", "config.json", "final_metrics.json", "model.safetensors", "pytorch_model.bin"]
LICENCES = [
    {
        "title": "LibriSpeech",
        "author": "Panayotov",
        "license": "CC BY 4.0",
        "non_commercial": False,
        "citation": "Panayotov et al., 2015",
    }
]


@pytest.fixture
def net():
    weights.install()
    torch.manual_seed(0)
    return ConvTasNet(
        n_src=2, n_filters=8, kernel_size=4, n_repeats=1, n_blocks=1, bn_chan=4, hid_chan=4, skip_chan=4
    ).eval()


@pytest.fixture
def exp(net, tmp_path):
    exp = tmp_path / "exp"
    exp.mkdir()
    torch.save({**net.serialize(), "dataset": "LibriMix", "licenses": LICENCES}, exp / "best_model.pth")
    (exp / "conf.yml").write_text("model:\n  n_src: 2\n")
    (exp / "final_metrics.json").write_text('{"si_sdr": 14.25, "note": "text"}')
    (exp / "run.json").write_text(
        json.dumps({"commit": "abc123", "corpus": "Libri2Mix", "seed": 7, "command": ["run.sh", "--seed", "7"]})
    )
    (exp / "evaluation.json").write_text('{"subset": "test", "n_tracks": 3000}')
    (exp / "energy.json").write_text('{"entries": [{"kwh": 1.5}, {"kwh": 0.25}]}')
    return exp


def front_matter(folder):
    return yaml.safe_load((folder / "README.md").read_text().split("---\n")[1])


def test_the_folder_loads_by_either_file_and_as_a_whole(exp, net):
    folder = publish(exp, licence="cc-by-4.0")
    assert folder == exp / "publish_dir" and sorted(os.listdir(folder)) == FILES
    for source in (folder, folder / "pytorch_model.bin", folder / "model.safetensors"):
        assert all(
            torch.equal(value, net.state_dict()[name]) for name, value in load_model(source).state_dict().items()
        )
    assert BaseModel.from_pretrained(str(folder / "pytorch_model.bin")).sample_rate == net.sample_rate
    torch.load(folder / "pytorch_model.bin", weights_only=True)


def test_the_card_says_what_the_experiment_wrote(exp, tmp_path):
    folder = publish(exp, tmp_path / "out", licence="cc-by-4.0")
    tags, text = front_matter(folder), (folder / "README.md").read_text()
    assert "asteroid" in tags["tags"] and tags["library_name"] == "asteroid"
    assert tags["license"] == "cc-by-4.0" and tags["datasets"] == ["Libri2Mix"]
    assert tags["model-index"][0]["results"][0]["metrics"] == [{"type": "si_sdr", "name": "si_sdr", "value": 14.25}]
    for said in (
        "abc123",
        "run.sh --seed 7",
        "| si_sdr | 14.250 |",
        "n_src: 2",
        "1.75",
        "subset test, n_tracks 3000",
        "LibriSpeech by Panayotov: CC BY 4.0. Cite: Panayotov et al., 2015.",
    ):
        assert said in text
    for name in ("pytorch_model.bin", "model.safetensors"):
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() in text
    card = read_safetensors(folder / "model.safetensors")["card"]
    assert (card["commit"], card["data"], card["licence"], card["scores"]) == (
        "abc123",
        "Libri2Mix",
        "cc-by-4.0",
        {"si_sdr": 14.25},
    )


def test_nothing_is_invented(net, tmp_path):
    torch.save(net.serialize(), tmp_path / "best_model.pth")
    folder = publish(tmp_path)
    assert sorted(os.listdir(folder)) == [name for name in FILES if name not in ("conf.yml", "final_metrics.json")]
    tags = front_matter(folder)
    assert tags["license"] == "unknown" and "datasets" not in tags and "model-index" not in tags
    assert (folder / "README.md").read_text().count("ot stated") >= 5


def test_an_existing_folder_is_kept_unless_told(exp):
    (exp / "publish_dir").mkdir()
    (exp / "publish_dir" / "mine").write_text("1")
    with pytest.raises(UserError, match="exists already"):
        publish(exp)
    assert os.listdir(exp / "publish_dir") == ["mine"]
    publish(exp, overwrite=True)
    assert sorted(os.listdir(exp / "publish_dir")) == FILES


def test_a_failure_leaves_nothing(exp, monkeypatch):
    before = sorted(os.listdir(exp))

    def fails(*args):
        raise OSError("disk full")

    monkeypatch.setattr(module, "model_card", fails)
    with pytest.raises(OSError, match="disk full"):
        publish(exp)
    assert sorted(os.listdir(exp)) == before


def test_no_experiment(tmp_path):
    with pytest.raises(UserError, match="there is no experiment folder"):
        publish(tmp_path / "none")
    with pytest.raises(UserError, match="holds no trained model: expected is best_model.pth"):
        publish(tmp_path)
    (tmp_path / "best_model.pth").write_bytes(b"")
    with pytest.raises(UserError, match="is empty"):
        publish(tmp_path)


def test_a_broken_record_of_the_run_is_named(exp):
    (exp / "run.json").write_text("[1")
    with pytest.raises(UserError, match="run.json is not valid JSON"):
        publish(exp)
    (exp / "run.json").write_text("[1]")
    with pytest.raises(UserError, match="run.json is not a JSON object: it holds a list"):
        publish(exp)


def test_a_music_experiment_of_several_models(tmp_path):
    model = StemSeparator(
        [BSRNN(sources=(source,), feature_dim=4, n_repeats=1, mask_ratio=1) for source in ("bass", "drums")]
    )
    torch.save(model.serialize(), tmp_path / "best_model.pth")
    folder = publish(tmp_path)
    assert "# StemSeparator: bass, drums" in (folder / "README.md").read_text()
    assert read_safetensors(folder / "model.safetensors")["card"]["sources"] == ["bass", "drums"]


def test_the_command(exp, capsys):
    assert main(["publish", str(exp)]) == 0
    said = capsys.readouterr().out
    assert f"wrote {exp / 'publish_dir'}" in said and "licence is given as not stated" in said
