"""The section ``data`` of a speech configuration: which corpus, how its mixtures come about, and the three data sets."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from ...common.errors import UserError
from ...common.files import atomic_folder, read_json
from ...common.registry import check_known
from ...common.typed import check_counts, check_types
from ..corpus import CORPUS_FILE
from ..demo.talks import make_librispeech, make_wsj0
from .dynamic_mixing import DynamicMixing
from .generate import RECORD, generate
from .libri2mix import LICENSES, LibriMixPlan
from .libri2mix import SPLITS as LIBRI_SPLITS
from .metadata import provide_metadata
from .mini_librispeech import provide_voices
from .mixtures import GeneratedFiles, SpeechMixtures
from .plan import OnTheFly, Plan
from .real_voices import RECORD as REAL_RECORD
from .real_voices import SIZES as REAL_SIZES
from .real_voices import make_librimix_lists, make_wsj0_files
from .wsj0_2mix import COUNTS, WSJ0Plan, decode_sphere

CORPORA = tuple(name + kind for kind in ("", "_demo", "_real") for name in ("libri2mix", "wsj0_2mix"))
STORAGES = ("files", "on_the_fly")
_LIBRI_SUBSETS = {"valid": "dev-clean", "test": "test-clean"}
_WSJ0_SPLITS = {"train": "tr", "valid": "cv", "test": "tt"}
_DEMO_SIZES = {"train": 400, "valid": 12, "test": 36}


@dataclass(frozen=True, kw_only=True)
class SpeechData:
    """All keys of the section ``data``; the defaults are the protocol of Libri2Mix.

    Args:
        corpus: ``libri2mix``, ``wsj0_2mix``; with ``_demo``, synthetic voices that stage 0 makes; with ``_real``,
            mixtures that it makes of the real voices in any LibriSpeech-like folder.
        speech_dir: LibriSpeech's or WSJ0's folder; LibriSpeech's for real voices in either.
        metadata_dir: folder with LibriMix' CSVs, or with WSJ0-2mix' lists and active levels.
        metadata_url: git repository that is cloned into ``metadata_dir`` when that is missing.
        noise_dir: WHAM noise, for the noisy streams only.
        storage_dir: where decoded utterances and mixtures are written.
        storage: ``files``: mixtures are generated in stage 1; ``on_the_fly``: they are mixed at load time.
        quantise: round what is mixed at load time to 16 bit, as files are.
        mode: ``min`` or ``max``.
        stream: mixture that is separated: ``mix_clean``, ``mix_both``, ``mix_single``; WSJ0-2mix has ``mix``.
        train_subset: of LibriMix: ``train-clean-100`` or ``train-clean-360``.
        n_train, n_valid, n_test: use the first so many mixtures; what stage 0 makes has so many.
        segment: length of a training crop in seconds; shorter mixtures do not train.
        dynamic_mixing: new mixtures in each epoch, see :class:`DynamicMixing`.
        speeds: of dynamic mixing: utterances are played at one of these.
        allow_missing: leave out mixtures whose files are missing or broken, and list them.
        voices: of a demonstration: ``auto``, ``espeak-ng`` or ``formant``.
        demo_seed: which voices and sentences; of real voices, who is held out and which mixtures are made.
        n_src: speakers of a mixture; the model's.
        sample_rate: Hz; the model's.
    """

    corpus: str = "libri2mix"
    speech_dir: str = "data/LibriSpeech"
    metadata_dir: str = "data/metadata"
    metadata_url: str | None = None
    noise_dir: str | None = None
    storage_dir: str = "data"
    storage: str = "files"
    quantise: bool = False
    mode: str = "min"
    stream: str = "mix_clean"
    train_subset: str = "train-clean-100"
    n_train: int | None = None
    n_valid: int | None = None
    n_test: int | None = None
    segment: float = 3.0
    dynamic_mixing: bool = False
    speeds: list = field(default_factory=lambda: [1.0])
    allow_missing: bool = False
    voices: str = "auto"
    demo_seed: int = 0
    n_src: int = 2
    sample_rate: int = 8000

    def __post_init__(self) -> None:
        check_types(vars(self), SpeechData, "data")
        check_counts(vars(self), ("n_train", "n_valid", "n_test"), "data")
        for key, known in (("corpus", CORPORA), ("storage", STORAGES)):
            check_known(f"data.{key}", getattr(self, key), known)
        if not self.segment > 0:
            raise UserError(f"data.segment must be positive, got {self.segment!r}")
        if self.is_wsj0 and (self.n_src != 2 or self.stream != "mix"):
            raise UserError(f"WSJ0-2mix has 2 speakers and the stream mix, not {self.n_src} and {self.stream!r}")
        if (self.is_demo or self.is_real) and self.n_src != 2:
            raise UserError(f"a corpus that is made here has 2 speakers, not {self.n_src}")

    @property
    def is_wsj0(self) -> bool:
        return self.corpus.startswith("wsj0")

    @property
    def is_demo(self) -> bool:
        return self.corpus.endswith("_demo")

    @property
    def is_real(self) -> bool:
        return self.corpus.endswith("_real")

    @property
    def name(self) -> str:
        """Name of the corpus for records: the number of speakers is in it."""
        return self.corpus.replace("2mix", f"{self.n_src}mix")

    def prepare(self, download: bool = False) -> str:
        """Stage 0: make a demonstration, clone or make the lists, decode WSJ0's ``.wv1``. What is there stays.

        Args:
            download: whether real voices may be fetched (Mini LibriSpeech) where there are none.

        Returns:
            What is there now, in a sentence.

        Raises:
            UserError: if speech or lists are missing; AudioError for a file that cannot be used.
        """
        if self.is_real:
            return self._make_real(download)
        said = [self._make_demo()] if self.is_demo else []
        if not Path(self.speech_dir).is_dir():
            what = "WSJ0 (LDC93S6A)" if self.is_wsj0 else "LibriSpeech (openslr.org/12)"
            raise UserError(
                f"{self.speech_dir} is missing: give the folder of {what}; it cannot be made or fetched here"
            )
        provide_metadata(self.metadata_dir, self.metadata_url)
        if self.is_wsj0:
            count, problems = decode_sphere(self.speech_dir, self._decoded, self.allow_missing)
            said.append(f"{count} wv1 files decoded into {self._decoded}" if count else "wav files, nothing to decode")
            said += [f"left out: {problem}" for problem in problems]
        return "\n".join([*said, f"{self.corpus}: speech in {self.speech_dir}, lists in {self.metadata_dir}"])

    @property
    def is_prepared(self) -> bool:
        """Whether stage 0 has nothing to make, clone or decode."""
        if self.is_real:
            return (Path(self.metadata_dir) / REAL_RECORD).exists()
        there = Path(self.speech_dir).is_dir() and Path(self.metadata_dir).is_dir()
        decoded = not self.is_wsj0 or self._decoded.is_dir() or next(Path(self.speech_dir).rglob("*.wv1"), None) is None
        return there and decoded

    @property
    def is_indexed(self) -> bool:
        """Whether stage 1 has nothing to write."""
        names = _WSJ0_SPLITS.values() if self.is_wsj0 else [LIBRI_SPLITS[self._subset(split)] for split in _WSJ0_SPLITS]
        records = [self.root / "metadata" / name / RECORD for name in names]
        return self.storage != "files" or all(path.exists() and read_json(path)["finished"] for path in records)

    def _subset(self, split: str) -> str:
        return self.train_subset if split == "train" else _LIBRI_SUBSETS[split]

    def _sizes(self, sizes: Mapping[str, int]) -> dict[str, int]:
        return {split: getattr(self, f"n_{split}") or size for split, size in sizes.items()}

    def _make_real(self, download: bool) -> str:
        provide_voices(self.speech_dir, download)
        sizes = self._sizes(REAL_SIZES)
        if self.is_wsj0:
            return make_wsj0_files(self.speech_dir, self._decoded, self.metadata_dir, sizes, self.demo_seed)
        return make_librimix_lists(self.speech_dir, self.metadata_dir, sizes, self.demo_seed)

    def _make_demo(self) -> str:
        sizes = self._sizes(_DEMO_SIZES)
        root, wanted = Path(self.speech_dir), {"corpus": self.corpus, "sizes": sizes, "seed": self.demo_seed}
        if root.exists():
            found = read_json(root / CORPUS_FILE) if (root / CORPUS_FILE).exists() else {}
            if any(found.get(key) != value for key, value in wanted.items()):
                raise UserError(
                    f"{root} holds something else than the demonstration {wanted}; remove it or change data.speech_dir"
                )
            return f"voices: {found['voices']}"
        with atomic_folder(root) as partial:
            engine = (make_wsj0 if self.is_wsj0 else make_librispeech)(partial, sizes, self.demo_seed, self.voices)
        return (
            "voices: espeak-ng"
            if engine == "espeak-ng"
            else "voices: the package's own formant synthesiser, as espeak-ng is not used"
        )

    @property
    def _decoded(self) -> Path:
        return Path(self.storage_dir) / "wsj0_wav"

    def plan(self, split: str) -> Plan:
        """How the mixtures of ``train``, ``valid`` or ``test`` come about."""
        if self.is_wsj0:
            speech = self._decoded if self._decoded.is_dir() else self.speech_dir
            name = _WSJ0_SPLITS[split]
            plan: Plan = WSJ0Plan(
                self.metadata_dir,
                speech,
                name,
                self.sample_rate,
                self.mode,
                n_expected=None if self.is_demo or self.is_real else COUNTS[name],
            )
        else:
            subset = self._subset(split)
            settings = (self.n_src, self.sample_rate, self.mode, self.stream, self.noise_dir)
            plan = LibriMixPlan(self.metadata_dir, self.speech_dir, subset, *settings)
        if self.is_real:
            plan.infos = {"dataset": self.corpus, "task": "sep_clean", "licenses": LICENSES}
        if self.is_demo:
            plan.infos = read_json(Path(self.speech_dir) / CORPUS_FILE)["infos"]
        return plan

    @property
    def root(self) -> Path:
        """Folder of the generated mixtures."""
        name = "wsj0-2mix/2speakers" if self.is_wsj0 else f"Libri{self.n_src}Mix"
        return Path(self.storage_dir) / name / f"wav{self.sample_rate // 1000}k" / self.mode

    def index(self, n_jobs: int | None = None) -> dict[str, dict[str, Any]]:
        """Stage 1: generate the mixtures with their metadata; for ``on_the_fly``, look at all files.

        Returns:
            Split -> ``{"mixtures", "left_out", "hours"}``.
        """
        records = {}
        for split in ("train", "valid", "test"):
            limit = getattr(self, f"n_{split}")
            if self.storage == "files":
                records[split] = generate(self.plan(split), self.root, self.allow_missing, limit, n_jobs)
            else:
                mixtures = OnTheFly(self.plan(split), allow_missing=self.allow_missing, limit=limit)
                hours = sum(mixtures.lengths) / self.sample_rate / 3600
                records[split] = {"mixtures": len(mixtures.names), "left_out": len(mixtures.left_out), "hours": hours}
        return records

    def train_set(self, seed: int = 42) -> SpeechMixtures:
        """Random crops for training."""
        dynamic = self._dynamic() if self.dynamic_mixing else None
        return SpeechMixtures(
            self._mixtures("train"), segment=self.segment, seed=seed, limit=self.n_train, dynamic=dynamic
        )

    def valid_set(self) -> SpeechMixtures:
        """Whole validation mixtures."""
        return SpeechMixtures(self._mixtures("valid"), limit=self.n_valid)

    def test_set(self) -> SpeechMixtures:
        """Whole test mixtures."""
        return SpeechMixtures(self._mixtures("test"), limit=self.n_test)

    def _mixtures(self, split: str) -> GeneratedFiles | OnTheFly:
        plan = self.plan(split)
        if self.storage == "on_the_fly":
            return OnTheFly(plan, self.quantise, self.allow_missing, getattr(self, f"n_{split}"))
        folder = self.root / "metadata" / plan.split
        if not folder.is_dir():
            raise UserError(f"{folder} is missing: run stage 1 first, or set data.storage to on_the_fly")
        return GeneratedFiles(folder, plan.infos, self.sample_rate, self.n_src)

    def _dynamic(self) -> DynamicMixing:
        plan = self.plan("train")
        utterances: dict[str, set[str]] = {}
        for index in range(len(plan.names)):
            for speaker, path in zip(plan.describe(index)["speakers"], plan.paths(index)):
                utterances.setdefault(speaker, set()).add(path)
        levels = "wsj0" if self.is_wsj0 else "librispeech"
        return DynamicMixing(utterances, self.segment, self.n_src, self.sample_rate, levels, self.speeds)


def speech_data(conf: Mapping[str, Any], recipe_dir: str | Path = ".") -> SpeechData:
    """The section ``data`` of a configuration with the model's rate and speakers, its paths relative to the recipe's folder.

    Raises:
        UserError: for an unknown key or value.
    """
    section, known = dict(conf["data"]), {one.name for one in fields(SpeechData)} - {"n_src", "sample_rate"}
    if unknown := sorted(set(section) - known):
        raise UserError(f"data.{unknown[0]}: unknown key; known are {', '.join(sorted(known))}")
    model = conf["model"]
    data = SpeechData(n_src=model.get("n_src", 2), sample_rate=model.get("sample_rate", 8000), **section)
    paths: dict[str, Any] = {
        key: str(Path(recipe_dir) / path)
        for key in ("speech_dir", "metadata_dir", "storage_dir", "noise_dir")
        if (path := getattr(data, key)) is not None
    }
    return replace(data, **paths)
