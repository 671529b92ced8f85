"""What experiments cost: parameters, compute, energy, hours, speed, memory; and the energy of everything in ``exp/``."""

from pathlib import Path

import numpy as np

from ...common.files import read_json
from .cells import Cell, Table

PHASES = ("preparation", "training", "validation", "test")


def ledgers(folder):
    """Energy entries of an experiment folder and of the trainings in it, each entry once.

    Args:
        folder (Path): ``exp/<tag>``.

    Returns:
        tuple: list of entries; list of sentences about ledgers that cannot be read.
    """
    entries, problems, seen = [], [], set()
    for path in [folder / "energy.json"] + sorted(folder.glob("*/energy.json")):
        if not path.exists():
            continue
        try:
            found = read_json(path)["entries"]
        except (ValueError, KeyError, TypeError) as error:
            problems.append(f"{path} cannot be read ({error})")
            continue
        for entry in found:
            key = (
                entry.get("run_id"),
                entry.get("phase"),
                str(entry.get("source")),
                entry.get("kwh"),
                entry.get("hours"),
            )
            if key not in seen:
                seen.add(key)
                entries.append(entry)
    return entries, problems


def energy_of(exp, phases=PHASES):
    """kWh of an experiment in some phases, None when nothing was measured."""
    measured = [
        entry["kwh"] for entry in ledgers(exp.path)[0] if entry.get("phase") in phases and entry.get("kwh") is not None
    ]
    return float(sum(measured)) if measured else None


def parameters_of(exp):
    """Trainable parameters of all models of an experiment together, None when not recorded."""
    counts = {name: run.get("n_params") for name, run in exp.runs.items()}
    parts = [count for name, count in counts.items() if name and count is not None]
    whole = counts.get("")
    if isinstance(whole, dict):
        whole = whole.get("total", sum(value for value in whole.values()))
    return whole if whole is not None else sum(parts) if parts else None


def cost_table(exps):
    """Cost of each experiment, as far as it was recorded."""
    columns = [
        "Experiment",
        "Variant",
        "Parameters (M)",
        "GMAC per s",
        "Training (kWh)",
        "Training (h)",
        "Test (kWh)",
        "RTF",
        "Peak memory (GiB)",
    ]
    rows = []
    for exp in exps:
        params = parameters_of(exp)
        hours = [
            entry.get("hours") or 0.0
            for entry in ledgers(exp.path)[0]
            if entry.get("phase") in ("training", "validation")
        ]
        rows.append(
            [
                exp.tag,
                exp.variant,
                Cell(None if params is None else params / 1e6, digits=2, why="not recorded"),
                _recorded(exp, ("gmac_per_second", "gmac"), 2),
                _kwh(exp, ("training", "validation")),
                Cell(float(sum(hours)) if hours else None, digits=2, why="not recorded"),
                _kwh(exp, ("test",)),
                _rtf(exp),
                _memory(exp),
            ]
        )
    notes = [
        "Parameters are those of all source models together. Energy as in the ledger, with its PUE. Training includes its "
        "validation. RTF: seconds of computing per second of sound, mean over the evaluated recordings, on the machine of "
        "that evaluation."
    ]
    return Table("costs", "Costs", columns, rows, notes)


def total_recorded(exp, *keys):
    """First number (of a dictionary, its total) that a run.json holds under one of ``keys``; None without."""
    whole = exp.runs.get("", {})  # the record of the experiment as a whole, where it has several models
    found = [value for key in keys for value in (whole.get(key), exp.info(key)) if value is not None]
    value = found[0].get("total") if found and isinstance(found[0], dict) else found[0] if found else None
    return None if value is None else float(value)


def rtf_of(exp):
    """Seconds of computing per second of sound, mean over the evaluated recordings; None where not recorded."""
    values = exp.scores["rtf"].dropna() if exp.scores is not None and "rtf" in exp.scores else []
    return float(np.mean(values)) if len(values) else None


def _recorded(exp, keys, digits):
    return Cell(total_recorded(exp, *keys), digits=digits, why="not recorded")


def _kwh(exp, phases):
    return Cell(energy_of(exp, phases), digits=4, why="not measured")


def _rtf(exp):
    return Cell(rtf_of(exp), digits=3, why="not evaluated" if exp.scores is None else "not recorded")


def _memory(exp):
    values = [
        run[key]
        for run in exp.runs.values()
        for key in ("peak_memory_bytes", "peak_memory")
        if isinstance(run.get(key), (int, float))
    ]
    return Cell(max(values) / 2**30 if values else None, digits=2, why="not recorded")


def total_energy(folders):
    """Energy of every experiment in the folders that hold the given ones, interrupted runs included.

    Args:
        folders (list of Path): experiment folders; their siblings count too.

    Returns:
        tuple: Table by phase; list of sentences about ledgers that cannot be read.
    """
    parents = list(dict.fromkeys(Path(folder).resolve().parent for folder in folders))
    entries, problems, tags = [], [], 0
    for child in (child for parent in parents for child in sorted(parent.iterdir()) if child.is_dir()):
        found, trouble = ledgers(child)
        entries, problems, tags = entries + found, problems + trouble, tags + bool(found)
    rows = []
    for phase in PHASES + ("all",):
        mine = [entry for entry in entries if phase in ("all", entry.get("phase"))]
        broken = [entry for entry in mine if entry.get("interrupted")]
        rows.append(
            [
                phase,
                len(mine),
                Cell(_sum(mine, "kwh"), digits=4),
                Cell(_sum(mine, "hours"), digits=3),
                len(broken),
                Cell(_sum(broken, "kwh"), digits=4),
            ]
        )
    unmeasured = sum(entry.get("kwh") is None for entry in entries)
    notes = [
        f"All {tags} experiments with a ledger in {', '.join(parent.name for parent in parents)}/, whether or not they are in "
        "this report.",
        "Entries that stand in two ledgers, that of a source and that of its experiment, count once.",
    ]
    notes += [f"{unmeasured} entries have no measured energy and count as 0."] if unmeasured else []
    columns = ["Phase", "Entries", "Energy (kWh)", "Hours", "Interrupted", "of that (kWh)"]
    return Table("total_energy", "Energy of everything that was run", columns, rows, notes), problems


def _sum(entries, key):
    return float(sum(entry.get(key) or 0.0 for entry in entries))
