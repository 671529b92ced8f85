"""What version 0.1.0 wrote still loads: weights, configuration, record; a run that it began goes on."""

import shutil

import torch
import yaml
from helpers import ROOT

from asteroid_bsrnn import losses
from asteroid_bsrnn.config import build_model, load_conf
from asteroid_bsrnn.engine import fit
from asteroid_bsrnn.experiment.run import RunRecord
from asteroid_bsrnn.weights import load_model

OLD = ROOT / "tests" / "golden" / "version_0_1_0"
TINY = {
    "model": {"feature_dim": 4, "n_repeats": 1, "n_fft": 512, "n_hop": 128, "mask_ratio": 1},
    "training": {"epochs": 2, "effective_batch": 2, "batch": 2, "precision": "fp32"},
    "loader": {"num_workers": 0},
    "energy": {"track": False},
}


class Noise:
    """Four mixtures of one source, the same in every epoch."""

    def __len__(self):
        return 4

    def __getitem__(self, item):
        generator = torch.Generator().manual_seed(item[1] if isinstance(item, tuple) else item)
        source = torch.randn(1, 2, 4000, generator=generator)
        return source[0] + 0.1 * torch.randn(2, 4000, generator=generator), source


def test_weights_give_what_they_gave():
    model, known = load_model(OLD / "separator.pth"), torch.load(OLD / "separator_output.pth")
    assert model.sources == ("vocals", "bass")
    with torch.no_grad():
        out = model(known["wav"])
    assert (out - known["out"]).abs().max() < 1e-5 * known["out"].abs().max()


def test_the_configuration_of_an_old_run_is_todays():
    conf = load_conf(ROOT / "recipes" / "musdb18hq", overrides=TINY)
    assert RunRecord(OLD / "run", conf).changes() == {}
    old = yaml.safe_load((OLD / "run" / "conf.yml").read_text())
    assert type(build_model(old, "vocals")).__name__ == "BSRNN", (
        "a configuration without task.name is music by its section"
    )


def test_a_run_that_was_begun_goes_on(tmp_path):
    shutil.copytree(OLD / "run", tmp_path / "run")
    longer = {**TINY, "training": {**TINY["training"], "epochs": 3}}
    conf = load_conf(ROOT / "recipes" / "musdb18hq", overrides=longer)
    model = build_model(conf, "vocals")
    summary = fit(model, Noise(), Noise(), losses.get("TimeTFLoss")(), conf, tmp_path / "run", allow_changes=True)
    assert summary["epochs"] == 3 and summary["status"] == "finished"
    history = (tmp_path / "run" / "history.csv").read_text().splitlines()
    assert history[:3] == (OLD / "run" / "history.csv").read_text().splitlines()[:3], "what was there is kept"
