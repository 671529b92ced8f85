"""Reports set beside published numbers only what was trained and tested as published; odd names break nothing."""

import json
import math
import os
import subprocess
import sys

import pandas as pd
import pytest
from helpers import ROOT
from report_folders import LEVELS, music, speech, write_json

from asteroid_bsrnn.evaluation.summary import write_music_summary
from asteroid_bsrnn.experiment.run import changed_from
from asteroid_bsrnn.recipe.command_line import recipe_conf, recipe_parser
from asteroid_bsrnn.recipe.configuration import load_conf
from asteroid_bsrnn.report import write_report
from asteroid_bsrnn.report.changes import changes_of
from asteroid_bsrnn.report.experiments import read_experiment
from asteroid_bsrnn.report.tables.ablation import table_2, table_3
from asteroid_bsrnn.report.tables.comparison import comparable_groups, why_apart
from asteroid_bsrnn.report.tables.score_cells import score_table
from asteroid_bsrnn.report.tables.speech_tables import afrcnn_table, table_s1, today_table

MUSIC, SPEECH = ROOT / "recipes" / "musdb18hq", ROOT / "recipes" / "libri2mix"


def noted(exp, **values):
    """An experiment whose records say more."""
    for path in [exp / "run.json", *exp.glob("*/run.json")]:
        if path.exists():
            write_json(path, {**json.loads(path.read_text()), **values})
    return read_experiment(exp)


def names(table):
    return [str(row[0].value) + str(row[1].value) for row in table.rows if str(row[1].value).startswith("ours")]


# -- what is noted


@pytest.mark.parametrize("change, key", [
    ("data.stream=mix_both", "data.stream"), ("data.mode=max", "data.mode"), ("model.sample_rate=16000", "model.sample_rate"),
    ("model.num_iters=4", "model.num_iters"), ("training.epochs=3", "training.epochs"), ("data.n_test=10", "data.n_test"),
    ("training.precision=bf16", "training.precision"), ("training.seed=7", None), ("data.speech_dir=/elsewhere", None),
    ("loader.num_workers=0", None), ("training.batch=1", None), ("energy.track=false", None), ("training.devices=2", None),
])  # fmt: skip
def test_a_run_notes_what_it_changed_of_its_variant(change, key, tmp_path):
    args = recipe_parser("").parse_args(["--exp_dir", str(tmp_path), "--variant", "afrcnn_16", "--set", change])
    info = recipe_conf(args, SPEECH)[1]
    assert list(info["changed"]) == ([key] if key else [])


def test_the_demonstration_and_another_protocol(tmp_path):
    base = ["--exp_dir", str(tmp_path), "--variant", "large"]
    info = recipe_conf(recipe_parser("").parse_args([*base, "--overlay", str(MUSIC / "local" / "demo.yml")]), MUSIC)[1]
    assert {"data.corpus", "training.epochs"} <= info["changed"].keys()
    info = recipe_conf(recipe_parser("").parse_args([*base, "--protocol", "corrected"]), MUSIC)[1]
    assert info["protocol"] == "corrected" and not info["changed"]  # the protocol says it
    conf = load_conf(MUSIC, "large")
    (tmp_path / "run.json").write_text(
        json.dumps({"conf": {**conf, "data": {**conf["data"], "n_items": 7}}, "variant": "large"})
    )
    info = recipe_conf(recipe_parser("").parse_args([*base, "--repeat", str(tmp_path / "run.json")]), MUSIC)[1]
    assert info["changed"] == {"data.n_items": [20000, 7]}
    assert changed_from(conf, conf) == {}


# -- where it stands


def test_changed_music_models_stand_apart(tmp_path):
    changed = {"model.feature_dim": [64, 24], "training.patience": [10, 30]}
    small = noted(music(tmp_path / "small", "optimized", gain=3.0), changed=changed)
    plain = noted(music(tmp_path / "plain", "optimized"), changed={})
    table = table_2([small, plain])
    ours = {
        str(row[1].value): row[3].value
        for row in table.rows
        if str(row[2].value).startswith("ours") and row[3].value is not None
    }
    assert ours == {
        "Line 20 + TAC": pytest.approx(LEVELS["vocals"]),
        "optimized, changed: model.feature_dim=24, training.patience=30": pytest.approx(LEVELS["vocals"] + 3),
    }
    found = names(table_3([small, plain]))
    assert "Optimized model + TACours (plain, seed 1, fader, 8 tracks)" in found
    assert (
        "optimized, changed: model.feature_dim=24, training.patience=30ours (small, seed 1, fader, 8 tracks)" in found
    )


