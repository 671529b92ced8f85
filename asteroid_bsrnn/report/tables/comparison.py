"""Which experiments may stand in one table: those scored on the same recordings by the same definition."""

import json

from ..experiments import corpus_key

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


def definition(exp):
    """What the scores of an experiment mean, as one comparable value.

    Args:
        exp (Experiment): with scores.

    Returns:
        tuple: corpus, subset, which mixtures, sample rate, median rule, sources (a silent one takes its frames from the cSDR of all),
        definition; in the order of :data:`FIELDS`.
    """
    told, data = exp.evaluation, exp.info("conf", {}).get("data") or {}
    mixtures = ", ".join(str(told.get(key, data.get(key))) for key in ("stream", "mode") if key in {**data, **told})
    return (
        corpus_key(exp.corpus),
        str(told.get("subset")),
        mixtures,
        told.get("sample_rate"),
        str(told.get("median_rule")),
        ", ".join(told.get("sources") or []),
        repr(told.get("metric_definition")),
    )


def comparable_groups(experiments):
    """Sort experiments with scores into groups that may be compared.

    Args:
        experiments (list of Experiment): any.

    Returns:
        list of list of Experiment: groups in the order of their first member.
    """
    groups = {}
    for exp in experiments:
        if exp.scores is not None:
            alone = exp.is_unfinished or not exp.evaluation
            key = (exp.task, exp.path if alone else definition(exp))
            groups.setdefault(key, []).append(exp)
    return list(groups.values())


def why_apart(groups):
    """Sentences that say which experiments are kept apart and in what they differ; empty for one group."""
    sentences = []
    for other in groups[1:]:
        one, two = groups[0][0], other[0]
        found = [
            (name, mine, theirs)
            for name, mine, theirs in zip(FIELDS, definition(one), definition(two))
            if mine != theirs
        ]
        found = found[:1] if found and found[0][0] == "corpus" else found  # another corpus says it all
        differences = [
            name if name == FIELDS[-1] else f"{name} ({mine} against {theirs})" for name, mine, theirs in found
        ]
        names = " and ".join(", ".join(exp.tag for exp in group) for group in (groups[0], other))
        reasons = [f"the training of {exp.tag} is {exp.status}" for exp in (one, two) if exp.is_unfinished]
        reasons += [f"{exp.tag} has no evaluation.json" for exp in (one, two) if not exp.evaluation]
        reason = "; ".join(reasons or differences)
        sentences.append(f"**Not compared:** {names}: {reason}.")
    return sentences


def same_settings(experiments):
    """Sort experiments into groups that differ in the seed alone, whose mean and spread mean something.

    Args:
        experiments (list of Experiment): of one variant.

    Returns:
        list of list of Experiment: groups in the order of their first member.
    """
    groups = {}
    for exp in experiments:
        settings = {section: values for section, values in exp.info("conf", {}).items() if section not in FREE_SECTIONS}
        settings = {
            section: {key: value for key, value in values.items() if key not in FREE_KEYS}
            if isinstance(values, dict)
            else values
            for section, values in settings.items()
        }
        groups.setdefault((exp.info("protocol"), json.dumps(settings, sort_keys=True, default=str)), []).append(exp)
    return list(groups.values())


def ours(group):
    """Label of a row of ours: its seeds when there are several, and its protocol when it is not the published one."""
    whole = [exp for exp in group if not exp.is_unfinished]
    protocol = group[0].info("protocol") if group else None
    words = [f"{protocol} protocol"] if protocol not in (None, "published") else []
    words += [f"seeds {', '.join(str(exp.seed) for exp in whole)}"] if len(whole) > 1 else []
    return f"ours ({'; '.join(words)})" if words else "ours"


def recordings(exps):
    """How many test recordings the scores of some experiments are means of: ``"3000 mixtures"``, empty without scores."""
    counts = sorted(
        {
            len(exp.scores) if exp.task == "speech" else exp.scores["track"].nunique()
            for exp in exps
            if exp.scores is not None
        }
    )
    what = "mixtures" if exps and exps[0].task == "speech" else "tracks"
    return f"{' or '.join(map(str, counts))} {what}" if counts else ""


def title(exp):
    """Words for a group: ``musdb18hq, test``."""
    status = f", {exp.tag}, training {exp.status}" if exp.is_unfinished else ""
    return f"{exp.corpus or 'unknown corpus'}, {exp.evaluation.get('subset', 'unknown subset')}{status}"
