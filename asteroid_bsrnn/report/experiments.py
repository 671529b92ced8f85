"""Reads experiment folders, whatever of them is there; what is missing or broken is remembered, not hidden."""

from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from ..common.errors import UserError
from ..common.files import nfc, read_json
from .published import SOURCES

MARKS = (
    "run.json",
    "all_metrics.csv",
    "final_metrics.json",
    "history.csv",
    "energy.json",
    "conf.yml",
    "evaluation.json",
    "best_model.pth",
)
NAMES = (
    "track",
    "source",
    "mixture_id",
    "speakers",
    "sexes",
    "permutation",
)  # columns of text: a track may be called NA
DEMO_WORDS = ("demo", "synth", "excerpt")


@dataclass
class Experiment:
    """What one ``exp/<tag>/`` holds.

    Args:
        path (Path): the folder.
        runs (dict): source (``""`` for one model of everything) -> run.json of that training.
        evaluation (dict): evaluation.json.
        scores (pandas.DataFrame or None): all_metrics.csv.
        histories (dict): source -> history.csv, one row per epoch, for trainings that have one.
        problems (list of str): sentences about what is missing or broken.
    """

    path: Path
    runs: dict = field(default_factory=dict)
    evaluation: dict = field(default_factory=dict)
    scores: pd.DataFrame = None
    histories: dict = field(default_factory=dict)
    problems: list = field(default_factory=list)

    @property
    def tag(self):
        """Name of the folder."""
        return self.path.name

    def info(self, key, default=None):
        """First value that a run.json of this experiment has for a key, or ``default``."""
        for run in self.runs.values():
            if run.get(key) is not None:
                return run[key]
        return default

    @property
    def variant(self):
        """Name of the configuration; ``base`` or ``afrcnn_16`` when run.json names none, ``unknown`` without run.json."""
        if not self.runs:
            return "unknown"
        return self.info("variant") or ("afrcnn_16" if self.task == "speech" else "base")

    @property
    def seed(self):
        """The seed of training, or None."""
        return self.info("seed")

    @property
    def corpus(self):
        """Name of the corpus that was scored, else of the one that was trained on, or None."""
        return self.evaluation.get("corpus") or self.info("corpus")

    @property
    def task(self):
        """``"speech"`` or ``"music"``."""
        columns = set() if self.scores is None else set(self.scores.columns)
        for history in self.histories.values():
            columns |= set(history.columns)
        if columns & {"si_sdr", "val_si_sdr"}:
            return "speech"
        corpus = corpus_key(self.corpus)
        return "speech" if corpus.startswith(("libri", "wsj0", "wham")) else "music"

    @property
    def is_demo(self):
        """Whether the corpus is one of those made on the spot, whose scores are no results."""
        return is_demo_corpus(self.corpus) or bool(self.info("demo", False))

    @property
    def is_unfinished(self):
        """Whether a training stopped before its end, so that nothing of it may be compared."""
        return self.status in ("failed", "interrupted", "running")

    @property
    def status(self):
        """``finished``, or the worst status of its trainings, or ``unknown`` without run.json."""
        found = {run.get("status", "unknown") for run in self.runs.values()}
        for status in ("failed", "interrupted", "running", "unknown"):
            if status in found:
                return status
        return "finished" if found else "unknown"

    def why_no_scores(self):
        """Why ``all_metrics.csv`` cannot be used, for an empty cell."""
        return self.status if self.is_unfinished else "not evaluated"


def corpus_key(name):
    """A corpus name with case, spaces and punctuation taken out: ``"WSJ0-2mix"`` -> ``"wsj02mix"``."""
    return "".join(letter for letter in str(name or "").lower() if letter.isalnum())


def is_demo_corpus(name):
    """Whether a corpus is one of those made on the spot."""
    return any(word in corpus_key(name) for word in DEMO_WORDS)


