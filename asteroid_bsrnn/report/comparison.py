"""Which experiments may stand in one table: those scored on the same recordings by the same definition."""
from .experiments import corpus_key

FIELDS = ("corpus", "subset", "sample rate", "median rule", "sources", "definition of the metric")


def definition(exp):
    """What the scores of an experiment mean, as one comparable value.

    Args:
        exp (Experiment): with scores.

    Returns:
        tuple: corpus, subset, sample rate, median rule, sources (a silent one takes its frames from the cSDR of all),
        definition; in the order of :data:`FIELDS`.
    """
    told = exp.evaluation
    return (corpus_key(exp.corpus), str(told.get("subset")), told.get("sample_rate"), str(told.get("median_rule")),
            ", ".join(told.get("sources") or []), repr(told.get("metric_definition")))


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
        pairs = zip(FIELDS, definition(one), definition(two))
        differences = [f"{name} ({mine} against {theirs})" for name, mine, theirs in pairs if mine != theirs]
        names = " and ".join(", ".join(exp.tag for exp in group) for group in (groups[0], other))
        reasons = [f"the training of {exp.tag} is {exp.status}" for exp in (one, two) if exp.is_unfinished]
        reasons += [f"{exp.tag} has no evaluation.json" for exp in (one, two) if not exp.evaluation]
        reason = "; ".join(reasons or differences)
        sentences.append(f"**Not compared:** {names}: {reason}.")
    return sentences


def title(exp):
    """Words for a group: ``musdb18hq, test``."""
    status = f", {exp.tag}, training {exp.status}" if exp.is_unfinished else ""
    return f"{exp.corpus or 'unknown corpus'}, {exp.evaluation.get('subset', 'unknown subset')}{status}"
