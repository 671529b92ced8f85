"""From a configuration to the models that it describes, each for itself or joined to one separator."""

from collections.abc import Sequence
from typing import Any

from asteroid.models import BaseModel

from .. import models
from ..common.errors import UserError
from ..common.registry import check_known
from ..models.stems import StemSeparator, build_named
from ..models.system import SeparationSystem
from .configuration import Conf, conf_of, experiments, task_name


def build_model(conf: Conf, source: str | None = None) -> BaseModel:
    """The untrained model of a configuration.

    Args:
        conf: from :func:`load_conf`.
        source: name of one of :func:`experiments`, where there are several. Without it, such a
            configuration gives a ``StemSeparator`` of all of them.

    Raises:
        UserError: if ``source`` is not one of the configuration's, or the model refuses its arguments.
    """
    try:
        return _built(conf, source)
    except UserError:
        raise
    except (TypeError, ValueError) as error:
        raise UserError(f"section model: {conf['model']['model_name']} does not take these values: {error}") from error


def _built(conf: Conf, source: str | None) -> BaseModel:
    if task_name(conf) == "speech":
        arguments = dict(conf["model"])
        return models.get(arguments.pop("model_name"))(**arguments)
    named = {name: sources for name, sources in experiments(conf)}
    if source is not None:
        check_known("source", source, [name for name in named if name] or conf["task"]["sources"])
    if source in named:
        return _music_model(conf_of(conf, source)["model"], named[source])
    if None in named:
        return _music_model(conf["model"], named[None])
    return join_models(conf, [_music_model(conf_of(conf, name)["model"], sources) for name, sources in named.items()])


def join_models(conf: Conf, members: Sequence[BaseModel]) -> StemSeparator:
    """The models of all :func:`experiments`, in their order, as one separator."""
    less = conf["task"].get("less")
    if not less:
        return StemSeparator(members)
    names = [name for name, _ in experiments(conf)]
    for name in less:
        check_known("model", name, names, "in task.less")
    return SeparationSystem(members, less=[less.get(name) for name in names])


def _music_model(section: dict[str, Any], sources: Sequence[str]) -> BaseModel:
    """A model of these sources; one whose class does not take their names stands in a StemSeparator, which knows them."""
    model: BaseModel = build_named(sources=sources, **section)
    return model if model.get_model_args().get("sources") else StemSeparator([model])
