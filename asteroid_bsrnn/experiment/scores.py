"""``all_metrics.csv``: one line per song and source, or per mixture of speech."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..common.files import atomic_path, nfc
from ..metrics import all_of, of_task

SCORES_FILE = "all_metrics.csv"
_TEXT = ("track", "source", "mixture_id", "speakers", "sexes", "permutation")  # a track may be called NA


class Scores:
    """The scores of an evaluation, by recording.

    Args:
        rows: the file.
    """

    def __init__(self, rows: pd.DataFrame) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __contains__(self, column: object) -> bool:
        return column in self.rows

    @property
    def is_speech(self) -> bool:
        """Whether a line is a mixture of speech."""
        return any(name in self for metric in of_task("speech") for name in metric.columns)

    @property
    def n_recordings(self) -> int:
        """Number of songs, or of mixtures."""
        return len(self.rows) if self.is_speech else int(self.rows["track"].nunique())

    @property
    def sources(self) -> list[str]:
        """Names of the sources of music."""
        return [str(name) for name in self.rows["source"].unique()]

    @property
    def rtf(self) -> float | None:
        """Seconds of computing per second of sound, mean over the recordings; None where that was not noted."""
        values = self.rows["rtf"].dropna() if "rtf" in self.rows else ()
        return float(np.mean(values)) if len(values) else None

    def by_recording(self, column: str, sources: Sequence[str] | None = None) -> pd.DataFrame:
        """Scores as a table: a line per recording, a column per source; of speech, that column alone.

        Empty where the score was not recorded.
        """
        if column not in self.rows:
            return self.rows.iloc[:0][[]]
        if self.is_speech:
            return self.rows.set_index("mixture_id")[[column]]
        table = self.rows.pivot_table(index="track", columns="source", values=column, dropna=False)
        return table.reindex(columns=sources)


def music_table(rows: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """Lines of music in the order of the file's columns."""
    names = [metric.name for metric in of_task("music")]
    columns = ["track", "source", *names, *(f"input_{name}" for name in names), "seconds", "rtf"]
    return pd.DataFrame(list(rows), columns=columns)


def speech_table(rows: Iterable[dict[str, Any]], optional: Iterable[str]) -> pd.DataFrame:
    """Lines of speech in the order of the file's columns; ``optional`` are the last of them."""
    columns = [*("mixture_id", "n_src", "speakers", "sexes", "level_difference_db")]
    columns += [name for metric in of_task("speech") for name in metric.columns]
    return pd.DataFrame(list(rows), columns=[*columns, "permutation", "seconds", "rtf", *optional])


def write_scores(folder: Path, rows: pd.DataFrame) -> None:
    """Write the file, whole or not at all."""
    with atomic_path(folder / SCORES_FILE) as partial:
        rows.to_csv(partial, index=False, na_rep="nan")


def read_scores(path: str | Path) -> Scores:
    """Read the file.

    Raises:
        ValueError: if it holds no scores.
    """
    rows = pd.read_csv(path, dtype=str, keep_default_na=False)
    for name in rows.columns:
        rows[name] = rows[name].map(nfc if name in _TEXT else lambda text: float(text or "nan"))
    if not len(rows):
        raise ValueError("it has no rows")
    names = [metric.name for task in ("music", "speech") for metric in all_of(task)]
    if not {*names} & set(rows.columns):
        raise ValueError(f"it has none of the columns {', '.join(names)}")
    return Scores(rows)


def sexes_of(path: str | Path) -> dict[str, str] | None:
    """Mixture -> sexes of its speakers as they were noted, ``"M F"``; None for a table without them."""
    rows = pd.read_csv(path, dtype=str, keep_default_na=False)
    if not {"mixture_id", "sexes"} <= set(rows.columns):
        return None
    return dict(zip(rows["mixture_id"], rows["sexes"]))
