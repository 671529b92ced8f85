"""What experiments cost: parameters, compute, energy, hours, speed, memory; and the energy of everything in ``exp/``."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ...experiment.energy import all_entries
from ...experiment.energy_entry import PHASES, EnergyEntry
from ..experiments import Experiment
from .cells import Cell, Table

Count = float | Mapping[str, float] | None


def energy_of(exp: Experiment, phases: Sequence[str] = PHASES) -> float | None:
    """kWh of an experiment in some phases, None when nothing was measured."""
    measured = [entry.kwh for entry in all_entries(exp.path)[0] if entry.phase in phases and entry.kwh is not None]
    return float(sum(measured)) if measured else None


def parameters_of(exp: Experiment) -> int | None:
    """Trainable parameters of all models of an experiment together, None when not recorded."""
    counts = {name: _total(run.n_params) for name, run in exp.runs.items()}
    parts = [int(count) for name, count in counts.items() if name and count is not None]
    whole = counts.get("")
    return int(whole) if whole is not None else sum(parts) if parts else None


def compute_of(exp: Experiment) -> float | None:
    """10^9 multiply-accumulates per second of audio of all models together, None when not recorded."""
    whole = exp.runs.get("")  # the record of the experiment as a whole, where it has several models
    counts = [run.gmac_per_second for run in (whole, *exp.runs.values()) if run and run.gmac_per_second is not None]
    return _total(counts[0]) if counts else None


def rtf_of(exp: Experiment) -> float | None:
    """Seconds of computing per second of sound, mean over the evaluated recordings; None where not recorded."""
    return None if exp.scores is None else exp.scores.rtf


def _total(count: Count) -> float | None:
    """A number, or the total of one for each model."""
    if isinstance(count, Mapping):
        return float(count.get("total", sum(count.values())))
    return None if count is None else float(count)


def cost_table(exps: Sequence[Experiment]) -> Table:
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
        hours = [entry.hours for entry in all_entries(exp.path)[0] if entry.phase in ("training", "validation")]
        rows.append(
            [
                exp.tag,
                exp.variant,
                Cell(None if params is None else params / 1e6, digits=2, why="not recorded"),
                Cell(compute_of(exp), digits=2, why="not recorded"),
                _kwh(exp, ("training", "validation")),
                Cell(float(sum(hours)) if hours else None, digits=2, why="not recorded"),
                _kwh(exp, ("test",)),
                Cell(rtf_of(exp), digits=3, why="not evaluated" if exp.scores is None else "not recorded"),
                _memory(exp),
            ]
        )
    notes = [
        "Parameters are those of all source models together. Energy as in the ledger, with its PUE. Training includes its "
        "validation. RTF: seconds of computing per second of sound, mean over the evaluated recordings, on the machine of "
        "that evaluation."
    ]
    return Table("costs", "Costs", columns, rows, notes)


def _kwh(exp: Experiment, phases: Sequence[str]) -> Cell:
    return Cell(energy_of(exp, phases), digits=4, why="not measured")


def _memory(exp: Experiment) -> Cell:
    values = [run.peak_memory_bytes for run in exp.runs.values() if run.peak_memory_bytes is not None]
    return Cell(max(values) / 2**30 if values else None, digits=2, why="not recorded")


def total_energy(folders: Iterable[Path]) -> tuple[Table, list[str]]:
    """Energy of every experiment in the folders that hold the given ones, interrupted runs included.

    Args:
        folders: experiment folders; their siblings count too.

    Returns:
        Table by phase; sentences about ledgers that cannot be read.
    """
    parents = list(dict.fromkeys(Path(folder).resolve().parent for folder in folders))
    read = [all_entries(child) for parent in parents for child in sorted(parent.iterdir()) if child.is_dir()]
    entries = [entry for found, _ in read for entry in found]
    tags = sum(bool(found) for found, _ in read)
    rows = []
    for phase in (*PHASES, "all"):
        mine = [entry for entry in entries if phase in ("all", entry.phase)]
        broken = [entry for entry in mine if entry.interrupted]
        rows.append(
            [
                phase,
                len(mine),
                Cell(_kwh_sum(mine), digits=4),
                Cell(float(sum(entry.hours for entry in mine)), digits=3),
                len(broken),
                Cell(_kwh_sum(broken), digits=4),
            ]
        )
    unmeasured = sum(entry.kwh is None for entry in entries)
    notes = [
        f"All {tags} experiments with a ledger in {', '.join(parent.name for parent in parents)}/, whether or not they are in "
        "this report.",
        "Entries that stand in two ledgers, that of a source and that of its experiment, count once.",
    ]
    notes += [f"{unmeasured} entries have no measured energy and count as 0."] if unmeasured else []
    columns = ["Phase", "Entries", "Energy (kWh)", "Hours", "Interrupted", "of that (kWh)"]
    problems = [problem for _, trouble in read for problem in trouble]
    return Table("total_energy", "Energy of everything that was run", columns, rows, notes), problems


def _kwh_sum(entries: Iterable[EnergyEntry]) -> float:
    return float(sum(entry.kwh or 0.0 for entry in entries))
