"""From a finished, scored experiment to the model in the package: half-precision weights, and what docs/ keeps of the run.

python tools/package_model.py EXP_DIR tiny-2spk [EXP_DIR of the run that it went on from]
"""

import hashlib
import json
import re
import sys
from pathlib import Path

import torch

from asteroid_bsrnn.weights import load_model, read_safetensors, save_safetensors, weights_sha256
from asteroid_bsrnn.weights.published.in_package import FOLDER

KEPT = (
    "conf.yml",
    "run.json",
    "history.csv",
    "energy.json",
    "final_metrics.json",
    "evaluation.json",
    "all_metrics.csv",
)
FOLDERS = re.compile(r"(?<=[\s\"=])/(?:[\w.-]+/)+")  # of the machine that trained
DOCS = Path(__file__).resolve().parents[1] / "docs"


def main(exp_dir: str, name: str, before: str | None = None) -> None:
    """Write ``weights/packaged/<name>.safetensors`` and ``docs/<name>/``; print what published.yml needs."""
    conf = load_model(str(Path(exp_dir) / "best_model.pth")).serialize()
    conf["state_dict"] = {
        key: wav.half() if wav.dtype == torch.float32 else wav for key, wav in conf["state_dict"].items()
    }
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{name}.safetensors"
    if not path.exists() or weights_sha256(read_safetensors(path)["state_dict"]) != weights_sha256(conf["state_dict"]):
        save_safetensors(conf, path, {"name": name, "licence": "MIT", "data": "LibriSpeech (CC BY 4.0)"})
    path.chmod(0o644)
    keep(exp_dir, DOCS / name)
    if before:
        keep(before, DOCS / name / "before")
    draw_curve([*([DOCS / name / "before"] if before else []), DOCS / name], DOCS / name / "curve.png")
    print(json.dumps({"size": path.stat().st_size, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}))


def keep(exp_dir: str, folder: Path) -> None:
    """Copy the records of a run, without the folders of the machine that it ran on."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in KEPT:
        if (Path(exp_dir) / name).exists():
            (folder / name).write_text(FOLDERS.sub("", (Path(exp_dir) / name).read_text()))


def draw_curve(folders: list[Path], path: Path) -> None:
    """Training and validation SI-SDR over processor steps, runs behind each other."""
    import pandas as pd
    from matplotlib.figure import Figure

    tables, steps = [pd.read_csv(folder / "history.csv") for folder in folders], 0
    for table in tables:
        table["step"] += steps
        steps = table["step"].iloc[-1]
    history = pd.concat(tables)
    figure = Figure(figsize=(6, 3), layout="constrained")
    axes = figure.subplots()
    axes.plot(history["step"], -history["train_loss"], ".-", label="training, new mixtures of 2 s")
    axes.plot(history["step"], history["val_si_sdr"], ".-", label="validation, unseen speakers, averaged weights")
    for table in tables[1:]:
        axes.axvline(table["step"].iloc[0], color="0.8", zorder=0)
    axes.set(xlabel="steps", ylabel="SI-SDR (dB)")
    axes.legend(frameon=False)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main(*sys.argv[1:])
