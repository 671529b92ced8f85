"""What a run writes about itself, ``conf.yml`` and ``run.json``; and what may change on resume."""

import datetime
import importlib.metadata
import platform
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from ..common.errors import UserError
from ..common.files import load_yaml, write_json, write_text
from ..common.version import __version__
from .run_file import RUN_FILE, Run, read_run

CONF_FILE = "conf.yml"
CHANGEABLE = ("training.patience", "training.epochs", "optim.lr")  # on resume, by an option that is recorded
FREE = (  # where and how fast, not what: may differ at any time
    "logging",
    "plugins",
    "loader.num_workers",
    "loader.pin_memory",
    "training.accelerator",
    "training.activation_checkpointing",
    "training.batch",
    "training.checkpoint_every",
    "training.devices",
    "training.keep_best",
    "data.root",
    "data.lists",
    "data.speech_dir",
    "data.metadata_dir",
    "data.noise_dir",
    "data.storage_dir",
)
NEUTRAL = {  # keys that came after version 0.1.0, with what they were before there was a key: absent is this value
    "task.name": ("music", "speech"),
    "task.groups": (None,),
    "task.less": (None,),
    "data.standardise": (False,),
    "data.gate_db": (None,),
    "data.gate_level": ("rms",),
    "optim.amsgrad": (False,),
    "optim.warmup_steps": (None,),
    "optim.plateau_start": (None,),
    "inference.standardise": (False,),
    "inference.shifts": (0,),
    "inference.shift": (0.5,),
    "inference.shift_seed": (0,),
    "training.tf32": (False,),
    "training.init_from": (None,),
    "training.strict": (True,),
    "training.freeze": (None,),
    "optim.lr_factors": (None,),
}
_PACKAGES = ("asteroid", "torch", "pytorch-lightning", "numpy", "scipy", "soundfile", "codecarbon")


SAFEGUARDS = (  # neither what is computed nor from what, beside FREE
    "training.seed",
    "training.max_bad_steps",
    "training.max_unreadable",
    "inference.batch",
    "data.storage",
    "data.metadata_url",
    "plugins",
    "logging",
)


def changed_from(conf: dict[str, Any], origin: dict[str, Any]) -> dict[str, list[Any]]:
    """What a configuration changes of another one, as far as it decides results: ``key -> [there, here]``."""
    old, new = flatten(yaml_values(origin)), flatten(yaml_values(conf))
    keys = [
        key
        for key in dict.fromkeys([*old, *new])
        if key not in (*FREE, *SAFEGUARDS) and not key.startswith(("energy.", "loader."))
    ]
    return {key: [old.get(key), new.get(key)] for key in keys if old.get(key) != new.get(key)}


def flatten(conf: dict[str, Any]) -> dict[str, Any]:
    """``{"section": {"key": value}}`` -> ``{"section.key": value}``; deeper values stay as they are."""
    flat: dict[str, Any] = {}
    for section, values in conf.items():
        items = values.items() if isinstance(values, dict) else [(None, values)]
        flat.update({section if key is None else f"{section}.{key}": value for key, value in items})
    return flat


def yaml_values(conf: Any) -> Any:
    """The configuration as YAML gives it back (tuples become lists)."""
    return yaml.safe_load(yaml.safe_dump(_lists(conf), sort_keys=False))


def _lists(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _lists(entry) for key, entry in value.items()}
    return [_lists(entry) for entry in value] if isinstance(value, (list, tuple)) else value


def compare(
    old: dict[str, Any],
    new: dict[str, Any],
    allow_changes: bool = False,
    folder: str | Path = "this folder",
    defaults: dict[str, Any] | None = None,
) -> dict[str, list[Any]]:
    """Differences that a continued run brings with it.

    Args:
        old, new: configurations.
        allow_changes: whether the values of ``CHANGEABLE`` may differ.
        folder: for messages.
        defaults: ``"section.key" -> value`` that an absent key stands for.

    Returns:
        ``"section.key" -> [old, new]`` for keys that may differ.

    Raises:
        UserError: naming the keys that may not.
    """
    old, new = flatten(yaml_values(old)), flatten(yaml_values(new))
    neutral = {**NEUTRAL, **{key: (value,) for key, value in flatten(yaml_values(defaults or {})).items()}}
    differing = [key for key in dict.fromkeys([*old, *new]) if old.get(key) != new.get(key)]
    keys = [key for key in differing if not _came_later(key, old, new, neutral)]
    changes = {key: [old.get(key), new.get(key)] for key in keys}
    listed = {key: f"{key} ({was!r} there, {now!r} now)" for key, (was, now) in changes.items()}
    settled = [key for key in changes if key not in CHANGEABLE and key not in FREE and not key.startswith("energy.")]
    if settled:
        raise UserError(
            f"{folder} already holds a run of another configuration: {', '.join(listed[key] for key in settled)}; "
            f"choose another tag or restore these values (on resume only {', '.join(CHANGEABLE)} may change, by --resume_with)"
        )
    wanted = [key for key in changes if key in CHANGEABLE]
    if wanted and not allow_changes:
        option = " ".join(f"{key}={changes[key][1]}" for key in wanted)
        raise UserError(
            f"{folder} already holds a run with other values of {', '.join(listed[key] for key in wanted)}; to go on with the "
            f'new ones give --resume_with "{option}" (from Python: allow_changes=True)'
        )
    return changes


