"""A corpus as a value: what its stems are called, how a track is found, whose it is.

Nothing else in the package names the stems of a corpus. A corpus is registered in code (:func:`register_corpus`) or
described by a YAML file whose path stands in ``data.corpus``::

    name: my_corpus
    stems: [vocals, bass, drums, guitar, piano, other]
    layout: folders        # root/{train,valid,test}/<track>/<stem>.wav, or moisesdb: root/<id>/data.json
    complete: false        # a stem that a track lacks is silent; true (the default): it is an error
    splits: {valid: [Song A, Song B], test: 0.1}   # names of tracks, or a share of them
    licence: CC BY-NC-SA 4.0
    citation: Pereira et al., "MoisesDB", ISMIR 2023
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from ..common.errors import UserError
from ..common.files import load_yaml, nfc
from ..common.registry import Registry, check_known

SPLITS = ("train", "valid", "test")
CORPUS_FILE = "corpus.json"  # what the demonstration corpora say of themselves; others have none
Share = float | tuple[str, ...]


@dataclass(frozen=True)
class Track:
    """One recording of a corpus.

    Args:
        name: shown in scores; unique within a split.
        stems: stem -> files whose sum it is; none where the track lacks the stem.
        mixture: a file that must agree with the sum of all stems, where there is one.
    """

    name: str
    stems: Mapping[str, tuple[str, ...]]
    mixture: str | None = None


@dataclass(frozen=True)
class Corpus:
    """What the package knows of a corpus.

    Args:
        name: by which configurations call it.
        stems: names, in the order in which they are summed.
        task: ``"music"``.
        sample_rate: in Hz, of every file.
        channels: of every file.
        layout: name of a function of :data:`LAYOUTS`: how tracks are found.
        complete: whether every track has every stem; else one that is missing is silent.
        splits: for ``valid`` and ``test``: names of tracks, or a share of all (drawn by the hash of their names). A
            corpus with a folder for a split needs no entry for it.
        mixtures_differ: tracks whose ``mixture.wav`` is known not to be the sum of their stems.
        title, licence, licence_link, citation, author: for cards and ``get_infos``.
        provide: stage 0: ``provide(section, download)`` puts the corpus into ``section.root``; None: it must be there.
    """

    name: str
    stems: tuple[str, ...]
    task: str = "music"
    sample_rate: int = 44100
    channels: int = 2
    layout: str = "folders"
    complete: bool = True
    splits: Mapping[str, Share] = field(default_factory=dict)
    mixtures_differ: tuple[str, ...] = ()
    title: str = ""
    licence: str = "not stated"
    licence_link: str = ""
    citation: str = ""
    author: str = ""
    provide: Callable[[Any, bool], None] | None = None

    def __post_init__(self) -> None:
        stems = self.stems
        if isinstance(stems, str) or not stems or not all(isinstance(stem, str) and stem for stem in stems):
            raise UserError(f"corpus {self.name}: stems must be a list of names, got {stems!r}")
        if len(set(stems)) < len(stems) or "mixture" in stems:
            raise UserError(
                f"corpus {self.name}: stems must be different names, none of them 'mixture', got {list(stems)}"
            )
        object.__setattr__(self, "stems", tuple(stems))

    def tracks(self, root: str | Path, split: str, **options: Any) -> list[Track]:
        """Tracks of a split, sorted by name; names are in Unicode's composed form (NFC), here and in ``valid_tracks``.

        Raises:
            UserError: for a missing folder, a split without tracks, a file that is no stem of this corpus,
                ``valid_tracks`` that is no list or names a track that is not there, or two tracks of one name.
        """
        if options.get("valid_tracks") is not None:
            options["valid_tracks"] = check_names(options["valid_tracks"], "data.valid_tracks")
        found = LAYOUTS.get(self.layout)(self, Path(root), split, **options)
        names = [track.name for track in found]
        if twice := [name for name in names if names.count(name) > 1]:
            raise UserError(f"{root}: two {split} tracks are called {twice[0]!r}")
        return found

    def infos(self) -> dict[str, Any]:
        """Name, task and licence, as Asteroid's sharing tools ask for; what to cite beside them."""
        licence = {
            "title": self.title or self.name,
            "title_link": self.licence_link,
            "author": self.author,
            "author_link": self.licence_link,
            "license": self.licence,
            "license_link": self.licence_link,
            "non_commercial": "nc" in self.licence.lower() or "non-commercial" in self.licence.lower(),
            "citation": self.citation,
        }
        return {"dataset": self.title or self.name, "task": f"{self.task}_separation", "licenses": [licence]}


CORPORA = Registry("corpus")
LAYOUTS = Registry("layout")  # functions (corpus, root, split, valid_tracks=None, limit=None) -> list of Track
register_corpus = CORPORA.register
FILES = Path(__file__).with_name("corpora")  # corpora that are described by a file of the package


def get_corpus(name: str | Corpus) -> Corpus:
    """A corpus by its name, by the path of its file, or itself.

    Raises:
        UserError: for an unknown name, or a file that describes no corpus.
    """
    if isinstance(name, Corpus):
        return name
    if name.lower() in CORPORA.entries:
        return CORPORA.get(name)
    packaged = FILES / f"{name}.yml"
    if packaged.is_file() or name.endswith((".yml", ".yaml")):
        return read_corpus(packaged if packaged.is_file() else Path(name))
    known = [corpus.name for corpus in CORPORA.values()] + sorted(path.stem for path in FILES.glob("*.yml"))
    raise UserError(
        f"data.corpus: unknown corpus {name!r}; known are {', '.join(known)}, or the path of a corpus file (.yml)"
    )


def read_corpus(path: Path) -> Corpus:
    """The corpus that a YAML file describes; see the module.

    Raises:
        UserError: if there is no such file, it is no YAML, or it has a key that a corpus does not have.
    """
    try:
        values = load_yaml(path)
    except OSError as error:
        raise UserError(f"data.corpus: cannot read the corpus file {path}: {error.strerror}") from None
    known = [entry.name for entry in fields(Corpus) if entry.name != "provide"]
    if not isinstance(values, dict) or "stems" not in values:
        raise UserError(f"{path} describes no corpus: it needs at least the key 'stems'")
    if unknown := [key for key in values if key not in known]:
        raise UserError(f"{path}: unknown key {unknown[0]!r}; a corpus has {', '.join(known)}")
    corpus = Corpus(**{"name": path.stem, **values})
    check_known("layout", corpus.layout, LAYOUTS.names(), f"of {path}")
    return corpus


def check_names(names: Any, what: str) -> list[str]:
    """Names of tracks in composed form; UserError for anything but a list of different texts."""
    if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
        raise UserError(f"{what} must be a list of names of tracks, not {names!r}")
    composed = [nfc(name) for name in names]
    if twice := [name for name in composed if composed.count(name) > 1]:
        raise UserError(f"{what} names the track {twice[0]!r} twice")
    return composed


def check_targets(corpus: Corpus, targets: Sequence[str]) -> list[int]:
    """Positions of ``targets`` among the stems; ValueError for an unknown, repeated or missing one."""
    if isinstance(targets, str) or not targets or len(set(targets)) != len(targets):
        raise UserError(f"targets must be a list of different sources, got {targets!r}")
    for target in targets:
        check_known("source", target, corpus.stems)
    return [corpus.stems.index(target) for target in targets]
