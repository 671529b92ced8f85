"""Stages 0 to 3 of the speech recipes. Their scripts differ in nothing but the folder in which they stand."""

import argparse
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from ..common.errors import UserError
from ..common.precision import use_tf32
from ..data import speech_data
from ..evaluation import evaluate_speech, file_digest
from ..experiment.evaluation import read_evaluation
from ..metrics import Metric, of_task
from ..training.fit import fit, training_options
from ..training.seeds import seed_everything
from ..training.systems import SpeechSystem
from ..weights import load_model
from .building import build_model
from .command_line import add_overrides, given_overrides, make_loss, measured, recipe_conf, recipe_parser
from .configuration import load_conf, merge, read_yaml
from .cost import recipe_cost
from .overrides import parse_overrides

NORMALISATION_ITEMS = 500  # training crops from which the statistics of spectral features are taken


def prepare(recipe_dir: str | Path, argv: Sequence[str] | None = None) -> None:
    """Stages 0 and 1: provide speech and lists, then mix. What is there already stays as it is."""
    parser = recipe_parser(prepare.__doc__)
    parser.add_argument("--what", choices=("data", "mixtures"), required=True)
    parser.add_argument("--download", choices=("true", "false"), default="false", help="fetch real voices when missing")
    args = parser.parse_args(argv)
    conf, _ = recipe_conf(args, recipe_dir)
    data = speech_data(conf, recipe_dir)
    done = data.is_prepared if args.what == "data" else data.is_indexed
    with measured(args.exp_dir, "preparation", conf["energy"], done):
        if args.what == "data":
            print(data.prepare(args.download == "true"))
            return
        for split, record in data.index().items():
            left_out = f", {record['left_out']} left out (files missing or broken)" if record["left_out"] else ""
            print(f"{split}: {record['mixtures']} mixtures, {record['hours']:.2f} h{left_out}")


def train(recipe_dir: str | Path, argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Stage 2: train the model of one configuration, or go on with it."""
    args = recipe_parser(train.__doc__).parse_args(argv)
    conf, info = recipe_conf(args, recipe_dir)
    info.pop("source", None)
    training_options(conf)
    data = speech_data(conf, recipe_dir)
    seed_everything(conf["training"]["seed"])
    model = build_model(conf)
    train_set = data.train_set(conf["training"]["seed"])
    if train_set.dropped:
        print(f"{train_set.dropped} training mixtures are shorter than {data.segment:g} s and left out")
    if hasattr(model, "fit_normalisation"):
        model.fit_normalisation(islice((train_set[(0, index)] for index in range(len(train_set))), NORMALISATION_ITEMS))
    print(f"Training {conf['model']['model_name']} in {args.exp_dir}", flush=True)
    return fit(
        model,
        train_set,
        data.valid_set(),
        make_loss(conf, data.n_src),
        conf,
        args.exp_dir,
        system_cls=SpeechSystem,
        run_info={**info, "corpus": data.name, "gmac_per_second": recipe_cost(conf, True)[1]},
        allow_changes=bool(args.resume_with),
    )


def evaluate(recipe_dir: str | Path, argv: Sequence[str] | None = None) -> dict[str, float]:
    """Stage 3: separate the test mixtures with an experiment's best model and score them and their gains over it."""
    parser = argparse.ArgumentParser(description=evaluate.__doc__)
    parser.add_argument("--exp_dir", type=Path, required=True)
    add_overrides(parser, "where the data is now: data.KEY=VALUE")
    parser.add_argument("--n_examples", type=int, default=10, help="mixtures to keep as audio; -1: all")
    parser.add_argument("--model", help="another model than the experiment's best: a file or a published name")
    parser.add_argument("--scores", nargs="*", default=[], metavar="NAME", help="optional scores of speech, by name")
    parser.add_argument("--out_dir", type=Path, help="where the results go, when not into exp_dir")
    args = parser.parse_args(argv)
    if not (args.exp_dir / "conf.yml").exists():
        raise UserError(f"{args.exp_dir} is no experiment: it has no conf.yml; run stage 2 first")
    source = args.model or args.exp_dir / "best_model.pth"
    if not args.model and not source.exists():
        raise UserError(f"{args.exp_dir}: no best_model.pth; run stage 2 to its end first")
    conf = merge(load_conf(recipe_dir), read_yaml(args.exp_dir / "conf.yml"), origin=args.exp_dir / "conf.yml")
    changes = parse_overrides(given_overrides(args), conf)
    if set(changes) - {"data"}:
        raise UserError(
            f"evaluation takes changes of the section data only, not of {sorted(set(changes) - {'data'})[0]}"
        )
    data = speech_data(merge(conf, changes, origin="--set"), recipe_dir)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    use_tf32(conf["training"].get("tf32", False))  # scores in the precision of the training, not PyTorch's own choice
    with measured(args.exp_dir, "test", conf["energy"]):
        scores = evaluate_speech(
            load_model(str(source)),
            data.test_set(),
            args.out_dir or args.exp_dir,
            data.name,
            model_id=file_digest(source) if Path(source).is_file() else str(source),
            about={"stream": data.stream, "mode": data.mode},
            device=device,
            n_examples=args.n_examples,
            extra=args.scores,
        )
    evaluation, metrics = read_evaluation(args.out_dir or args.exp_dir), of_task("speech")
    gains = ", ".join(_gain(metric, scores, evaluation.intervals if evaluation else {}) for metric in metrics)
    before = metrics[0]
    print(f"{gains} (mixture: {scores[before.columns[0]]:.2f} {before.unit} {before.label})")
    return scores


def _gain(metric: Metric, scores: Mapping[str, float], intervals: Mapping[str, Sequence[float]]) -> str:
    """A gain in words, with its interval over speakers where it is known who speaks."""
    name = metric.columns[-1]
    between = " [{:.2f}, {:.2f}]".format(*intervals[name]) if name in intervals else ""
    return f"{metric.gain_heading} {scores[name]:.2f} {metric.unit}{between}"
