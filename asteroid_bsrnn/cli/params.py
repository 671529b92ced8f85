"""``asteroid-bsrnn params``: how many parameters a configuration has, and what it costs to run."""

import argparse
from typing import Any


def add_parser(subparsers: Any) -> None:
    """Add this command to the console command."""
    parser = subparsers.add_parser("params", help="parameters and operations of a recipe's models")
    parser.add_argument("recipe", help="recipe folder, for example recipes/musdb18hq")
    parser.add_argument("--variant", help="name of one of the recipe's variants (default: the base configuration)")
    parser.add_argument("--all", action="store_true", help="every variant, one line each")
    parser.add_argument("--cost", action="store_true", help="operations too, of every variant unless one is named")
    parser.add_argument("--json", action="store_true", help="print JSON and nothing else")


def run(args: argparse.Namespace) -> None:
    """Print the counts."""
    import json

    from ..common.errors import UserError
    from ..recipe.configuration import load_conf
    from ..recipe.cost import recipe_cost
    from ..recipe.variants import variant_names

    if args.all and args.variant:
        raise UserError("--all and --variant exclude each other")
    every = args.all or (args.cost and not args.variant)
    rows = {}
    for variant in [None, *variant_names(args.recipe)] if every else [args.variant]:
        rows[variant or "conf.yml"] = recipe_cost(load_conf(args.recipe, variant), with_macs=args.cost)
    params, gmac = next(iter(rows.values()))
    if args.json:
        told = {name: {**row, "gmac_per_second": cost} if args.cost else row for name, (row, cost) in rows.items()}
        print(json.dumps(told if every else next(iter(told.values()))))
    elif every:
        print(f"{'variant':<28} {'parameters':>13}" + ("  GMAC per second of audio" if args.cost else ""))
        for name, (row, cost) in rows.items():
            print(f"{name:<28} {row['total']:>13,}" + (f"  {cost['total']:24.2f}" if cost else ""))
    else:
        for name, count in params.items():
            rate = f"{gmac[name]:10.2f} GMAC per second of audio" if gmac else ""
            print(f"{name:<10} {count:>13,}{rate}")
