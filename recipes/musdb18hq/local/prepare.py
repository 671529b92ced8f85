"""Stages 0 and 1: provide the corpus, write the segment lists. What is there already stays as it is."""
import sys
from contextlib import nullcontext
from pathlib import Path

from asteroid_bsrnn.data import music_data
from asteroid_bsrnn.experiment.energy import Ledger
from asteroid_bsrnn.recipe.options import recipe_conf, recipe_parser
from asteroid_bsrnn.cli.main import guarded

RECIPE = Path(__file__).resolve().parents[1]


def measured(exp_dir, done, *, track, country, pue, flush_seconds):
    """Context in which energy is entered as preparation, unless there is nothing to do."""
    if done or not track:
        return nullcontext()
    return Ledger(exp_dir / "energy.json").track("preparation", country=country, pue=pue)


def main(argv=None):
    parser = recipe_parser(__doc__)
    parser.add_argument("--what", choices=("data", "lists"), required=True)
    parser.add_argument("--download", choices=("true", "false"), default="false", help="fetch MUSDB18-HQ when missing")
    args = parser.parse_args(argv)
    conf, _ = recipe_conf(args, RECIPE)
    data = music_data(conf, RECIPE)
    lists = [] if data.lists_dir is None else [data.lists_dir / f"{name}_train.csv" for name in conf["task"]["sources"]]
    if args.what == "lists":
        with measured(args.exp_dir, all(path.exists() for path in lists), **conf["energy"]):
            data.index()
        print("segment lists: " + (", ".join(map(str, lists)) or "none, whole tracks are drawn from"))
        return
    with measured(args.exp_dir, Path(data.root).exists() or args.download == "false", **conf["energy"]):
        counts = data.prepare(args.download == "true")
    print(f"{data.corpus} in {data.root}: " + ", ".join(f"{count} {split} tracks" for split, count in counts.items()))


if __name__ == "__main__":
    sys.exit(guarded(main))
