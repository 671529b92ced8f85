"""Reads experiment folders, whatever of them is there; what is missing or broken is remembered, not hidden."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from ..common.errors import UserError
from ..experiment.energy import LEDGER_FILE
from ..experiment.evaluation import EVALUATION_FILE, FINAL_FILE, Evaluation, read_evaluation
from ..experiment.history import HISTORY_FILE, History, read_history
from ..experiment.run import CONF_FILE
from ..experiment.run_file import RUN_FILE, Run, read_run
from ..experiment.scores import SCORES_FILE, Scores, read_scores
from ..metrics import Metric, all_of, of_task
from .published import SOURCES, usual_order

T = TypeVar("T")
MARKS = (RUN_FILE, SCORES_FILE, FINAL_FILE, HISTORY_FILE, LEDGER_FILE, CONF_FILE, EVALUATION_FILE, "best_model.pth")
DEMO_WORDS = ("demo", "synth", "excerpt")
SPEECH_CORPORA = ("libri", "wsj0", "wham")  # of records without a task


@dataclass(eq=False)
class Experiment:
    """What one ``exp/<tag>/`` holds.

    Args:
        path: the folder.
        runs: source (``""`` for one model of everything) -> record of that training.
        evaluation: what was scored; all defaults without one.
        evaluated: whether there is the record of an evaluation.
        scores: of each recording, None without.
        histories: source -> epochs, for trainings that have a history.
        problems: sentences about what is missing or broken.
    """

    path: Path
    runs: dict[str, Run] = field(default_factory=dict)
    evaluation: Evaluation = field(default_factory=Evaluation)
    evaluated: bool = False
    scores: Scores | None = None
    histories: dict[str, History] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @property
    def tag(self) -> str:
        """Name of the folder."""
        return self.path.name

    def first(self, value: Callable[[Run], T | None]) -> T | None:
        """What the first training that has it says, such as ``first(lambda run: run.seed)``; None where none does."""
        return next((found for run in self.runs.values() if (found := value(run)) is not None), None)

    @property
    def conf(self) -> Run:
        """The first training with a configuration; one without, where there is none."""
        return next((run for run in self.runs.values() if run.conf), Run())

    @property
    def variant(self) -> str:
        """Name of the configuration; ``base`` or ``afrcnn_16`` when the record names none, ``unknown`` without a record."""
        if not self.runs:
            return "unknown"
        return self.first(lambda run: run.variant) or ("afrcnn_16" if self.task == "speech" else "base")

    @property
    def seed(self) -> int | None:
        """The seed of training."""
        return self.first(lambda run: run.seed)

    @property
    def protocol(self) -> str | None:
        """The protocol of training."""
        return self.first(lambda run: run.protocol)

    @property
    def trained_on(self) -> str | None:
        """Name of the corpus of training."""
        return self.first(lambda run: run.corpus)

    @property
    def corpus(self) -> str | None:
        """Name of the corpus that was scored, else of the one that was trained on."""
        return self.evaluation.corpus or self.trained_on

    @property
    def task(self) -> str:
        """``"speech"`` or ``"music"``: as the configuration says, else by the scores and the corpus."""
        said = self.conf.section("task").get("name")
        if said in ("speech", "music"):
            return said
        if self.scores is not None and self.scores.is_speech:
            return "speech"
        monitored = {name for history in self.histories.values() for name in history.scores}
        if monitored & {metric.name for metric in of_task("speech")}:
            return "speech"
        return "speech" if corpus_key(self.corpus).startswith(SPEECH_CORPORA) else "music"

    @property
    def is_demo(self) -> bool:
        """Whether the corpus is one of those made on the spot, whose scores are no results."""
        return is_demo_corpus(self.corpus)

    @property
    def is_unfinished(self) -> bool:
        """Whether a training stopped before its end, so that nothing of it may be compared."""
        return self.status in ("failed", "interrupted", "running")

    @property
    def status(self) -> str:
        """``finished``, or the worst status of its trainings, or ``unknown`` without a record."""
        found = {run.status or "unknown" for run in self.runs.values()}
        worst = ("failed", "interrupted", "running", "unknown")
        return next((status for status in worst if status in found), "finished" if found else "unknown")


def metrics_of(exps: Sequence[Experiment]) -> list[Metric]:
    """Metrics of experiments of one task: the registered ones, and what only their evaluations know, of plug-ins elsewhere."""
    known = {metric.name: metric for metric in all_of(exps[0].task)}
    for about in (about for exp in exps for about in exp.evaluation.metrics):
        if about.get("task") == exps[0].task:
            known.setdefault(str(about.get("name")), Metric.told(about))
    return list(known.values())


def corpus_key(name: Any) -> str:
    """A corpus name with case, spaces and punctuation taken out: ``"WSJ0-2mix"`` -> ``"wsj02mix"``."""
    return "".join(letter for letter in str(name or "").lower() if letter.isalnum())


def is_demo_corpus(name: Any) -> bool:
    """Whether a corpus is one of those made on the spot."""
    return any(word in corpus_key(name) for word in DEMO_WORDS)


def find_experiments(paths: Iterable[str | Path]) -> list[Experiment]:
    """Read experiment folders, or all those directly inside the folders given; each folder once, in the order given.

    Args:
        paths: experiment folders, or folders that hold them such as ``exp``.

    Raises:
        UserError: for a folder that does not exist or holds no experiment.
    """
    folders: list[Path] = []
    for path in map(Path, paths):
        if not path.is_dir():
            raise UserError(f"{path} is not a folder; give experiment folders such as exp/base")
        inside = [path] if _is_experiment(path) else sorted(child for child in path.iterdir() if _is_experiment(child))
        if not inside:
            raise UserError(f"{path} holds no experiment: none of {', '.join(MARKS)} is in it or in a folder in it")
        folders += [folder for folder in inside if folder.resolve() not in [known.resolve() for known in folders]]
    return [read_experiment(folder) for folder in folders]


def _is_experiment(path: Path) -> bool:
    places = [path, *(path / source for source in SOURCES)]
    return path.is_dir() and any((place / mark).exists() for place in places for mark in MARKS)


def read_experiment(path: str | Path) -> Experiment:
    """Read one experiment folder, with a sentence in ``problems`` for each file that is missing or cannot be read."""
    exp = Experiment(Path(path).resolve())
    children = sorted(
        (child for child in exp.path.iterdir() if child.is_dir()), key=lambda child: usual_order(child.name)
    )
    for source, folder in [("", exp.path)] + [(child.name, child) for child in children]:
        run = _read(exp, folder / RUN_FILE, lambda path: read_run(path.parent))
        if run is not None:
            exp.runs[source] = run
        history = _read(exp, folder / HISTORY_FILE, read_history)
        if history is not None:
            exp.histories[source] = history
    evaluation = _read(exp, exp.path / EVALUATION_FILE, lambda path: read_evaluation(path.parent))
    exp.evaluation, exp.evaluated = evaluation or Evaluation(), evaluation is not None
    exp.scores = _read(exp, exp.path / SCORES_FILE, read_scores)
    _note_problems(exp)
    return exp


def _read(exp: Experiment, path: Path, reader: Callable[[Path], T]) -> T | None:
    """The content of a file, None when it is not there; a broken one becomes a problem."""
    if not path.exists():
        return None
    try:
        return reader(path)
    except (ValueError, OSError) as error:
        exp.problems.append(f"{path.relative_to(exp.path)} cannot be read ({error})")
        return None


def _note_problems(exp: Experiment) -> None:
    if not exp.runs:
        exp.problems.append(f"{RUN_FILE} is missing, so variant and seed are unknown")
    if exp.is_unfinished:
        parts = [name or "the model" for name, run in exp.runs.items() if run.status == exp.status]
        exp.problems.append(f"training of {', '.join(parts)} is {exp.status}; it is compared with nothing")
    task = exp.conf.section("task")
    absent = [source for source in task.get("sources") or [] if source not in exp.runs]
    if absent and exp.task == "music" and not task.get("simo"):
        exp.problems.append(f"there is no training of {', '.join(absent)}")
    if exp.scores is None and not any(SCORES_FILE in problem for problem in exp.problems):
        exp.problems.append(f"it has no {SCORES_FILE}: run the evaluation (stage 3)")
    if exp.scores is not None and not exp.evaluated:
        exp.problems.append(f"{EVALUATION_FILE} is missing: corpus, subset and definition of its scores are unknown")
    told = exp.evaluation
    exp.problems += [f"the evaluation missed {name}" for name in told.missing]
    exp.problems += [f"{name} was not scored: {why}" for name, why in told.problems.items()]
    exp.problems += [text.rstrip(".") for text in [*told.warnings, *told.notes]]
