"""What evaluation writes, reports and listening pages read: the two sides of one set of files."""

import json

import numpy as np
import pytest
import torch

from asteroid_bsrnn.evaluation import evaluate_music, evaluate_speech
from asteroid_bsrnn.report import write_report
from asteroid_bsrnn.report.experiments import read_experiment
from asteroid_bsrnn.report.tables.score_cells import score_table


class Songs:
    """Two stereo songs of two sources."""

    names = ["One - A", "Two - B", "Three - C"]

    def __len__(self):
        return len(self.names)

    def __getitem__(self, i):
        sources = torch.randn(2, 2, 3 * 8000, generator=torch.Generator().manual_seed(i)) * 0.1
        return sources.sum(0), sources


class Talks(Songs):
    """Utterances of two speakers of one sex, then of two."""

    def __getitem__(self, i):
        sources = torch.randn(2, 2000, generator=torch.Generator().manual_seed(i)) * 0.1
        return sources.sum(0), sources

    def describe(self, i):
        return {"speakers": ["1", "2"], "sexes": ["F", "F"] if i == 0 else ["M", "F"]}


class Splitter(torch.nn.Module):
    """Knows a little of the truth: half the mixture, plus and minus a filtered part."""

    sample_rate = 8000

    def __init__(self):
        super().__init__()
        self.gain = torch.nn.Parameter(torch.ones(1))  # evaluation asks the parameters for the device

    def forward(self, wav):
        part = torch.nn.functional.avg_pool1d(wav[:, None], 5, 1, 2)[:, 0] * self.gain
        return torch.stack([part, wav - part], dim=1)


def test_music(tmp_path):
    exp = tmp_path / "exp" / "mine"
    final = evaluate_music(
        lambda wav: torch.stack([0.6 * wav, 0.4 * wav]),
        Songs(),
        exp,
        ["vocals", "drums"],
        8000,
        {"scheme": "whole"},
        "excerpt",
        model_id="none",
        n_examples=1,
        progress=False,
    )
    table = score_table([read_experiment(exp)], "scores")
    for row, metric in zip(table.rows, ("usdr", "csdr")):
        shown = dict(zip(table.columns, row))
        for column, key in (("Vocals", f"{metric}_vocals"), ("Drums", f"{metric}_drums"), ("Average", metric)):
            assert shown[column].value == pytest.approx(final[key]), key
    text = write_report([exp], tmp_path / "out").read_text(encoding="utf-8")
    assert "A demonstration on excerpt" in text and "page/index.html" in text
    assert len(list((tmp_path / "out" / "figures").glob("triptych_*.png"))) == 2


def test_speech(tmp_path):
    exp = tmp_path / "exp" / "mine"
    final = evaluate_speech(Splitter(), Talks(), exp, "synthetic", model_id="none", n_examples=-1, progress=False)
    table = score_table([read_experiment(exp)], "scores")
    shown = dict(zip(table.columns, table.rows[0]))
    for column, key in (("SI-SDR", "si_sdr"), ("SI-SNRi", "si_sdr_imp"), ("SDR", "sdr"), ("SDRi", "sdr_imp")):
        assert shown[column].value == pytest.approx(final[key])
    write_report([exp], tmp_path / "out")
    page = (tmp_path / "out" / "page" / "index.html").read_text(encoding="utf-8")
    assert "Splitter" in page and "speakers of one sex" in page
    manifest = json.loads(page.split('id="manifest">')[1].split("</script>")[0])
    assert {clip["name"] for clip in manifest["clips"]} == set(Talks.names)
    means = np.mean([float(value) for value in read_experiment(exp).scores.rows["si_sdr_imp"]])
    assert shown["SI-SNRi"].value == pytest.approx(means)
