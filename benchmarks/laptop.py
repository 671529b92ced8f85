"""``python -m benchmarks.laptop [VARIANT ...]``: what each shipped network costs on a processor; writes docs/choosing.md.

Networks are built at full size and run one after the other, each in a process of its own whose memory is limited. Variants
that differ in their training alone are measured once; rows of variants that are not asked for stay as they are.
"""

import argparse
import re
import resource
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from asteroid_bsrnn.common.files import write_text
from asteroid_bsrnn.metrics import get
from asteroid_bsrnn.recipe.building import build_model
from asteroid_bsrnn.recipe.configuration import load_conf, task_name
from asteroid_bsrnn.recipe.variants import variant_files
from asteroid_bsrnn.report.published import SOURCES, load

from .contest import contest
from .record import machine

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "choosing.md"
RECIPES = ("musdb18hq", "libri2mix")
TABLES = ("bsrnn_readme", "table_1_systems", "bsrnn_table_3", "bsrnn_table_2", "bsrnn_analysis",
          "afrcnn_readme", "speech_today", "supplement_table_s1", "wsj0_2mix")  # fmt: skip  # the first that has a number
SECONDS = 3.0
HEADER = "| model | task | real-time factor | peak memory | parameters | published |\n|---|---|---:|---:|---:|---|"
BEGIN, END = "<!-- rows: python -m benchmarks.laptop -->", "<!-- end of rows -->"
Costs = tuple[str, str]


def main(argv: list[str] | None = None) -> None:
    """Measure the variants that are asked for, all if none is, and write their rows as soon as each is known."""
    known = shipped()
    parser = argparse.ArgumentParser(prog="python -m benchmarks.laptop", description=__doc__.splitlines()[0])
    parser.add_argument("variants", nargs="*", metavar="VARIANT", help="of the recipes; default: all")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--limit", type=float, default=8.0, help="GiB of address space of each process")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="length of the noise")
    parser.add_argument("--demo", action="store_true", help="networks of demonstration size, to see that it runs")
    parser.add_argument("--page", type=Path, default=PAGE)
    args = parser.parse_args(argv)
    unknown = [name for name in args.variants if name not in known]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; known are {', '.join(known)}")
    if args.page == PAGE and (args.demo or args.seconds != SECONDS):
        parser.error("--demo and --seconds measure nothing worth keeping: say with --page where the rows may go")
    measured: dict[str, Costs] = {}
    for name in args.variants or known:
        line = row(known[name], name, args, measured)
        print(line, flush=True)
        keep(args.page, name, line, f"{machine()[0].split(',')[0]}, {args.threads} threads")


def shipped() -> dict[str, Path]:
    """Variant -> recipe folder, those of music first."""
    folders = [ROOT / "recipes" / name for name in RECIPES]
    return {name: folder for folder in folders for name in variant_files(folder)}


def make_pass(recipe: Path, variant: str, demo: bool, seconds: float, limit: float) -> Callable[[], None]:
    """A function that separates noise once, with all networks that the sources need."""
    if hasattr(resource, "RLIMIT_AS"):
        resource.setrlimit(resource.RLIMIT_AS, (int(limit * 2**30), resource.getrlimit(resource.RLIMIT_AS)[1]))
    conf = load_conf(recipe, variant, demo=demo)
    model = build_model(conf).eval()
    wav = 0.1 * torch.randn(1, *(() if task_name(conf) == "speech" else (2,)), int(seconds * model.sample_rate))

    def task() -> None:
        with torch.inference_mode():
            model(wav)

    return task


def row(recipe: Path, name: str, args: argparse.Namespace, measured: dict[str, Costs]) -> str:
    """One line of the table; ``measured`` holds the costs of networks that were already run."""
    conf = load_conf(recipe, name, demo=args.demo)
    with torch.device("meta"):
        model = build_model(conf)
    weights = sum(parameter.numel() for parameter in model.parameters())
    network = f"{type(model).__name__} {model.get_model_args()}"
    if network not in measured:
        measured[network] = costs(recipe, name, args, 4 * weights)
    cells = (f"`{name}`", task_name(conf), *measured[network], f"{weights / 1e6:.1f} M", published(name))
    return "| " + " | ".join(cells) + " |"


def costs(recipe: Path, name: str, args: argparse.Namespace, weight_bytes: int) -> Costs:
    """Real-time factor, and memory with the weights, as cells."""
    passing = {"recipe": recipe, "variant": name, "demo": args.demo, "seconds": args.seconds, "limit": args.limit}
    try:
        outcome = contest({name: (make_pass, passing, True)}, args.repeats, args.threads)[name]
    except RuntimeError as error:
        return "-", f"over {args.limit:g} GiB" if "memory" in str(error).lower() else "did not run"
    factor = statistics.median(outcome.seconds) / args.seconds
    return f"{factor:.2f}", f"{(outcome.peak_bytes + weight_bytes) / 2**20:.0f} MiB"


def published(variant: str) -> str:
    """The score of a variant in the first published table that has one, with metric, corpus and subset."""
    for table in map(load, TABLES):
        for entry in table["rows"]:
            if variant in (entry.get("variant"), *_single(entry.get("variants"))) and (found := score(table, entry)):
                return found
    return "-"


def _single(variants: list[str] | None) -> list[str]:
    """The variant of a row that stands for one alone."""
    return variants if variants and len(variants) == 1 else []


def score(table: dict[str, Any], entry: dict[str, Any]) -> str:
    """What a row says: music, the average of its sources or what it has of them; speech, the gain over the mixture."""
    metrics = table["metric"] if isinstance(table["metric"], list) else [table["metric"]]
    if table["corpus"] == "musdb18hq":
        metric = metrics[-1]  # cSDR, where a table has both
        scores = entry.get(metric, entry) or {}
        source = "average" if "average" in scores else next((source for source in SOURCES if source in scores), None)
        what = "" if source == "average" else f" of {source}"
        return f"{get(metric).label}{what} {scores[source]} dB, musdb18hq {table['subset']}" if source else ""
    for corpus in ("libri2mix", "wsj0-2mix"):
        here = entry if table["corpus"] == corpus else entry.get(corpus, {})
        value = here.get(metrics[0]) if isinstance(here, dict) else here
        if value is not None:
            return f"{get(metrics[0].removesuffix('_imp')).gain_heading} {value} dB, {corpus} {table['subset']}"
    return ""


def keep(page: Path, name: str, line: str, where: str) -> None:
    """Put a line in its place among those of the page."""
    text = page.read_text(encoding="utf-8") if page.exists() else f"{BEGIN}\n{END}\n"
    before, inside, after = re.split(f"{re.escape(BEGIN)}\n|{re.escape(END)}", text)
    rows = {found[1]: found[0] for found in re.finditer(r"^\| `(\w+)` \|.*$", inside, re.MULTILINE)} | {name: line}
    ordered = [rows[key] for key in shipped() if key in rows]
    body = "\n".join([f"Measured on {where}.", "", HEADER, *ordered])
    write_text(page, f"{before}{BEGIN}\n{body}\n{END}{after}")


if __name__ == "__main__":
    main()
