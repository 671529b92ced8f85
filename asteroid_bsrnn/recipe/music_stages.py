"""Stages 0 to 3 of a music recipe. Its scripts hold nothing but the folder in which they stand."""

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from asteroid.models import BaseModel

from ..common.errors import UserError
from ..common.files import read_json, write_json
from ..common.precision import use_tf32
from ..data import music_data
from ..evaluation import evaluate_music, file_digest
from ..experiment.energy import LEDGER_FILE
from ..metrics import MEDIAN_RULES, of_task
from ..models.system import SeparationSystem
from ..separation.own_plans import follow_plans
from ..separation.segments import apply_segments
from ..training.devices import is_first_process
from ..training.fit import fit, training_options
from ..training.seeds import seed_everything
from ..training.state.checkpoints import write_torch
from ..weights import load_model
from .building import build_model, join_models
from .command_line import ExperimentRecord, chosen_experiments, make_loss, measured, recipe_conf, recipe_parser
from .configuration import Conf, conf_of, experiments, load_conf, merge, read_yaml
from .cost import recipe_cost
from .preflight import check_inference


def prepare(recipe_dir: str | Path, argv: Sequence[str] | None = None) -> None:
    """Stages 0 and 1: provide the corpus, write the segment lists. What is there already stays as it is."""
    parser = recipe_parser(prepare.__doc__)
    parser.add_argument("--what", choices=("data", "lists"), required=True)
    parser.add_argument("--download", choices=("true", "false"), default="false", help="fetch MUSDB18-HQ when missing")
    args = parser.parse_args(argv)
    conf, _ = recipe_conf(args, recipe_dir)
    data = music_data(conf, recipe_dir)
    lists = data.list_paths
    if args.what == "lists":
        with measured(args.exp_dir, "preparation", conf["energy"], all(path.exists() for path in lists)):
            data.index()
        print("segment lists: " + (", ".join(map(str, lists)) or "none, whole tracks are drawn from"))
        return
    with measured(args.exp_dir, "preparation", conf["energy"], Path(data.root).exists() or args.download == "false"):
        counts = data.prepare(args.download == "true")
    print(f"{data.corpus} in {data.root}: " + ", ".join(f"{count} {split} tracks" for split, count in counts.items()))


def train(recipe_dir: str | Path, argv: Sequence[str] | None = None) -> None:
    """Stage 2: train the models of one configuration (one per source, or one for all) and join them into one file."""
    parser = recipe_parser(train.__doc__)
    parser.add_argument("--source", default="all", help="all, one source, or several with commas")
    args = parser.parse_args(argv)
    conf, info = recipe_conf(args, recipe_dir)
    training_options(conf)
    repeated = info.pop("source", None)
    chosen = chosen_experiments(conf, repeated if repeated and args.source == "all" else args.source)
    allow_changes = bool(args.resume_with)
    cost = recipe_cost(conf, True)[1] or {}
    whole = {**info, "corpus": conf["data"]["corpus"], "gmac_per_second": cost}
    with ExperimentRecord(args.exp_dir, conf, whole, [name for name, _ in chosen], allow_changes) as record:
        for name, sources in chosen:
            if is_first_process():
                print(
                    f"Training {name or 'one model for ' + ', '.join(sources)} in {args.exp_dir / (name or '')}",
                    flush=True,
                )
            noted = {**info, "source": name, "gmac_per_second": cost[name or "total"]}
            own = conf_of(conf, name)
            record.finished(name, _train_one(own, name, sources, recipe_dir, args.exp_dir, noted, allow_changes))
        if is_first_process():
            _join(conf, args.exp_dir)


def _train_one(
    conf: Conf,
    name: str | None,
    sources: tuple[str, ...],
    recipe_dir: str | Path,
    exp_dir: Path,
    info: dict[str, Any],
    allow_changes: bool,
) -> dict[str, Any]:
    """Train the model called ``name`` (None: the one for all sources) in its folder of the experiment."""
    seed_everything(conf["training"]["seed"])
    model = build_model(conf, name)
    data = music_data(conf, recipe_dir)
    return fit(
        model,
        data.train_set(sources, conf["training"]["seed"]),
        data.valid_set(sources),
        make_loss(conf, len(sources)),
        conf,
        exp_dir / (name or ""),
        run_info={**info, "corpus": data.corpus},
        allow_changes=allow_changes,
        ledger=exp_dir / LEDGER_FILE,
    )


