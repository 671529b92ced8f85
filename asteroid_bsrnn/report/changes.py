"""What an experiment changed from the variant that it names: such a model stands in no published system's row."""

from typing import Any

from .experiments import Experiment, corpus_key

USUAL = {  # of the published speech systems; for records that do not say what was changed
    "data.stream": ("mix_clean", "mix"),
    "data.mode": ("min",),
    "data.dynamic_mixing": (False,),
    "model.sample_rate": (8000,),
    "model.n_src": (2,),
}


def changes_of(exp: Experiment) -> dict[str, str]:
    """Changed keys of the configuration and what they are now; also another corpus than that of training.

    The record says what was changed. Where it does not, as in version 0.1.0, speech is held against what all
    published systems have in common.
    """
    changed = exp.first(lambda run: run.changed)
    if changed is None:
        changed = _unusual(exp) if exp.task == "speech" else {}
    words = {key: _word(values[1]) for key, values in changed.items()}
    trained = exp.trained_on
    if trained and exp.corpus and corpus_key(trained) != corpus_key(exp.corpus):
        words["trained on"] = trained
    return words


def said(exp: Experiment) -> str:
    """The changes in words, ``"data.stream=mix_both, model.num_iters=4"``; empty for the variant itself."""
    return ", ".join(f"{key} {value}" if " " in key else f"{key}={value}" for key, value in changes_of(exp).items())


def variant_words(exp: Experiment) -> str:
    """Name of the variant, and what was changed of it."""
    return exp.variant + (f", changed: {said(exp)}" if said(exp) else "")


def _unusual(exp: Experiment) -> dict[str, list[Any]]:
    found = {}
    for key, usual in USUAL.items():
        section, name = key.split(".")
        value = exp.conf.section(section).get(name, usual[0])
        if value not in usual:
            found[key] = [usual[0], value]
    return found


def _word(value: Any) -> str:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
