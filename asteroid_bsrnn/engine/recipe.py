"""The options that ``train.py`` and ``eval.py`` of every recipe share, and what they mean."""
import argparse
from pathlib import Path

from ..config import PROTOCOLS, load_conf


def recipe_parser(description):
    """Argument parser with the options by which a recipe picks its configuration."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--exp_dir", type=Path, required=True, help="folder of the experiment")
    parser.add_argument("--variant", help="file in local/variants, without .yml")
    parser.add_argument("--protocol", default="published", choices=PROTOCOLS)
    parser.add_argument("--overlay", type=Path, action="append", default=[], help="YAML file laid over the variant")
    parser.add_argument("--set", nargs="*", default=[], metavar="SECTION.KEY=VALUE", help="single values, laid over all")
    parser.add_argument("--seed", type=int, help="short for --set training.seed=SEED")
    return parser


def recipe_conf(args, recipe_dir):
    """The configuration that the options of :func:`recipe_parser` ask for."""
    overrides = list(args.set) + ([f"training.seed={args.seed}"] if args.seed is not None else [])
    return load_conf(recipe_dir, args.variant, overrides, args.overlay, args.protocol)
