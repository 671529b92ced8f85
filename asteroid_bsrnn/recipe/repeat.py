"""From the ``run.json`` of one run to the configuration that repeats it."""

import copy
from pathlib import Path
from typing import Any

import torch

from ..common.errors import UserError
from ..common.files import read_json
from ..experiment.run import commit, versions
from ..experiment.run_file import RUN_FILE, Run


def repeat(path: str | Path) -> tuple[dict[str, Any], dict[str, Any], list[str]]:
    """What is needed to train exactly as the run that wrote ``path`` did; bit by bit on CPU with equal versions.

    Args:
        path: ``run.json``, or the folder that holds it.

    Returns:
        The configuration, with batch, devices, precision and checkpointing as they were used; a dict of ``protocol``,
        ``variant``, ``corpus`` and ``source``; a list of sentences on what differs here and may change the last bits.

    Raises:
        UserError: if the file is missing or is not the record of a run.
    """
    path = Path(path)
    path = path / RUN_FILE if path.is_dir() else path
    if not path.is_file():
        raise UserError(f"{path} does not exist: expected the run.json of an earlier run")
    content = read_json(path)
    run = Run.of(content) if isinstance(content, dict) else Run()
    if not run.conf:
        raise UserError(f"{path} is not the record of a run: it holds no configuration under 'conf'")
    conf = copy.deepcopy(run.conf)
    used = {name: getattr(run, name) for name in ("batch", "devices", "precision", "activation_checkpointing")}
    conf["training"].update({key: value for key, value in used.items() if value is not None})
    info = {"protocol": run.protocol, "variant": run.variant, "corpus": run.corpus, "source": run.source}
    return conf, info, _differences(run)


def _differences(run: Run) -> list[str]:
    here = {**versions(), "commit": commit()["commit"]}
    then = {**run.versions, "commit": run.commit}
    notes = [
        f"{name} was {value} then, is {here[name]} here"
        for name, value in then.items()
        if name in here and here[name] != value and name != "codecarbon"
    ]
    if run.threads not in (None, torch.get_num_threads()):
        notes.append(f"PyTorch had {run.threads} threads then, has {torch.get_num_threads()} here (OMP_NUM_THREADS)")
    if run.commit_changed:
        notes.append("files of the package differed from its commit then")
    if any(entry.get("changes") for entry in run.resumed):
        notes.append("settings were changed when that run was resumed; the last ones are repeated from the start")
    return notes
