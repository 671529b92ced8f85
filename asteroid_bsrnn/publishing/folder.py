"""The folder that one uploads to the hub: weights in both formats, a model card, the configuration."""

import shutil
from pathlib import Path
from typing import Any

import torch

from ..common.download import checksum
from ..common.errors import UserError
from ..common.files import atomic_folder, write_json, write_text
from ..experiment.evaluation import FINAL_FILE
from ..experiment.run import CONF_FILE
from ..weights.load import load_model, read_conf
from ..weights.safetensors import json_values, save_safetensors, weights_sha256
from .card import Card, model_card, read_card


def publish(
    exp_dir: str | Path, out: str | Path | None = None, licence: str | None = None, overwrite: bool = False
) -> Path:
    """Write everything that a model's page on the hub needs.

    These are ``pytorch_model.bin`` (the host's name), ``model.safetensors``, ``README.md``, ``config.json``, and
    ``conf.yml`` and ``final_metrics.json`` where the experiment has them.

    Args:
        exp_dir: experiment folder with ``best_model.pth``.
        out: folder to write; default ``exp_dir/publish_dir``.
        licence: licence of the weights, e.g. ``"cc-by-nc-4.0"``; default: said to be not stated.
        overwrite: replace an existing folder.

    Returns:
        The folder, complete; nothing is left behind on failure.

    Raises:
        UserError: no trained model, or a folder that exists and is not empty.
    """
    exp_dir = Path(exp_dir)
    out = Path(out) if out else exp_dir / "publish_dir"
    stored = _trained(exp_dir)
    model = load_model(stored)
    card = read_card(exp_dir, model, stored, licence)
    conf_file = exp_dir / CONF_FILE
    training_conf = conf_file.read_text(encoding="utf-8") if conf_file.exists() else ""
    _check_place(out, overwrite)
    with atomic_folder(out) as folder:
        _write_weights(folder, stored, card, training_conf)
        for name in (CONF_FILE, FINAL_FILE):
            if (exp_dir / name).exists():
                shutil.copyfile(exp_dir / name, folder / name)
        hashes = {
            name: checksum.of_file(folder / name).partition(":")[2]
            for name in ("pytorch_model.bin", "model.safetensors")
        }
        config = {
            "model_name": stored["model_name"],
            "model_args": json_values(stored["model_args"]),
            **card.content(),
            "sha256": hashes,
        }
        write_json(folder / "config.json", config)
        write_text(folder / "README.md", model_card(card, stored["model_name"], hashes, training_conf))
    return out


def _trained(exp_dir: Path) -> dict[str, Any]:
    if not exp_dir.is_dir():
        raise UserError(f"there is no experiment folder {exp_dir}")
    path = exp_dir / "best_model.pth"
    if not path.is_file():
        raise UserError(f"{exp_dir} holds no trained model: expected is {path.name}, which training writes")
    return read_conf(path)


def _write_weights(folder: Path, stored: dict[str, Any], card: Card, training_conf: str) -> None:
    """Both files, each read back and compared: what is uploaded is what was trained."""
    infos = {
        **json_values(stored.get("infos", {})),
        "card": card.content(),
        "training_config": training_conf,
        "final_metrics": card.scores,
    }
    conf = {key: stored[key] for key in ("model_name", "state_dict", "model_args")}
    torch.save({**conf, "infos": infos}, folder / "pytorch_model.bin")
    save_safetensors(conf, folder / "model.safetensors", card.content())
    digest = weights_sha256(stored["state_dict"])
    for name in ("pytorch_model.bin", "model.safetensors"):
        if weights_sha256(load_model(folder / name).state_dict()) != digest:
            raise UserError(f"{name} does not give back the weights of the experiment; nothing was published")


def _check_place(path: Path, overwrite: bool) -> None:
    if path.exists() and not path.is_dir():
        raise UserError(f"{path} exists and is no folder")
    if path.exists() and any(path.iterdir()) and not overwrite:
        raise UserError(f"{path} exists already; choose another folder or pass --overwrite")
