"""From a finished, scored experiment to the model in the package: half-precision weights, and what docs/ keeps of the run.

    python tools/package_model.py EXP_DIR tiny-2spk
"""
import hashlib
import json
import shutil
import sys
from pathlib import Path

import torch

from asteroid_bsrnn.weights import load_model, save_safetensors
from asteroid_bsrnn.weights.published.packaged import FOLDER

KEPT = ("conf.yml", "run.json", "history.csv", "energy.json", "final_metrics.json", "evaluation.json", "all_metrics.csv")
DOCS = Path(__file__).resolve().parents[1] / "docs"


def main(exp_dir: str, name: str) -> None:
    """Write ``weights/packaged/<name>.safetensors`` and ``docs/<name>/``; print what published.yml needs."""
    conf = load_model(str(Path(exp_dir) / "best_model.pth")).serialize()
    conf["state_dict"] = {key: wav.half() if wav.dtype == torch.float32 else wav for key, wav in conf["state_dict"].items()}
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{name}.safetensors"
    save_safetensors(conf, path, {"name": name, "licence": "MIT", "data": "LibriSpeech (CC BY 4.0)"})
    (DOCS / name).mkdir(exist_ok=True)
    for kept in KEPT:
        if (Path(exp_dir) / kept).exists():
            shutil.copy(Path(exp_dir) / kept, DOCS / name / kept)
    print(json.dumps({"size": path.stat().st_size, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
