"""What ``train.py`` and ``eval.py`` of every recipe share: options, the configuration they mean, the experiment's record."""
import argparse
from pathlib import Path

from ..config import PROTOCOLS, experiments, load_conf, merge, parse_overrides
from ..errors import UserError
from ..files import read_json
from .record import RunRecord, now


def recipe_parser(description):
    """Argument parser with the options by which a recipe picks its configuration."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--exp_dir", type=Path, required=True, help="folder of the experiment")
    parser.add_argument("--variant", help="file in local/variants, without .yml")
    parser.add_argument("--protocol", default="published", choices=PROTOCOLS)
    parser.add_argument("--overlay", type=Path, action="append", default=[], help="YAML file laid over the variant")
    parser.add_argument("--set", nargs="*", default=[], metavar="SECTION.KEY=VALUE", help="single values, laid over all")
    parser.add_argument("--seed", type=int, help="short for --set training.seed=SEED")
    parser.add_argument("--repeat", default="", metavar="RUN_JSON", help="take everything from an earlier run")
    parser.add_argument("--resume_with", default="", metavar="SECTION.KEY=VALUE ...", help="changes when a run goes on")
    return parser


def recipe_conf(args, recipe_dir):
    """The configuration that the options of :func:`recipe_parser` ask for, and what is to be noted of it.

    Returns:
        tuple: configuration, ``{"variant": ..., "protocol": ...}``.

    Raises:
        UserError: for everything that cannot be meant; see :func:`asteroid_bsrnn.config.load_conf`.
    """
    overrides = list(args.set) + ([f"training.seed={args.seed}"] if args.seed is not None else [])
    info = {"variant": args.variant, "protocol": args.protocol}
    if args.repeat:
        run = _read_run(args.repeat)
        conf = merge(load_conf(recipe_dir), run["conf"], origin=args.repeat)
        info = {key: run.get(key) for key in info}
    else:
        conf = load_conf(recipe_dir, args.variant, overrides, args.overlay, args.protocol)
    return merge(conf, parse_overrides(args.resume_with.split()), origin="--resume_with"), info


def _read_run(path):
    run = read_json(path) if Path(path).is_file() else None
    if not isinstance(run, dict) or "conf" not in run:
        raise UserError(f"--repeat {path}: expected the run.json of a run, with its configuration in it")
    return run


def chosen_experiments(conf, source="all"):
    """Those of :func:`asteroid_bsrnn.config.experiments` that ``--source`` asks for.

    Args:
        source (str): ``"all"``, or names with commas.

    Raises:
        UserError: for a source that the configuration does not train a model for.
    """
    every = experiments(conf)
    if source == "all":
        return every
    wanted, known = source.split(","), [name for name, _ in every if name]
    for name in wanted:
        if name not in known:
            allowed = ", ".join(["all", *known])
            raise UserError(f"--source {name!r}: this configuration trains models for {allowed}")
    return [entry for entry in every if entry[0] in wanted]


class ExperimentRecord:
    """``conf.yml`` and ``run.json`` of an experiment that consists of several models, each with a folder of its own.

    An experiment of one model is recorded by ``fit`` alone; then this does nothing.

    Args:
        exp_dir (Path): folder of the experiment.
        conf (dict): configuration.
        info (dict): further entries of ``run.json``.
        allow_changes (bool): whether values may differ from those that the folder was begun with.

    Raises:
        UserError: if the folder holds another configuration.
    """

    def __init__(self, exp_dir, conf, info, allow_changes=False):
        self.record = None
        if len(experiments(conf)) > 1:
            self.record = RunRecord(exp_dir, conf)
            self.record.changes(allow_changes)
            self.record.begin(seed=conf["training"]["seed"], **info)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if self.record:
            stopped = kind is not None and issubclass(kind, (SystemExit, KeyboardInterrupt))
            status = "finished" if kind is None else "interrupted" if stopped else "failed"
            self.record.update(status=status, ended=now())

    def finished(self, name, summary):
        """Note the outcome of one model."""
        if self.record:
            models = {**self.record.values.get("models", {}), name: summary}
            self.record.update(models=models)