def _came_later(key: str, old: dict[str, Any], new: dict[str, Any], neutral: dict[str, tuple]) -> bool:
    """Whether a key is missing on one side only since it did not exist yet, and says there what was done anyway."""
    absent = (key not in old) != (key not in new)
    return absent and new.get(key, old.get(key)) in neutral.get(key, ())


class RunRecord:
    """The files ``conf.yml`` and ``run.json`` of one experiment folder.

    Args:
        folder: experiment folder.
        conf: whole configuration.
        defaults: ``{"section": {"key": value}}`` that an absent key stands for.

    Raises:
        UserError: if there is a ``run.json`` that cannot be read.
    """

    def __init__(self, folder: str | Path, conf: dict[str, Any], defaults: dict[str, Any] | None = None) -> None:
        self.folder, self.conf, self.defaults = Path(folder), yaml_values(conf), defaults
        self.conf_path, self.path = self.folder / CONF_FILE, self.folder / RUN_FILE
        try:
            self.run = read_run(self.folder) or Run()
        except UserError as error:
            raise UserError(f"{error}; restore it from a copy, or remove it to go on without it") from None

    def changes(self, allow_changes: bool = False) -> dict[str, list[Any]]:
        """Differences to the configuration that the folder already holds (see :func:`compare`)."""
        known = self.run.conf or None  # what was trained; a recipe may have written conf.yml a moment ago
        if known is None and self.conf_path.exists():
            known = load_yaml(self.conf_path)
        if known is None:
            return {}
        return compare(known, self.conf, allow_changes, self.folder, self.defaults)

    def write_conf(self) -> None:
        """Write ``conf.yml`` alone."""
        write_text(self.conf_path, yaml.safe_dump(self.conf, sort_keys=False, allow_unicode=True))

    def begin(self, **values: Any) -> None:
        """Write both files at the start of a run or of its continuation; values are attributes of :class:`Run`, or more."""
        self.write_conf()
        about = {**commit(), "versions": versions(), "command": list(sys.argv), "conf": self.conf}
        told = {"started": now(), **{key: value for key, value in self.run.content().items() if value is not None}}
        self.run = Run.of({**told, **about, **values, "status": "running", "ended": None})
        write_json(self.path, self.run.content())

    def update(self, **values: Any) -> None:
        """Write some values anew."""
        self.run = Run.of({**self.run.content(), **values})
        write_json(self.path, self.run.content())

    def end(self, **values: Any) -> None:
        """Note how a run ended. A full disk has room for one word at least: "running" becomes "failed", in its place.

        Raises:
            OSError: if that was all.
        """
        try:
            self.update(**values)
        except OSError:
            with suppress(OSError):
                self._overwrite(b'\n  "status": "running",', b'\n  "status": "failed", ')
            raise

    def _overwrite(self, old: bytes, new: bytes) -> None:
        """Put ``new`` for ``old``, of the same length, without a second file."""
        with open(self.path, "r+b") as file:
            place = file.read().find(old)
            if place >= 0:
                file.seek(place)
                file.write(new)


def now() -> str:
    """Present time, UTC, to the second."""
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")


def versions() -> dict[str, Any]:
    """Versions of Python, this package and the libraries that decide numbers."""
    found: dict[str, Any] = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "asteroid_bsrnn": __version__,
    }
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    return found


def commit() -> dict[str, Any]:
    """Commit of the package's own repository, and whether files differ from it; null outside a repository."""

    def git(*words: str) -> str:
        command = ["git", "-C", str(Path(__file__).parent), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", Path(__file__).name)
        changed = bool(git("status", "--porcelain", "--untracked-files=no"))
        return {"commit": git("rev-parse", "HEAD"), "commit_changed": changed}
    except (OSError, subprocess.SubprocessError):
        return {"commit": None, "commit_changed": None}
