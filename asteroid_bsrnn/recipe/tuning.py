"""The variant file that goes on training a given model: its architecture, its sources, its weights."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from asteroid.models import BaseModel

from ..common.errors import UserError
from ..common.files import write_text
from ..experiment.run import yaml_values
from ..models.base import as_model
from ..models.stems import StemSeparator
from ..weights import load_model

LEARNING_RATE = 1e-4  # a tenth of the recipe's


def write_variant(source: str, out: str | Path) -> dict[str, Any]:
    """Write the variant file that fine-tunes a model with ``run.sh --variant OUT``.

    Args:
        source: whatever :func:`asteroid_bsrnn.weights.load_model` takes.
        out: file to write, ending in ``.yml``.

    Returns:
        What was written.

    Raises:
        UserError: if the model cannot be loaded, the file exists, or its name would not be taken for a file's.
    """
    import yaml

    out = Path(out)
    if out.suffix not in (".yml", ".yaml"):
        raise UserError(f"{out}: the name of a variant file ends in .yml")
    if out.exists():
        raise UserError(f"{out} exists: remove it or choose another name")
    variant = yaml_values(variant_of(load_model(source), source))
    text = yaml.safe_dump(variant, sort_keys=False, allow_unicode=True)
    write_text(out, f"# Goes on training {source}. Everything that is not here is as in conf.yml.\n{text}")
    return variant


def variant_of(model: BaseModel, source: str) -> dict[str, Any]:
    """Sections of a configuration that build ``model`` again and start from its weights."""
    place = (
        str(Path(source).resolve()) if Path(source).exists() else str(source)
    )  # training runs in the recipe's folder
    training = {"optim": {"lr": LEARNING_RATE, "scheduler": "none"}, "training": {"init_from": place}}
    view = as_model(model)
    if view.sources is None:
        return {"model": {"model_name": type(model).__name__, **model.get_model_args()}, **training}
    members = list(model.networks) if isinstance(model, StemSeparator) else [model]
    groups = [list(as_model(member).sources) for member in members]
    sections = [_section(member) for member in members]
    if any(section != sections[0] for section in sections):  # networks of several kinds train as one
        groups, sections = [list(view.sources)], [{"model_name": StemSeparator.__name__, "members": model.members}]
    return {"task": _task(groups), "model": sections[0], **_segment(members), **training}


def _section(member: BaseModel) -> dict[str, Any]:
    arguments = {name: value for name, value in member.get_model_args().items() if name != "sources"}
    return {"model_name": type(member).__name__, **arguments}


def _task(groups: Sequence[list[str]]) -> dict[str, Any]:
    single = all(len(group) == 1 for group in groups)
    sources = [source for group in groups for source in group]
    simo = len(groups) == 1
    return {"sources": sources, "simo": simo, "groups": None if simo or single else list(groups)}


def _segment(members: Sequence[torch.nn.Module]) -> dict[str, Any]:
    """Training items as long as the network's own segments, where it has some."""
    view = as_model(members[0])
    if not view.segment:
        return {}
    seconds = round(view.segment / view.sample_rate, 3)
    return {"data": {"segment": seconds, "sad_window": max(6.0, float(seconds))}}
