"""One JSON file per track: written whole when the track is done, read by museval, kept or redone on resume.

The file is museval's (``targets`` with the SDR of each frame), with one more entry, ``asteroid_bsrnn``: our scores
and the settings that they were computed with. SIR, ISR and SAR need the filters that we do not solve for; they are
NaN, as museval writes them for a silent frame.
"""

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..common.errors import UserError
from ..common.files import read_json, write_json

OURS = "asteroid_bsrnn"
MUSEVAL_VERSION = "0.4.1"  # whose SDR, rules and file format these are
SCORES_VERSION = 1  # raised when a score changes its meaning, so that old files are not mixed in


def file_digest(path: str | Path) -> str:
    """SHA-256 of a file, as ``model_id`` of an evaluation."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _plain(settings: dict[str, Any]) -> dict[str, Any]:
    """As JSON gives it back (a tuple is a list there)."""
    return json.loads(json.dumps(settings))


class Records:
    """The records of one evaluation, by name.

    Args:
        folder: where the files are, one ``<name>.json`` each.
        settings: everything that the scores depend on; a record with other settings is redone.
        lacking: names of the scores that a record should have and has not; such a record is redone too.
    """

    def __init__(
        self,
        folder: str | Path,
        settings: dict[str, Any],
        lacking: Callable[[dict[str, Any]], Sequence[str]] = lambda record: (),
    ) -> None:
        self.folder, self.settings = Path(folder), _plain({"scores": SCORES_VERSION, **settings})
        self.lacking = lacking
        self.redone: dict[str, str] = {}  # name -> why the record was not used

    def path(self, name: str) -> Path:
        """File of one track."""
        if "/" in name or "\\" in name or name in ("", ".", ".."):
            raise UserError(f"{name!r} cannot be the name of a track: it would not be a file name")
        return self.folder / f"{name}.json"

    def load(self, name: str, **settings: Any) -> dict[str, Any] | None:
        """The finished record of a track, or None when there is none or its settings differ.

        Args:
            name: the track.
            settings: what only this track's scores depend on.
        """
        path = self.path(name)
        if not path.exists():
            return None
        content = read_json(path)
        record = content.get(OURS) if isinstance(content, dict) else None
        wanted = {**self.settings, **_plain(settings)}
        if not isinstance(record, dict) or "settings" not in record:
            raise UserError(f"{path} is no record of an evaluation; choose another output folder or move it away")
        differing = [key for key in wanted if record["settings"].get(key) != wanted[key]]
        differing = differing or list(self.lacking(record))
        if differing:
            self.redone[name] = ", ".join(differing)
            return None
        return record

    def save(
        self, name: str, scores: dict[str, Any], frames: dict[str, list[float]] | None = None, **settings: Any
    ) -> dict[str, Any]:
        """Write a finished track and return its record.

        Args:
            name: the track.
            scores: what shall be found under ``asteroid_bsrnn`` next time.
            frames: SDR of each frame by source, for museval.
            settings: what only this track's scores depend on.
        """
        record = {"track": name, "settings": {**self.settings, **settings}, **scores}
        write_json(self.path(name), {**museval_targets(frames or {}), OURS: record})
        return record

    def differences(self) -> str | None:
        """One sentence on the records that were done again, or None."""
        if not self.redone:
            return None
        names = ", ".join(sorted({key for why in self.redone.values() for key in why.split(", ")}))
        return f"{len(self.redone)} records in {self.folder} had other settings or lacked scores ({names}) and were computed again"


def museval_targets(frames: dict[str, list[float]]) -> dict[str, Any]:
    """What ``museval.TrackStore`` writes, from the SDR of each frame by source (1 s, no overlap, five digits)."""
    return {
        "targets": [
            {"name": source, "frames": [_museval_frame(time, score) for time, score in enumerate(scores)]}
            for source, scores in frames.items()
        ],
        "museval_version": MUSEVAL_VERSION,
    }


def _museval_frame(time: int, sdr: float) -> dict[str, Any]:
    nan = math.nan
    sdr = nan if math.isinf(sdr) else round(sdr, 5)
    return {"time": float(time), "duration": 1.0, "metrics": {"SDR": sdr, "SIR": nan, "SAR": nan, "ISR": nan}}


def write_museval_folder(folder: str | Path, records: Records, names: Sequence[str]) -> None:
    """Lay the tracks out as museval's ``add_eval_dir(folder)`` reads them: ``<folder>/test/<track>.json``.

    Args:
        folder: written anew; records of tracks that are gone are removed from it.
        records: where the tracks are.
        names: the tracks of this evaluation.
    """
    folder = Path(folder) / "test"
    for old in folder.glob("*.json"):
        if old.stem not in names:
            old.unlink()
    for name in names:
        content = read_json(records.path(name))
        write_json(folder / f"{name}.json", {key: content[key] for key in ("targets", "museval_version")})
