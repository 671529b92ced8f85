"""Which experiments may stand in one table: those scored on the same recordings by the same definition."""

import json
from collections.abc import Sequence

from ..experiments import Experiment, corpus_key, metrics_of

FREE_SECTIONS = ("loader", "energy", "inference")  # where, how fast, and how it was evaluated
FREE_KEYS = (
    "seed",
    "root",
    "batch",
    "devices",
    "accelerator",
    "checkpoint_every",
    "keep_best",
    "activation_checkpointing",
)
FIELDS = ("corpus", "subset", "mixtures", "sample rate", "median rule", "sources", "definition of the metric")


def definition(exp: Experiment, shared: set[str]) -> tuple:
    """What the scores of an experiment mean, as one comparable value.

    Args:
        exp: with scores.
        shared: metrics whose definitions count: those that all experiments have.

    Returns:
        Corpus, subset, which mixtures, sample rate, median rule, sources (a silent one takes its frames from the cSDR of
        all), definitions; in the order of :data:`FIELDS`.
    """
    told, data = exp.evaluation, exp.conf.section("data")
    mixtures = [told.stream or data.get("stream"), told.mode or data.get("mode")]
    return (
        corpus_key(exp.corpus),
        str(told.subset),
        ", ".join(str(value) for value in mixtures if value is not None),
        told.sample_rate,
        str(told.median_rule),
        ", ".join(told.sources),
        repr({name: text for name, text in told.metric_definition.items() if name in shared}),
    )


def shared_metrics(experiments: Sequence[Experiment]) -> set[str]:
    """Metrics that every one of some experiments has a definition of; others were added later or by a plug-in."""
    told = [set(exp.evaluation.metric_definition) for exp in experiments if exp.evaluation.metric_definition]
    return {metric.name for metric in metrics_of(experiments)}.intersection(*told)


def comparable_groups(experiments: Sequence[Experiment]) -> list[list[Experiment]]:
    """Experiments with scores in groups that may be compared, in the order of their first member."""
    groups: dict[tuple, list[Experiment]] = {}
    scored = [exp for exp in experiments if exp.scores is not None]
    for task in dict.fromkeys(exp.task for exp in scored):
        shared = shared_metrics([exp for exp in scored if exp.task == task])
        for exp in (exp for exp in scored if exp.task == task):
            alone = exp.is_unfinished or not exp.evaluated
            groups.setdefault((task, exp.path if alone else definition(exp, shared)), []).append(exp)
    places = {id(exp): place for place, exp in enumerate(experiments)}
    return sorted(groups.values(), key=lambda group: places[id(group[0])])


def why_apart(groups: Sequence[Sequence[Experiment]]) -> list[str]:
    """Sentences that say which experiments are kept apart and in what they differ; empty for one group."""
    sentences = []
    for other in groups[1:]:
        one, two = groups[0][0], other[0]
        shared = shared_metrics([one, two])
        found = [
            (name, mine, theirs)
            for name, mine, theirs in zip(FIELDS, definition(one, shared), definition(two, shared))
            if mine != theirs
        ]
        found = found[:1] if found and found[0][0] == "corpus" else found  # another corpus says it all
        differences = [
            name if name == FIELDS[-1] else f"{name} ({mine} against {theirs})" for name, mine, theirs in found
        ]
        names = " and ".join(", ".join(exp.tag for exp in group) for group in (groups[0], other))
        reasons = [f"the training of {exp.tag} is {exp.status}" for exp in (one, two) if exp.is_unfinished]
        reasons += [f"{exp.tag} has no evaluation.json" for exp in (one, two) if not exp.evaluated]
        reason = "; ".join(reasons or differences)
        sentences.append(f"**Not compared:** {names}: {reason}.")
    return sentences


def same_settings(experiments: Sequence[Experiment]) -> list[list[Experiment]]:
    """Experiments of one variant in groups that differ in the seed alone, whose mean and spread mean something."""
    groups: dict[tuple, list[Experiment]] = {}
    for exp in experiments:
        settings = {section: values for section, values in exp.conf.conf.items() if section not in FREE_SECTIONS}
        settings = {
            section: {key: value for key, value in values.items() if key not in FREE_KEYS}
            if isinstance(values, dict)
            else values
            for section, values in settings.items()
        }
        groups.setdefault((exp.protocol, json.dumps(settings, sort_keys=True, default=str)), []).append(exp)
    return list(groups.values())


def ours(group: Sequence[Experiment]) -> str:
    """Label of a row of ours: its seeds when there are several, and its protocol when it is not the published one."""
    whole = [exp for exp in group if not exp.is_unfinished]
    protocol = group[0].protocol if group else None
    words = [f"{protocol} protocol"] if protocol not in (None, "published") else []
    words += [f"seeds {', '.join(str(exp.seed) for exp in whole)}"] if len(whole) > 1 else []
    return f"ours ({'; '.join(words)})" if words else "ours"


def recordings(exps: Sequence[Experiment]) -> str:
    """How many test recordings the scores of some experiments are means of: ``"3000 mixtures"``, empty without scores."""
    counts = sorted({exp.scores.n_recordings for exp in exps if exp.scores is not None})
    what = "mixtures" if exps and exps[0].task == "speech" else "tracks"
    return f"{' or '.join(map(str, counts))} {what}" if counts else ""


def title(exp: Experiment) -> str:
    """Words for a group: ``musdb18hq, test``."""
    status = f", {exp.tag}, training {exp.status}" if exp.is_unfinished else ""
    return f"{exp.corpus or 'unknown corpus'}, {exp.evaluation.subset or 'unknown subset'}{status}"