@pytest.mark.parametrize("conf, word", [
    ({"data": {"stream": "mix_both"}}, "data.stream=mix_both"), ({"data": {"mode": "max"}}, "data.mode=max"),
    ({"model": {"sample_rate": 16000}}, "model.sample_rate=16000"),
])  # fmt: skip
@pytest.mark.parametrize("variant", ["a_dprnn", "afrcnn_16"])
def test_changed_speech_models_stand_apart_whether_noted_or_not(tmp_path, conf, word, variant):
    plain = noted(speech(tmp_path / "plain", variant))
    ((section, values),) = conf.items()
    ((key, value),) = values.items()
    for tag, extra in (("old", {"conf": conf}), ("new", {"changed": {f"{section}.{key}": ["as published", value]}})):
        other = noted(speech(tmp_path / tag, variant, si_sdr_imp=30.0), **extra)
        for table in (table_s1([plain, other]), afrcnn_table([plain, other]), today_table([plain, other])):
            rows = [
                row for row in table.rows if "changed" not in str(row[0].value) and str(row[1].value).startswith("ours")
            ]
            assert not [cell for row in rows for cell in row if isinstance(cell.value, float) and 29 < cell.value < 32]
        assert f"{variant}, changed: {word}ours" in names(afrcnn_table([plain, other]))
    assert any("plain: 20 mixtures" in note for note in table_s1([plain]).notes)


def test_trained_on_one_corpus_and_tested_on_another(tmp_path):
    exp = noted(speech(tmp_path / "exp", corpus="wsj0-2mix"), corpus="libri2mix")
    assert changes_of(exp) == {"trained on": "libri2mix"}
    assert "a_dprnn, changed: trained on libri2mixours" in names(afrcnn_table([exp]))


def test_other_mixtures_are_not_compared_and_their_number_is_told(tmp_path):
    exps = [
        read_experiment(speech(tmp_path / "clean")),
        noted(speech(tmp_path / "noisy", n=7), conf={"data": {"stream": "mix_both", "mode": "min"}}),
    ]
    groups = comparable_groups(exps)
    assert len(groups) == 2 and "mixtures" in why_apart(groups)[0]
    assert score_table(groups[1], "s").rows[0][3].value == 7
    text = write_report([exp.path for exp in exps], tmp_path / "out").read_text(encoding="utf-8")
    assert "| data.stream=mix_both | libri2mix | 7 mixtures |" in text


# -- odd names


@pytest.mark.parametrize("tag", ["a$b_$c^", "<img src=x>", "a|b", "$", "a]b(c)"])
def test_folders_with_odd_names(tmp_path, tag):
    exp = music(tmp_path / tag, "base", sources=("vocals",))
    table = pd.read_csv(exp / "all_metrics.csv")
    table["track"] = table["track"].replace({"track 0": "NA", "track 1": "null", "track 2": "<b>$x"})
    table.to_csv(exp / "all_metrics.csv", index=False)
    other = music(tmp_path / tag.replace("$", "<"), "tac_prelu", sources=("vocals",)) if tag == "$" else None
    index = write_report([exp] + ([other] if other else []), tmp_path / "out")
    text = index.read_text(encoding="utf-8")
    assert "<img" not in text and "<b>" not in text
    assert "bootstrap over 8 tracks" in text
    pictures = [part.split(")")[0] for part in text.split("](")[1:] if part.startswith("figures/")]
    assert pictures and all((tmp_path / "out" / picture).exists() for picture in pictures)
    learning = [picture for picture in set(pictures) if "learning" in picture and picture.endswith("png")]
    assert len(learning) == (2 if other else 1)


@pytest.mark.parametrize("backend", ["module://matplotlib_inline.backend_inline", "nosuch"])
def test_a_chosen_backend_does_not_stop_a_report(tmp_path, backend):
    code = "import os, asteroid_bsrnn.report as r; r.write_report([], r'%s', published=True); print(os.environ['MPLBACKEND'])"
    env = {**os.environ, "MPLBACKEND": backend, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code % (tmp_path / "out")],
        env=env,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == backend and (tmp_path / "out" / "figures").is_dir()


def test_metrics_are_strict_json(tmp_path):
    nan = math.nan
    scores = {"usdr": math.inf, "csdr_numpy": nan, "input_usdr": -5.0, "input_csdr_numpy": nan}
    record = {"track": "NA", "scores": {"vocals": scores}, "seconds": 1.0, "rtf": nan, "warnings": []}
    final = write_music_summary(tmp_path, [record], ["vocals"], "numpy", {"sample_rate": nan})["final"]
    assert math.isnan(final["csdr"])  # to the caller as it is
    for name in ("final_metrics.json", "evaluation.json"):
        text = (tmp_path / name).read_text()
        json.loads(text, parse_constant=lambda word: pytest.fail(f"{name} holds {word}"))
    assert json.loads((tmp_path / "final_metrics.json").read_text())["csdr_vocals"] is None


def test_what_version_0_1_0_scored_is_compared_with_what_has_later_scores(tmp_path):
    old = read_experiment(music(tmp_path / "base", metric_definition={"usdr": "as ever", "unit": "dB"}))
    later = {"usdr": "as ever", "l1_snr": "another", "unit": "dB, or another"}
    new = read_experiment(music(tmp_path / "tac", "tac_prelu", metric_definition=later))
    assert comparable_groups([old, new]) == [[old, new]]
    other = read_experiment(music(tmp_path / "gru", "gru", metric_definition={**later, "usdr": "otherwise"}))
    groups = comparable_groups([old, new, other])
    assert groups == [[old, new], [other]] and "definition of the metric" in why_apart(groups)[0]
