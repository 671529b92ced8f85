"""What ``train.py`` and ``eval.py`` of every recipe share: options, the configuration they mean, the experiment's record."""

import argparse
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import torch

from .. import losses
from ..common.errors import UserError
from ..common.files import full_disk_explained, remove_leftovers
from ..common.registry import check_known
from ..experiment.energy import LEDGER_FILE, Ledger
from ..experiment.run import RunRecord, changed_from, now
from ..experiment.run_file import Run, read_run
from ..models.names import named_arguments
from ..training.devices import is_first_process
from ..training.options import section_defaults
from ..training.state.mending import refuse_damaged
from .configuration import PROTOCOLS, Conf, experiments, load_conf, merge
from .overrides import parse_overrides, split_overrides
from .preflight import preflight
from .repeat import repeat
from .variants import variant_names


def recipe_parser(description: str | None) -> argparse.ArgumentParser:
    """Argument parser with the options by which a recipe picks its configuration."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--exp_dir", type=Path, required=True, help="folder of the experiment")
    parser.add_argument("--variant", help="name of a variant file, without .yml, or the path of one")
    parser.add_argument("--protocol", default="published", choices=PROTOCOLS)
    parser.add_argument("--overlay", type=Path, action="append", default=[], help="YAML file laid over the variant")
    parser.add_argument("--demo", action="store_true", help="give the model the demonstration size of its family")
    add_overrides(parser, "single values, laid over all")
    parser.add_argument("--seed", type=int, help="short for --set training.seed=SEED")
    parser.add_argument("--repeat", default="", metavar="RUN_JSON", help="take everything from an earlier run")
    parser.add_argument("--resume_with", default="", metavar="SECTION.KEY=VALUE ...", help="changes when a run goes on")
    return parser


def add_overrides(parser: argparse.ArgumentParser, what: str) -> None:
    """The options ``--set`` (several values in one text or in several) and ``--place`` (one value, all of it)."""
    parser.add_argument("--set", nargs="*", default=[], metavar="SECTION.KEY=VALUE", help=what)
    parser.add_argument(
        "--place", action="append", default=[], metavar="SECTION.KEY=PATH", help="a path, whatever is in it"
    )


def given_overrides(args: argparse.Namespace) -> list[str]:
    """What these options hold, one ``section.key=value`` each."""
    return split_overrides(args.set) + args.place


def recipe_conf(args: argparse.Namespace, recipe_dir: str | Path) -> tuple[Conf, dict[str, Any]]:
    """The configuration that the options of :func:`recipe_parser` ask for, and what is to be noted of it.

    Returns:
        Configuration, ``{"variant": ..., "protocol": ...}``, what it changes of that variant (``changed``); with
        ``--repeat`` also the ``source`` of that run.

    Raises:
        UserError: for everything that cannot be meant; see :func:`asteroid_bsrnn.recipe.configuration.load_conf`.
    """
    overrides = given_overrides(args) + ([f"training.seed={args.seed}"] if args.seed is not None else [])
    info = {"variant": args.variant, "protocol": args.protocol}
    if args.repeat:
        then, known, notes = repeat(args.repeat)
        conf, info = (
            merge(load_conf(recipe_dir), then, origin=args.repeat),
            {key: known[key] for key in (*info, "source")},
        )
        conf = merge(conf, parse_overrides(overrides, conf), origin="override")
        for note in notes:
            print(f"note on {args.repeat}: {note}")
    else:
        conf = load_conf(recipe_dir, args.variant, overrides, args.overlay, args.protocol, args.demo)
    conf = merge(conf, parse_overrides(split_overrides([args.resume_with]), conf), origin="--resume_with")
    preflight(conf, recipe_dir)
    if info["variant"] in (None, *variant_names(recipe_dir)):
        info["changed"] = changed_from(
            conf, load_conf(recipe_dir, info["variant"], protocol=info["protocol"] or PROTOCOLS[0])
        )
    return conf, info


def chosen_experiments(conf: Conf, source: str = "all") -> list[tuple[str | None, tuple[str, ...]]]:
    """Those of :func:`asteroid_bsrnn.recipe.configuration.experiments` that ``--source`` asks for.

    Args:
        source: ``"all"``, or names with commas.

    Raises:
        UserError: for a source that the configuration does not train a model for.
    """
    every = experiments(conf)
    if source == "all":
        return every
    wanted, known = source.split(","), [name for name, _ in every if name]
    for name in wanted:
        check_known("--source", name, ["all", *known], "of this configuration")
    return [entry for entry in every if entry[0] in wanted]


def make_loss(conf: Conf, n_src: int) -> Callable[..., torch.Tensor]:
    """The loss of a configuration; one that takes ``n_src`` is told the number of sources.

    Models that define ``training_loss`` are trained with that instead.
    """
    section = dict(conf["loss"])
    loss = losses.get(section.pop("name"))
    takes = "n_src" in named_arguments(loss) and "n_src" not in section
    try:
        return loss(**section, **({"n_src": n_src} if takes else {}))
    except UserError:
        raise
    except (TypeError, ValueError) as error:
        raise UserError(f"section loss: {conf['loss']['name']} does not take these values: {error}") from error


def measured(exp_dir: str | Path, phase: str, energy: dict[str, Any], done: bool = False) -> AbstractContextManager:
    """Context in which energy is entered under ``phase``, unless there is nothing to do or none is tracked."""
    return (
        nullcontext()
        if done or not energy["track"]
        else Ledger(Path(exp_dir) / LEDGER_FILE).track(phase, country=energy["country"], pue=energy["pue"])
    )


class ExperimentRecord:
    """``conf.yml`` and ``run.json`` of an experiment that consists of several models, each with a folder of its own.

    An experiment of one model is recorded by ``fit`` alone; then this does nothing. Nor does it when all that is asked
    for was finished before.

    Args:
        exp_dir: folder of the experiment.
        conf: configuration.
        info: further entries of ``run.json``.
        names: models that are to be trained now.
        allow_changes: whether values may differ from those that the folder was begun with.

    Raises:
        UserError: if the folder holds another configuration, or the folder of a model cannot be continued.
    """

    def __init__(
        self, exp_dir: Path, conf: Conf, info: dict[str, Any], names: Iterable[str | None], allow_changes: bool = False
    ) -> None:
        self.record: RunRecord | None = None
        if len(experiments(conf)) == 1 or not is_first_process():
            return
        record = RunRecord(exp_dir, conf, section_defaults(conf))
        remove_leftovers(exp_dir)
        changes, models = record.changes(allow_changes), record.run.models
        joined = (exp_dir / "best_model.pth").exists()
        named = [name for name in names if name]
        for name in named:
            refuse_damaged(exp_dir / name, conf, allow_changes, trained=joined or name in models)
        if changes or any(Run.of(models.get(name, {})).status != "finished" for name in named):
            self.record = record
            record.begin(seed=conf["training"]["seed"], **info)

    def __enter__(self) -> "ExperimentRecord":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.record is None:
            return
        stopped = kind is not None and issubclass(kind, (SystemExit, KeyboardInterrupt))
        status = "finished" if kind is None else "interrupted" if stopped else "failed"
        with full_disk_explained(self.record.folder) if kind is None else suppress(OSError, UserError):
            self.record.end(models=_models(self.record), status=status, ended=now())
        if isinstance(error, OSError):
            with full_disk_explained(self.record.folder):
                raise error

    def finished(self, name: str | None, summary: dict[str, Any]) -> None:
        """Note the outcome of one model."""
        if self.record:
            self.record.update(models={**_models(self.record), name: summary})


def _models(record: RunRecord) -> dict[str, Any]:
    """What is noted by now; jobs that train other sources may have added theirs."""
    run = read_run(record.folder)
    return run.models if run else {}
