"""Stage 2: train the models of one configuration (one per source, or one for all) and join them into one file."""
import sys
from pathlib import Path

from asteroid_bsrnn import losses  # before asteroid, which it repairs
from asteroid.models import BaseModel  # isort: skip
from asteroid_bsrnn.config import build_model, experiments
from asteroid_bsrnn.cost import recipe_cost
from asteroid_bsrnn.data import music_data
from asteroid_bsrnn.engine import fit, seed_everything
from asteroid_bsrnn.engine.recipe import ExperimentRecord, chosen_experiments, recipe_conf, recipe_parser
from asteroid_bsrnn.engine.resume import write_torch
from asteroid_bsrnn.engine.training import training_options
from asteroid_bsrnn.files import read_json, write_json
from asteroid_bsrnn.models import StemSeparator
from asteroid_bsrnn.scripts.main import guarded

HERE = Path(__file__).resolve().parent


def train(conf, name, sources, exp_dir, info, allow_changes):
    """Train the model called ``name`` (None: the one for all sources) in its folder of the experiment."""
    seed_everything(conf["training"]["seed"])
    model = build_model(conf, name)
    data = music_data(conf, HERE)
    loss = dict(conf["loss"])
    loss_func = losses.get(loss.pop("name"))(n_fft=model.n_fft, n_hop=model.n_hop, **loss)
    return fit(
        model,
        data.train_set(sources, conf["training"]["seed"]),
        data.valid_set(sources),
        loss_func,
        conf,
        exp_dir / (name or ""),
        run_info={**info, "corpus": data.corpus, "source": name, "gmac_per_second": recipe_cost(conf, True)[1][name or "total"]},
        allow_changes=allow_changes,
        ledger=exp_dir / "energy.json",
    )


def join(conf, exp_dir):
    """Write ``best_model.pth`` and ``best_k_models.json`` of the experiment once each source has its model."""
    names = [name for name, _ in experiments(conf) if name]
    files = [exp_dir / name / "best_model.pth" for name in names]
    if files and all(file.exists() for file in files):
        best = {name: read_json(exp_dir / name / "best_k_models.json") for name in names}
        best = {f"{name}/{path}": value for name, paths in best.items() for path, value in paths.items()}
        write_json(exp_dir / "best_k_models.json", best)
        separator = StemSeparator([BaseModel.from_pretrained(str(file)) for file in files])
        write_torch(separator.serialize(), exp_dir / "best_model.pth")


def main(argv=None):
    parser = recipe_parser(__doc__)
    parser.add_argument("--source", default="all", help="all, one source, or several with commas")
    args = parser.parse_args(argv)
    conf, info = recipe_conf(args, HERE)
    training_options(conf)
    chosen = chosen_experiments(conf, args.source)
    allow_changes = bool(args.resume_with)
    whole = {**info, "corpus": conf["data"]["corpus"], "gmac_per_second": recipe_cost(conf, True)[1]}
    with ExperimentRecord(args.exp_dir, conf, whole, [name for name, _ in chosen], allow_changes) as record:
        for name, sources in chosen:
            print(f"Training {name or 'one model for ' + ', '.join(sources)} in {args.exp_dir / (name or '')}", flush=True)
            record.finished(name, train(conf, name, sources, args.exp_dir, info, allow_changes))
        join(conf, args.exp_dir)


if __name__ == "__main__":
    sys.exit(guarded(main))
