"""Stage 3: separate the test songs with an experiment's best model and score them (uSDR, cSDR)."""
import argparse
import sys
from functools import partial
from pathlib import Path

import torch
from asteroid_bsrnn.recipe.configuration import experiments, load_conf, merge, read_yaml
from asteroid_bsrnn.data import music_data
from asteroid_bsrnn.separation.segments import apply_segments
from asteroid_bsrnn.experiment.energy import Ledger
from asteroid_bsrnn.evaluation import evaluate_music, file_digest
from asteroid_bsrnn.common.errors import UserError
from asteroid_bsrnn.metrics import MEDIAN_RULES
from asteroid_bsrnn.cli.main import guarded
from asteroid_bsrnn.weights import load_model

HERE = Path(__file__).resolve().parent


def experiment_model(exp_dir, conf):
    """The experiment's trained model and its file; says what is missing when training is not done."""
    path = exp_dir / "best_model.pth"
    missing = [name for name, _ in experiments(conf) if name and not (exp_dir / name / "best_model.pth").exists()]
    if missing or not path.exists():
        what = f"no model for {', '.join(missing)}" if missing else "no best_model.pth"
        raise UserError(f"{exp_dir}: {what}; run stage 2 first (with --source all for every source)")
    return load_model(str(path)), path


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--exp_dir", type=Path, required=True)
    parser.add_argument("--inference", default="", help="scheme: fader, fader_reference, ola or whole")
    parser.add_argument("--segment", default="", help="s")
    parser.add_argument("--hop", default="", help="s, for ola")
    parser.add_argument("--median_rule", default="numpy", choices=MEDIAN_RULES, help="over frames; lower: as published")
    parser.add_argument("--out_dir", type=Path, help="where the results go, when not into exp_dir")
    parser.add_argument("--musdb_root", default="", help="folder with test/, when not the one of training")
    args = parser.parse_args(argv)
    if not (args.exp_dir / "conf.yml").exists():
        raise UserError(f"{args.exp_dir} is no experiment: it has no conf.yml; run stage 2 first")
    conf = merge(load_conf(HERE), read_yaml(args.exp_dir / "conf.yml"), origin=args.exp_dir / "conf.yml")
    given = {"scheme": args.inference, "segment": args.segment and float(args.segment), "hop": args.hop and float(args.hop)}
    changes = {"inference": {key: value for key, value in given.items() if value != ""}}
    changes["data"] = {"root": args.musdb_root} if args.musdb_root else {}
    conf = merge(conf, changes, origin="command line")
    sources, data = tuple(conf["task"]["sources"]), music_data(conf, HERE)
    model, path = experiment_model(args.exp_dir, conf)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    separate = partial(apply_segments, model.to(device), sample_rate=conf["model"]["sample_rate"], **conf["inference"])
    energy = {key: conf["energy"][key] for key in ("country", "pue")}
    with Ledger(args.exp_dir / "energy.json").track("test", **energy):
        scores = evaluate_music(
            lambda mixture: separate(mixture.to(device)),
            data.test_set(sources),
            args.out_dir or args.exp_dir,
            sources,
            conf["model"]["sample_rate"],
            conf["inference"],
            data.corpus,
            model_id=file_digest(path),
            median_rule=args.median_rule,
        )
    for name in sources:
        print(f"{name:8s} uSDR {scores[f'usdr_{name}']:6.2f} dB (mixture {scores[f'input_usdr_{name}']:6.2f}, silence 0.00)")


if __name__ == "__main__":
    sys.exit(guarded(main))
