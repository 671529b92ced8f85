"""What cannot work is refused before anything is made: a whole configuration is held against its readers."""

from pathlib import Path

import torch

from ..common.errors import UserError
from ..common.typed import check_types
from ..data import music_data, speech_data
from ..data.corpus import check_targets
from ..experiment.energy import check_place, make_meter
from ..separation.segments import apply_segments, make_plan
from ..training.feed.sampling import make_loader
from ..training.optimization import make_optim
from ..training.options import TrainingOptions, call_with_section
from .configuration import PER_SOURCE, conf_of, experiments, task_name


def preflight(conf: dict, recipe_dir: str | Path = ".") -> None:
    """Read every section but the model's, which is built a moment later.

    Args:
        conf: whole configuration.
        recipe_dir: what its paths are relative to.

    Raises:
        UserError: for the first value that cannot be meant: of another type, NaN, empty, out of range, a
            source that the corpus does not have or that stands twice.
    """
    if task_name(conf) == "music":
        check_sources(conf, recipe_dir)
    else:
        speech_data(conf, recipe_dir)
    for own in [conf, *(conf_of(conf, name) for name in conf.get(PER_SOURCE) or {})]:
        _check_run(own)


def _check_run(conf: dict) -> None:
    """How one model is trained and used."""
    if task_name(conf) == "music":
        check_inference(conf)
    options = call_with_section(TrainingOptions, "training", conf)
    one = [torch.nn.Parameter(torch.zeros(1))]
    call_with_section(make_optim, "optim", conf, one, options.effective_batch, options.mode)
    check_types(conf["loader"], make_loader, "loader")
    check_types(conf["energy"], make_meter, "energy")
    check_place(conf["energy"]["country"], conf["energy"]["pue"])


def check_sources(conf: dict, recipe_dir: str | Path = ".") -> None:
    """Section ``task`` of a music configuration against the corpus."""
    corpus, sources = music_data(conf, recipe_dir).value, conf["task"]["sources"]
    try:
        check_targets(corpus, sources)
    except UserError as error:
        raise UserError(f"task.sources: {error}") from None
    experiments(conf)


def check_inference(conf: dict) -> None:
    """Section ``inference`` of a music configuration."""
    section = conf["inference"]
    check_types(section, make_plan, "inference")
    check_types(section, apply_segments, "inference")
    if section.get("batch", 1) < 1:
        raise UserError(f"inference.batch must be 1 or more, not {section['batch']!r}")
    plan = {key: value for key, value in section.items() if key in ("scheme", "segment", "overlap", "hop", "window")}
    try:
        make_plan(int(conf["model"].get("sample_rate", 44100)), **plan)
    except UserError as error:
        raise UserError(f"inference: {error}") from None
