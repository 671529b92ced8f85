"""Experiment folders made of numbers drawn from a seed, for the tests of reports."""

import json

import numpy as np
import pandas as pd

LEVELS = {"vocals": 7.7, "bass": 6.1, "drums": 9.7, "other": 4.8}


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


def music(
    exp,
    variant="base",
    corpus="musdb18hq",
    seed=1,
    gain=0.0,
    status="finished",
    subset="test",
    n_tracks=8,
    noise=0.5,
    sources=tuple(LEVELS),
    **evaluation,
):
    """``exp/<tag>`` of a music experiment, one training per source; every score is that of LEVELS plus ``gain``."""
    rng, rows = np.random.default_rng(seed), []
    for i in range(n_tracks):
        for source in sources:
            score = LEVELS[source] + gain + i - (n_tracks - 1) / 2 + noise * rng.normal()
            rows.append([f"track {i}", source, score, score + 0.3, -5.0 - i, -5.5 - i, 30.0, 0.25])
    exp.mkdir(parents=True)
    columns = ["track", "source", "usdr", "csdr", "input_usdr", "input_csdr", "seconds", "rtf"]
    pd.DataFrame(rows, columns=columns).to_csv(exp / "all_metrics.csv", index=False)
    write_json(
        exp / "evaluation.json",
        {
            "corpus": corpus,
            "subset": subset,
            "n_tracks": n_tracks,
            "sample_rate": 44100,
            "inference": {"scheme": "fader"},
            "median_rule": "numpy",
            "missing": [],
            "sources": list(sources),
            "metric_definition": {"usdr": "as ever"},
            **evaluation,
        },
    )
    for source in sources:
        training(exp / source, variant, corpus, seed, LEVELS[source] + gain, status, source, exp.name)
    return exp


def training(folder, variant, corpus, seed, best, status, source, tag, monitor="val_usdr"):
    """What ``fit`` leaves: 5 epochs, the best uSDR at epoch 3, the lowest loss at epoch 4."""
    scores = {"val_usdr": [best - 3, best - 2, best - 1, best, best - 0.5], "val_loss": [0.5, 0.4, 0.35, 0.33, 0.3]}
    write_json(
        folder / "run.json",
        {
            "variant": variant,
            "corpus": corpus,
            "seed": seed,
            "status": status,
            "n_params": 8020296,
            "protocol": "published",
            "commit": "0123456789abcdef",
            "conf": {"training": {"monitor": monitor}},
        },
    )
    pd.DataFrame(
        {"epoch": range(5), "step": range(0, 50, 10), "train_loss": [0.5, 0.4, 0.3, 0.2, 0.1], **scores, "lr": 5e-4}
    ).to_csv(folder / "history.csv", index=False)
    write_json(
        folder / "energy.json",
        {
            "entries": [
                {
                    "phase": "training",
                    "source": source,
                    "run_id": tag + source,
                    "kwh": 30.0,
                    "hours": 20.0,
                    "epochs": 5,
                    "interrupted": status != "finished",
                },
                {
                    "phase": "validation",
                    "source": source,
                    "run_id": tag + source,
                    "kwh": 1.5,
                    "hours": 1.0,
                    "epochs": None,
                    "interrupted": False,
                },
            ]
        },
    )


def speech(exp, variant="a_dprnn", corpus="libri2mix", seed=1, si_sdr_imp=14.5, n=20):
    """``exp/<tag>`` of a speech experiment whose mean SI-SNRi is exactly ``si_sdr_imp``."""
    noise = np.random.default_rng(seed).normal(size=n)
    gain = si_sdr_imp + noise - noise.mean()
    exp.mkdir(parents=True)
    pd.DataFrame(
        {
            "mixture_id": [f"m{i}" for i in range(n)],
            "n_src": 2,
            "speakers": "1 2",
            "sexes": "M F",
            "level_difference_db": 0.0,
            "input_si_sdr": 0.1,
            "si_sdr": gain + 0.1,
            "si_sdr_imp": gain,
            "input_sdr": 0.2,
            "sdr": gain + 0.6,
            "sdr_imp": gain + 0.4,
            "permutation": "0 1",
            "seconds": 1.0,
            "rtf": 0.1,
        }
    ).to_csv(exp / "all_metrics.csv", index=False)
    write_json(
        exp / "evaluation.json",
        {
            "corpus": corpus,
            "subset": "test",
            "n_tracks": n,
            "sample_rate": 8000,
            "missing": [],
            "metric_definition": {"si_sdr": "as ever"},
        },
    )
    write_json(
        exp / "run.json",
        {"variant": variant, "corpus": corpus, "seed": seed, "status": "finished", "n_params": 2918279},
    )
    return exp
