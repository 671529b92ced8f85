"""The numbers that others published, as data: one YAML file per table, with source, metric, corpus and caveats.

Every file has the keys ``title source corpus subset metric unit caveats rows``. ``rows`` keeps the source's order;
``variant`` is the name of our configuration of that row, or null where we have none. A number that the source does
not state is absent.
"""

from pathlib import Path
from typing import Any

import yaml


HERE = Path(__file__).parent
NAMES = tuple(sorted(path.stem for path in HERE.glob("*.yml")))


def load(name: str) -> dict[str, Any]:
    """Read one published table.

    Args:
        name: one of :data:`NAMES`, e.g. ``"bsrnn_table_2"``.

    Returns:
        The file's content.
    """
    if name not in NAMES:
        raise ValueError(f"no published table called {name!r}; there are {', '.join(NAMES)}")
    return yaml.safe_load((HERE / f"{name}.yml").read_text(encoding="utf-8"))


def _sources(row: dict[str, Any]) -> tuple[str, ...]:
    """The sources of a row of scores: what stands before their average."""
    keys = list(row)
    return tuple(key for key in keys[: keys.index("average")] if isinstance(row[key], float))


SOURCES = _sources(load("bsrnn_table_1")["rows"][0])
SCORES = (*SOURCES, "average")


def usual_order(source: str) -> tuple[int, str]:
    """Key that sorts sources as the tables do, others behind them by name."""
    return SOURCES.index(source) if source in SOURCES else len(SOURCES), source


def by_variant(table: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Rows of a table that stand for one of our variants, single runs and spreads left out.

    Args:
        table: what :func:`load` returned.

    Returns:
        Variant name -> list of rows.
    """
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in table["rows"]:
        if row.get("variant") and "run" not in row and not row.get("spread"):
            rows.setdefault(row["variant"], []).append(row)
    return rows
