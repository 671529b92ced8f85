"""``write_report``: one folder with an index page, tables and figures of any set of experiments."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from ..common.errors import AudioError, UserError
from .changes import said
from .document import Document
from .examples import triptychs
from .experiments import Experiment, corpus_key, find_experiments
from .figures.curves import draw_learning, draw_runs, validation_scores
from .figures.distributions import draw_boxes
from .figures.fig_table import draw_table
from .figures.pareto import draw_pareto
from .figures.spectrogram import draw_triptych
from .page import build_page
from .published import SOURCES
from .published.drawn import write_published
from .tables import systems_table
from .tables.ablation import CORPUS, table_2, table_3
from .tables.cells import Table
from .tables.comparison import comparable_groups, recordings, title, why_apart
from .tables.costs import cost_table, energy_of, total_energy
from .tables.demo import demo_table, statement
from .tables.score_cells import difference_table, score_table
from .tables.speech_tables import afrcnn_table, table_s1, today_table

MAX_TRIPTYCHS = 6  # per experiment
MAX_RUNS = 8  # in one Figure 2


def write_report(exp_dirs: Iterable[str | Path], out_dir: str | Path, published: bool = False, seed: int = 0) -> Path:
    """Write the report of some experiments.

    Args:
        exp_dirs: experiment folders, or folders that hold them; may be empty with ``published``.
        out_dir: folder to write into.
        published: add the published tables and figures, drawn from the published numbers.
        seed: seed of the bootstrap.

    Returns:
        The index page.

    Raises:
        UserError: when a folder holds no experiment.
    """
    experiments = find_experiments(exp_dirs)
    document = Document(out_dir, "Report of experiments" if experiments else "Published tables and figures")
    if experiments:
        _overview(document, experiments)
        _scores(document, experiments, seed)
        _beside_published(document, experiments, seed)
        _training(document, experiments)
        _sounds(document, experiments)
        _listening_page(document, experiments, seed)
        _costs(document, experiments)
    if published:
        write_published(document)
    return document.write()


def _overview(document: Document, experiments: Sequence[Experiment]) -> None:
    rows = [
        [
            exp.tag,
            exp.variant,
            said(exp) or "nothing",
            exp.corpus or "unknown",
            recordings([exp]) or "not evaluated",
            exp.seed,
            exp.protocol,
            exp.status,
            (exp.first(lambda run: run.commit) or "unknown")[:10],
        ]
        for exp in experiments
    ]
    document.heading("Experiments")
    columns = ["Experiment", "Variant", "Changed", "Corpus", "Test set", "Seed", "Protocol", "Status", "Commit"]
    problems = [f"{exp.tag}: {problem}." for exp in experiments for problem in exp.problems]
    document.table(Table("experiments", "What was read", columns, rows, problems))
    for exp in experiments:
        if exp.is_demo:
            document.text(f"{exp.tag}: {statement(exp)}")


def _scores(document: Document, experiments: Sequence[Experiment], seed: int) -> None:
    groups = comparable_groups(experiments)
    if not groups:
        return
    document.heading("Scores")
    for sentence in why_apart(groups):
        document.text(sentence)
    for i, group in enumerate(groups, start=1):
        demo = any(exp.is_demo for exp in group)
        heading = title(group[0])
        document.text(f"**{heading}**{': a demonstration, not a result' if demo else ''}")
        if demo:
            for exp in group:
                document.table(demo_table(exp, f"demonstration_{_slug(exp.tag)}", seed))
        table = score_table(group, f"scores_{i}", seed)
        table.title = f"Scores (dB): {heading}{', a demonstration' if demo else ''}"
        document.table(table)
        differences = difference_table(group, f"differences_{i}", seed)
        if differences is not None:
            document.table(differences)
        subtitle = f"{heading}{': a demonstration, not a result' if demo else ''}"
        document.figure(draw_boxes(group, subtitle), f"boxes_{i}", f"Scores of every recording, {subtitle}")


def _beside_published(document: Document, experiments: Sequence[Experiment], seed: int) -> None:
    real = [exp for exp in experiments if not exp.is_demo]
    music = [exp for exp in real if corpus_key(exp.trained_on or exp.corpus) == CORPUS]
    speech = [exp for exp in real if exp.task == "speech"]
    if not music and not speech:
        document.text("No experiment here is on a corpus of the papers, so none is set beside published numbers.")
        return
    document.heading("Beside the published numbers")
    if music:
        document.table(table_2(music))
        tests = [
            exp for exp in music if exp.scores is not None and not exp.is_unfinished and exp.evaluation.subset == "test"
        ]
        for i, group in enumerate(comparable_groups(tests), start=1):
            table = table_3(group, seed)
            table.name += f"_{i}" if i > 1 else ""
            document.table(table)
            _systems(document, group, i, seed)
        _pareto(document, music)
    if speech:
        for table in (table_s1(speech, seed), afrcnn_table(speech, seed), today_table(speech, seed)):
            document.table(table)
            document.figure(draw_table(table), table.name, f"{table.title}, as a picture")


def _systems(document: Document, group: Sequence[Experiment], number: int, seed: int) -> None:
    """Table I with ours, where there are any of its systems."""
    if not any(exp.variant in systems_table.variants() for exp in group):
        return
    end = f"_{number}" if number > 1 else ""
    table = systems_table.table_1(group, seed)
    table.name += end
    document.table(table)
    document.figure(
        systems_table.draw_systems(group),
        f"table_1_operations{end}",
        "Average test cSDR of the systems of Table I and of ours against their operations per second of music",
    )


def _pareto(document: Document, music: Sequence[Experiment]) -> None:
    points = []
    for exp in (exp for exp in music if not exp.is_unfinished):
        scores, energy = validation_scores(exp), energy_of(exp, ("training", "validation"))
        if energy and (all(source in scores for source in SOURCES) or "average" in scores):
            average = np.mean([scores[source] for source in SOURCES]) if SOURCES[0] in scores else scores["average"]
            points.append((exp.tag, energy, float(average)))
    if points:
        fig = draw_pareto(
            points,
            "Figure 3. Validation uSDR against training energy, ours",
            "average validation uSDR (dB)",
            "Energy: training and validation of all sources, from the ledger of each experiment.",
        )
        document.figure(
            fig, "figure_3", "Figure 3: average validation uSDR of our experiments against their training energy"
        )
    else:
        document.text(
            "Figure 3 needs experiments with a validation score for each source and a measured energy: none here."
        )


def _training(document: Document, experiments: Sequence[Experiment]) -> None:
    trained = [exp for exp in experiments if exp.histories]
    if not trained:
        return
    document.heading("Training")
    for i, (corpus, source, variants) in enumerate(_runs(trained), start=1):
        label = f"{corpus}, a demonstration" if variants[0].is_demo else corpus
        fig = draw_runs(variants, source, label)
        if fig is not None:
            document.figure(
                fig, f"figure_2_{i}", f"Figure 2: validation score over epochs, {source or 'all sources'}, {label}"
            )
    for exp in trained:
        document.figure(draw_learning(exp), f"learning_{_slug(exp.tag)}", f"Learning curves of {exp.tag}")


def _runs(trained: Sequence[Experiment]) -> list[tuple[str, str, list[Experiment]]]:
    """Trainings that may share a figure: one corpus, one source; one variant too when there are many."""
    groups: dict[tuple, list[Experiment]] = {}
    for exp in trained:
        variant = exp.variant if len(trained) > MAX_RUNS else None
        for source in exp.histories:
            groups.setdefault((exp.trained_on or exp.corpus or "unknown corpus", source, exp.task, variant), []).append(
                exp
            )
    return [(corpus, source, exps) for (corpus, source, _, _), exps in groups.items()]


def _listening_page(document: Document, experiments: Sequence[Experiment], seed: int) -> None:
    """Build the listening page of all experiments with examples beside the index, and link it."""
    folders = [exp.path for exp in experiments if any((exp.path / "examples").glob("[!.]*"))]
    if not folders:
        return
    document.heading("Listening page")
    try:
        build_page(folders, document.folder / "page", seed)
    except UserError as error:
        document.text(f"No listening page: {error}.")
    else:
        document.text("[Listen to the examples](page/index.html): synchronised, level-matched, with a blind test.")


def _sounds(document: Document, experiments: Sequence[Experiment]) -> None:
    drawn = [(exp, *found) for exp in experiments for found in triptychs(exp)[:MAX_TRIPTYCHS]]
    if not drawn:
        return
    document.heading("Spectrograms")
    for exp, heading, name, paths in drawn:
        try:
            fig = draw_triptych(paths, f"{exp.tag}, {heading}")
        except (AudioError, OSError) as error:
            document.text(f"No picture of {exp.tag}, {heading}: {error}.")
            continue
        document.figure(
            fig, f"triptych_{_slug(exp.tag)}_{_slug(name)}", f"Spectrograms of {heading}: {', '.join(paths)}"
        )


def _costs(document: Document, experiments: Sequence[Experiment]) -> None:
    document.heading("Costs")
    document.table(cost_table(experiments))
    table, problems = total_energy([exp.path for exp in experiments])
    table.notes += problems
    document.table(table)


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "_", text).strip("_")[:80]