def _join(conf: Conf, exp_dir: Path) -> None:
    """Write ``best_model.pth`` and ``best_k_models.json`` of the experiment once each source has its model."""
    names = [name for name, _ in experiments(conf) if name]
    files = [exp_dir / name / "best_model.pth" for name in names]
    if files and all(file.exists() for file in files):
        best = {name: read_json(exp_dir / name / "best_k_models.json") for name in names}
        best = {f"{name}/{path}": value for name, paths in best.items() for path, value in paths.items()}
        write_json(exp_dir / "best_k_models.json", best)
        separator = join_models(conf, [BaseModel.from_pretrained(str(file)) for file in files])
        write_torch(separator.serialize(), exp_dir / "best_model.pth")


def _trained_model(exp_dir: Path, conf: Conf) -> tuple[Any, Path]:
    """The experiment's trained model and its file; says what is missing when training is not done."""
    path = exp_dir / "best_model.pth"
    missing = [name for name, _ in experiments(conf) if name and not (exp_dir / name / "best_model.pth").exists()]
    if missing or not path.exists():
        what = f"no model for {', '.join(missing)}" if missing else "no best_model.pth"
        raise UserError(f"{exp_dir}: {what}; run stage 2 first (with --source all for every source)")
    return load_model(str(path)), path


def whole_songs(conf: Conf, model: Any) -> tuple[Any, dict[str, Any]]:
    """What separates whole songs, and how they are given to it: where ``per_source`` gives networks an inference of their
    own, each cuts the song by its own, and it is given the whole.
    """
    own = [conf_of(conf, name)["inference"] for name, _ in experiments(conf)]
    if all(section == conf["inference"] for section in own):
        return model, conf["inference"]
    system = SeparationSystem(model.networks, model.sources, getattr(model, "less", None), plans=own)
    return follow_plans(system.eval()), {"scheme": "whole"}


def _seconds(text: str, option: str) -> float | str:
    """A number that was given as text; nothing stays nothing."""
    try:
        return text and float(text)
    except ValueError:
        raise UserError(f"{option} is a number of seconds, not {text!r}") from None


def evaluate(recipe_dir: str | Path, argv: Sequence[str] | None = None) -> None:
    """Stage 3: separate the test songs with an experiment's best model and score them."""
    parser = argparse.ArgumentParser(description=evaluate.__doc__)
    parser.add_argument("--exp_dir", type=Path, required=True)
    parser.add_argument(
        "--inference", default="", help="scheme: fader, fader_reference, ola, ola_reference, trim or whole"
    )
    parser.add_argument("--segment", default="", help="s")
    parser.add_argument("--hop", default="", help="s, for ola and ola_reference")
    parser.add_argument("--median_rule", default="numpy", choices=MEDIAN_RULES, help="over frames; lower: as published")
    parser.add_argument("--out_dir", type=Path, help="where the results go, when not into exp_dir")
    parser.add_argument("--musdb_root", default="", help="folder with test/, when not the one of training")
    args = parser.parse_args(argv)
    if not (args.exp_dir / "conf.yml").exists():
        raise UserError(f"{args.exp_dir} is no experiment: it has no conf.yml; run stage 2 first")
    conf = merge(load_conf(recipe_dir), read_yaml(args.exp_dir / "conf.yml"), origin=args.exp_dir / "conf.yml")
    given = {
        "scheme": args.inference,
        "segment": _seconds(args.segment, "--segment"),
        "hop": _seconds(args.hop, "--hop"),
    }
    changes = {"inference": {key: value for key, value in given.items() if value != ""}}
    changes["data"] = {"root": args.musdb_root} if args.musdb_root else {}
    conf = merge(conf, changes, origin="command line")
    check_inference(conf)
    sources, data = tuple(conf["task"]["sources"]), music_data(conf, recipe_dir)
    model, path = _trained_model(args.exp_dir, conf)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    use_tf32(conf["training"].get("tf32", False))  # scores in the precision of the training, not PyTorch's own choice
    rate = int(model.sample_rate)
    cut, how = (model, conf["inference"]) if changes["inference"] else whole_songs(conf, model)
    separate: Callable[[torch.Tensor], torch.Tensor] = partial(apply_segments, cut.to(device), sample_rate=rate, **how)
    with measured(args.exp_dir, "test", {**conf["energy"], "track": True}):
        scores = evaluate_music(
            lambda mixture: separate(mixture.to(device)),
            data.test_set(sources),
            args.out_dir or args.exp_dir,
            sources,
            rate,
            conf["inference"],
            data.corpus,
            model_id=file_digest(path),
            median_rule=args.median_rule,
        )
    first = of_task("music")[0]
    for name in sources:
        output, before = (scores[f"{prefix}{first.name}_{name}"] for prefix in ("", "input_"))
        print(
            f"{name:8s} {first.label} {output:6.2f} {first.unit} (mixture {before:6.2f}, silence {first.silence:.2f})"
        )
