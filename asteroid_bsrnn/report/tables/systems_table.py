"""Table I: every music separation system with its costs, ours in its row by protocol; and score against operations."""

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

from ...metrics import get
from .. import published
from ..changes import changes_of, variant_words
from ..experiments import Experiment
from ..figures.pareto import draw_pareto
from ..published import SCORES, SOURCES
from .ablation import inference_label
from .cells import Cell, Table
from .costs import compute_of, parameters_of, rtf_of
from .score_cells import source_cells

METRIC = "csdr"  # of the printed table
COSTS = {"params_m": ("Parameters (M)", 1), "gmac": ("GMAC per s", 1), "activations": ("Activations (MiB per s)", 0),
         "cpu": ("CPU (s per s)", 2)}  # fmt: skip
MARK = "†"


def systems() -> dict:
    """The published table."""
    return published.load("table_1_systems")


def variants() -> set[str]:
    """Names of our configurations that have a row."""
    return {variant for row in systems()["rows"] for variant in row.get("variants", ())}


def table_1(exps: Sequence[Experiment] = (), seed: int = 0) -> Table:
    """Table I: test cSDR and costs; single networks, ensembles, other songs and extra data apart.

    Args:
        exps: scored on the MUSDB18-HQ test set by one definition; may be empty.
        seed: of the bootstrap.
    """
    data = systems()
    rows: list[list] = []
    groups: list[str] = []
    known = [exp for exp in exps if exp.variant in variants()]
    for row in data["rows"]:
        mine = [exp for exp in known if exp.variant in row.get("variants", ()) and not _changed(exp)]
        rows += [_published_row(row)] + [_our_row(row, exp, seed) for exp in sorted(mine, key=_by_protocol)]
        groups += [row["group"]] * (1 + len(mine))
    for exp in filter(_changed, known):
        rows.append(_our_row({"name": variant_words(exp)}, exp, seed))
        groups.append("Ours, changed from their variants")
    columns = ["System", "From"] + [score.capitalize() for score in SCORES] + [head for head, _ in COSTS.values()]
    ours = [
        f"Ours: 95 % bootstrap interval over tracks (seed {seed}); CPU: seconds per second on the machine of the evaluation."
    ]
    return Table("table_1" if exps else "table_1_published", f"{data['title']} ({get(METRIC).label}, dB)", columns, rows,
                 _notes(data) + (ours if exps else []), groups)  # fmt: skip


def _changed(exp: Experiment) -> bool:
    """Whether it is another model or training than its variant; the controlled protocol leaves the learning rate open."""
    return bool(set(changes_of(exp)) - ({"optim.lr"} if exp.protocol == "controlled" else set()))


def _by_protocol(exp: Experiment) -> tuple[int, str]:
    order = ("published", "corrected", "controlled")
    protocol = exp.protocol or "published"
    return order.index(protocol) if protocol in order else len(order), exp.tag


def _published_row(row: dict[str, Any]) -> list:
    typos = row.get("printed", {})
    scores = [
        Cell(_float(row.get(score)), digits=1, mark=MARK if score in typos else "", why="not published")
        for score in SCORES
    ]
    costs = [Cell(_float(row.get(key)), digits=digits, why="not counted here") for key, (_, digits) in COSTS.items()]
    members = f" ({row['ensemble']})" if "ensemble" in row else ""
    return [row["name"] + members, "published"] + scores + costs


def _our_row(row: dict[str, Any], exp: Experiment, seed: int) -> list:
    scores = source_cells(exp, get(METRIC), SOURCES, seed)
    params = parameters_of(exp)
    values = {
        "params_m": params and params / 1e6,
        "gmac": compute_of(exp),
        "activations": row.get("activations"),
        "cpu": rtf_of(exp),
    }
    costs = [Cell(_float(values[key]), digits=digits, why="not recorded") for key, (_, digits) in COSTS.items()]
    protocol = exp.protocol or "published"
    return (
        [row["name"], f"ours ({exp.tag}, protocol {protocol}, seed {exp.seed}, {inference_label(exp)})"]
        + scores
        + costs
    )


def _float(value: Any) -> float | None:
    return None if value is None else float(value)


def _notes(data: dict[str, Any]) -> list[str]:
    rows = data["rows"]
    notes = [f"{MARK} Table I prints {printed} for {row['name']}, {source}: a typo, since only {row[source]} gives its average."
             for row in rows for source, printed in row.get("printed", {}).items()]  # fmt: skip
    notes += [f"{row['name']} ({row['group'].lower()}): {row['row_source']}." for row in rows if "row_source" in row]
    return [f"Published: {data['source']}.", *notes, *data["caveats"]]


def draw_systems(exps: Sequence[Experiment] = ()) -> Figure:
    """Average test cSDR against operations per second of every system whose operations are counted.

    Args:
        exps: ours, as for :func:`table_1`.
    """
    points = [(row["name"] + (" (bag)" if "ensemble" in row else ""), row["gmac"], row["average"])
              for row in systems()["rows"] if "gmac" in row and "average" in row]  # fmt: skip
    for exp in exps:
        gmac, cell = compute_of(exp), source_cells(exp, get(METRIC), SOURCES, 0)[-1]
        if gmac and cell.value is not None:
            points.append((f"ours: {exp.tag}", gmac, cell.value))
    return draw_pareto(points, "Table I. Test cSDR against operations", "average test cSDR (dB)",
                       "Operations: multiply-accumulates of all networks that estimate the four sources; scores as in Table I.",
                       cost_label="operations (GMAC per second of music)", logarithmic=True)  # fmt: skip