def find_experiments(paths):
    """Read experiment folders, or all those directly inside the folders given.

    Args:
        paths (iterable of str or Path): experiment folders, or folders that hold them such as ``exp``.

    Returns:
        list of Experiment: each folder once, in the order given.

    Raises:
        UserError: for a folder that does not exist or holds no experiment.
    """
    folders = []
    for path in map(Path, paths):
        if not path.is_dir():
            raise UserError(f"{path} is not a folder; give experiment folders such as exp/base")
        inside = [path] if _is_experiment(path) else sorted(child for child in path.iterdir() if _is_experiment(child))
        if not inside:
            raise UserError(f"{path} holds no experiment: none of {', '.join(MARKS)} is in it or in a folder in it")
        folders += [folder for folder in inside if folder.resolve() not in [known.resolve() for known in folders]]
    return [read_experiment(folder) for folder in folders]


def _is_experiment(path):
    if not path.is_dir():
        return False
    if any((path / mark).exists() for mark in MARKS):
        return True
    return any((path / source / mark).exists() for source in SOURCES for mark in MARKS)


def read_experiment(path):
    """Read one experiment folder.

    Args:
        path (str or Path): ``exp/<tag>``.

    Returns:
        Experiment: with a sentence in ``problems`` for each file that is missing or cannot be read.
    """
    exp = Experiment(Path(path).resolve())
    children = sorted((child for child in exp.path.iterdir() if child.is_dir()), key=_in_usual_order)
    for source, folder in [("", exp.path)] + [(child.name, child) for child in children]:
        run = _read(exp, folder / "run.json", read_json)
        if run is not None:
            exp.runs[source] = run
        history = _read(exp, folder / "history.csv", _read_history)
        if history is not None:
            exp.histories[source] = history
    exp.evaluation = _read(exp, exp.path / "evaluation.json", read_json) or {}
    exp.scores = _read(exp, exp.path / "all_metrics.csv", _read_scores)
    _note_problems(exp)
    return exp


def _in_usual_order(child):
    return SOURCES.index(child.name) if child.name in SOURCES else len(SOURCES), child.name


def _read(exp, path, reader):
    """The content of a file, None when it is not there; a broken one becomes a problem."""
    if not path.exists():
        return None
    try:
        return reader(path)
    except (ValueError, OSError) as error:
        exp.problems.append(f"{path.relative_to(exp.path)} cannot be read ({error})")
        return None


def _read_history(path):
    """history.csv with numbers only; a line cut short by a crash keeps what it has, a resumed epoch its last line."""
    history = pd.read_csv(path)
    if "epoch" not in history:
        raise ValueError("it has no column 'epoch'")
    history = history.apply(pd.to_numeric, errors="coerce").dropna(subset=["epoch"])
    return history.drop_duplicates("epoch", keep="last").sort_values("epoch").reset_index(drop=True)


def _read_scores(path):
    scores = pd.read_csv(path, dtype=str, keep_default_na=False)
    for name in scores.columns:
        scores[name] = scores[name].map(nfc if name in NAMES else lambda text: float(text or "nan"))
    if not len(scores):
        raise ValueError("it has no rows")
    if not {"usdr", "csdr", "si_sdr"} & set(scores.columns):
        raise ValueError("it has none of the columns usdr, csdr, si_sdr")
    return scores


def _note_problems(exp):
    if not exp.runs:
        exp.problems.append("run.json is missing, so variant and seed are unknown")
    if exp.is_unfinished:
        parts = [name or "the model" for name, run in exp.runs.items() if run.get("status") == exp.status]
        exp.problems.append(f"training of {', '.join(parts)} is {exp.status}; it is compared with nothing")
    task = exp.info("conf", {}).get("task") or {}
    absent = [source for source in task.get("sources") or [] if source not in exp.runs]
    if absent and exp.task == "music" and not task.get("simo"):
        exp.problems.append(f"there is no training of {', '.join(absent)}")
    if exp.scores is None and not any("all_metrics.csv" in problem for problem in exp.problems):
        exp.problems.append("it has no all_metrics.csv: run the evaluation (stage 3)")
    if exp.scores is not None and not exp.evaluation:
        exp.problems.append("evaluation.json is missing: corpus, subset and definition of its scores are unknown")
    exp.problems += [f"the evaluation missed {name}" for name in exp.evaluation.get("missing") or []]
    exp.problems += [f"{name} was not scored: {why}" for name, why in (exp.evaluation.get("problems") or {}).items()]
    for key in ("warnings", "notes"):
        exp.problems += [str(text).rstrip(".") for text in exp.evaluation.get(key) or []]
