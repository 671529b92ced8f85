"""Corpora of real voices, made of any LibriSpeech-like folder: speakers are split, mixtures are drawn from a seed.

Loudness is as in LibriMix [1]: each utterance at a level drawn from [-33, -25] LUFS, everything below a peak of 0.9. For
WSJ0-2mix' recipe the utterances are written in WSJ0's layout, with its levels (0 to 5 dB between the speakers).

References
    [1] Cosentino et al., "LibriMix: An Open-Source Dataset for Generalizable Speech Separation", 2020, section 2.2.
"""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf

from ...common.errors import UserError
from ...common.files import atomic_path, read_json, write_json, write_text
from ...dsp.k_weighting import gated_loudness
from .plan import in_parallel
from .utterances import RATE, read_utterance, resample

RECORD = "real_voices.json"
LOUDNESS, PEAK = (-33, -25), 0.9  # LUFS; of full scale
SHARE = 10  # one in so many speakers is held out where no folder is meant for it
SIZES = {"train": 2000, "valid": 40, "test": 100}  # mixtures
_SUBSETS = {"train": "train-clean-100", "valid": "dev-clean", "test": "test-clean"}  # LibriMix' names of the three
_WSJ0_SPLITS = {"train": ("tr", "si_tr_s"), "valid": ("cv", "si_tr_s"), "test": ("tt", "si_et_05")}

Speakers = Mapping[str, list[str]]  # speaker -> paths of utterances
Split = Mapping[str, Speakers]
Pair = tuple[tuple[str, str], tuple[str, str]]  # (speaker, path) of each of the two


def find_speakers(root: str | Path) -> dict[str, dict[str, list[str]]]:
    """The utterances of a folder in LibriSpeech's layout, ``<subset>/<speaker>/<chapter>/<utterance>.flac`` (or wav).

    Returns:
        Subset -> speaker -> paths relative to ``root``; all sorted.

    Raises:
        UserError: where there are none.
    """
    root = Path(root)
    found: dict[str, dict[str, list[str]]] = {}
    for path in sorted([*root.glob("*/*/*/*.flac"), *root.glob("*/*/*/*.wav")]):
        subset, speaker, *_ = path.relative_to(root).parts
        found.setdefault(subset, {}).setdefault(speaker, []).append(path.relative_to(root).as_posix())
    if not found:
        raise UserError(
            f"{root} holds no <subset>/<speaker>/<chapter>/<utterance>.flac: give a folder in LibriSpeech's layout"
        )
    return found


def split_speakers(found: Split, seed: int = 0) -> dict[str, dict[str, list[str]]]:
    """Who trains, validates and tests: nobody does two of these.

    Folders called ``test*`` test and ``dev*`` validate, where there are both; one of them alone tests. All others train;
    what is still missing is a tenth of their speakers, drawn from ``seed``.

    Returns:
        ``train``, ``valid``, ``test`` -> speaker -> paths.

    Raises:
        UserError: if a part has fewer than two speakers.
    """
    kinds: dict[str, dict[str, list[str]]] = {"train": {}, "dev": {}, "test": {}}
    for subset, speakers in found.items():
        kind = next((name for name in ("dev", "test") if subset.startswith(name)), "train")
        for speaker, paths in speakers.items():
            kinds[kind].setdefault(speaker, []).extend(paths)
    valid, test = (kinds["dev"], kinds["test"]) if kinds["test"] else ({}, kinds["dev"])
    split = {"train": kinds["train"], "valid": valid, "test": test}
    order = [str(name) for name in np.random.default_rng([seed, 11]).permutation(sorted(split["train"]))]
    n_held_out = max(2, len(order) // SHARE)
    for part in ("test", "valid"):
        if not split[part]:
            names, order = order[:n_held_out], order[n_held_out:]
            split[part] = {name: split["train"][name] for name in sorted(names)}
    split["train"] = {name: split["train"][name] for name in sorted(order)}
    for part, speakers in split.items():
        if len(speakers) < 2:
            raise UserError(
                f"real voices: {len(speakers)} speaker(s) for {part}; two are needed, all different from the others'"
            )
    return split


def draw_mixtures(speakers: Speakers, n: int, generator: np.random.Generator) -> list[Pair]:
    """``n`` different pairs of utterances of two speakers each; every utterance is used about equally often.

    Args:
        speakers: speaker -> paths.

    Returns:
        ``((speaker, path), (speaker, path))``; fewer where there are not so many.
    """
    everything = [(speaker, path) for speaker, paths in speakers.items() for path in paths]
    pairs: dict[frozenset[str], Pair] = {}
    barren = 0
    while len(pairs) < n and barren < 20:
        left, before = [everything[index] for index in generator.permutation(len(everything))], len(pairs)
        while left and len(pairs) < n:
            first = left.pop()
            place = next((place for place in reversed(range(len(left))) if left[place][0] != first[0]), None)
            if place is not None:
                second = left.pop(place)
                pairs.setdefault(frozenset((first[1], second[1])), (first, second))
        barren = barren + 1 if len(pairs) == before else 0
    return list(pairs.values())


def make_librimix_lists(root: str | Path, folder: str | Path, sizes: Mapping[str, int], seed: int = 0) -> str:
    """LibriMix' metadata of the voices in ``root``, in ``folder``; what was made with the same settings stays.

    Args:
        root: see :func:`find_speakers`.
        folder: gets ``libri2mix_<subset>.csv`` and ``..._info.csv`` under LibriMix' names of the subsets.
        sizes: ``train``, ``valid``, ``test``: mixtures.
        seed: decides everything.

    Returns:
        Who is in which part, in a sentence.
    """
    folder, split = Path(folder), split_speakers(find_speakers(root), seed)
    record = _record("libri2mix_real", split, sizes, seed)
    if not _is_made(folder / RECORD, record):
        paths = [path for speakers in split.values() for paths in speakers.values() for path in paths]
        measured = dict(zip(paths, in_parallel(lambda path: _measure(Path(root) / path), paths, "measuring loudness")))
        sexes = _sexes(Path(root) / "SPEAKERS.TXT")
        for number, (part, speakers) in enumerate(split.items()):
            generator = np.random.default_rng([seed, 12, number])
            write_librimix(
                folder, _SUBSETS[part], draw_mixtures(speakers, sizes[part], generator), measured, sexes, generator
            )
        write_json(folder / RECORD, record)
    return _sentence(split)


def make_wsj0_files(
    root: str | Path, folder: str | Path, lists: str | Path, sizes: Mapping[str, int], seed: int = 0
) -> str:
    """The voices in ``root`` as WAV files in WSJ0's layout, and WSJ0-2mix' lists of them in ``lists``.

    A speaker gets a code of three letters, as WSJ0's have. Other arguments and result as :func:`make_librimix_lists`.
    """
    folder, lists, split = Path(folder), Path(lists), split_speakers(find_speakers(root), seed)
    record = _record("wsj0_2mix_real", split, sizes, seed)
    if _is_made(lists / RECORD, record):
        return _sentence(split)
    codes = {speaker: _code(place) for place, speaker in enumerate(name for part in split.values() for name in part)}
    for number, (part, speakers) in enumerate(split.items()):
        (name, where), generator = _WSJ0_SPLITS[part], np.random.default_rng([seed, 13, number])
        pairs = draw_mixtures(speakers, sizes[part], generator)
        used = sorted({utterance for pair in pairs for utterance in pair})
        names = {path: f"{where}/{codes[who]}/{codes[who]}{place:05d}.wav" for place, (who, path) in enumerate(used)}
        jobs = [(Path(root) / path, folder / target) for path, target in names.items()]
        levels = in_parallel(lambda job: _convert(*job), jobs, f"converting {part}")
        lines = [f"{Path(target).stem} {level:.16e}\n" for target, level in zip(names.values(), levels)]
        write_text(lists / f"activlev_{name}.txt", "".join(lines))
        write_text(
            lists / f"mix_2_spk_{name}.txt",
            "".join(wsj0_line(names[one], names[two], generator) for (_, one), (_, two) in pairs),
        )
    for place in ("si_tr_s", "si_dt_05", "si_et_05"):
        (folder / place).mkdir(parents=True, exist_ok=True)
    write_json(lists / RECORD, record)
    return _sentence(split)


def _record(corpus: str, split: Split, sizes: Mapping[str, int], seed: int) -> dict[str, Any]:
    counts = {part: [len(speakers), sum(map(len, speakers.values()))] for part, speakers in split.items()}
    return {"corpus": corpus, "speakers_and_utterances": counts, "sizes": sizes, "seed": seed}


def _is_made(path: Path, record: dict[str, Any]) -> bool:
    if not path.exists():
        return False
    if read_json(path) != record:
        raise UserError(
            f"{path.parent} was made of other voices or with other settings: remove it or change data.metadata_dir"
        )
    return True


def _sentence(split: Split) -> str:
    counts = ", ".join(f"{len(speakers)} for {part}" for part, speakers in split.items())
    return f"real voices: {sum(map(len, split.values()))} speakers, {counts}"


def _sexes(path: Path) -> dict[str, str]:
    """Speaker -> M or F, from LibriSpeech's table, where it lies there."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    rows = [line.split("|") for line in lines if not line.startswith(";")]
    return {row[0].strip(): row[1].strip() for row in rows if len(row) > 1}


def _measure(path: Path) -> tuple[float, float]:
    """Loudness in LUFS and peak of an utterance."""
    wav = read_utterance(path)
    return gated_loudness(wav[:, None].astype(np.float64), RATE), float(np.abs(wav).max())


def write_librimix(
    folder: Path,
    subset: str,
    pairs: Sequence[Pair],
    measured: Mapping[str, tuple[float, float]],
    sexes: Mapping[str, str],
    generator: np.random.Generator,
) -> None:
    """LibriMix' two tables of a subset.

    Args:
        folder: where to.
        subset: LibriMix' name of it.
        pairs: who says what in each mixture.
        measured: path -> level in dB, which decides the gain, and peak (0: it limits nothing).
        sexes: speaker -> M or F.
        generator: draws the levels.
    """
    rows, people = [], []
    for pair in pairs:
        name = "_".join(Path(path).stem for _, path in pair)
        gains = _gains([measured[path] for _, path in pair], generator)
        rows.append([name, pair[0][1], gains[0], pair[1][1], gains[1], "", 0.0])
        people.append([name, *(value for speaker, _ in pair for value in (speaker, sexes.get(speaker, "")))])
    sources = ["source_1_path", "source_1_gain", "source_2_path", "source_2_gain", "noise_path", "noise_gain"]
    speakers = ["speaker_1_ID", "speaker_1_sex", "speaker_2_ID", "speaker_2_sex"]
    for ending, columns, lines in (("", sources, rows), ("_info", speakers, people)):
        with (
            atomic_path(folder / f"libri2mix_{subset}{ending}.csv") as partial,
            open(partial, "w", newline="", encoding="utf-8") as file,
        ):
            csv.writer(file).writerows([["mixture_ID", *columns], *lines])


def _gains(measured: Sequence[tuple[float, float]], generator: np.random.Generator) -> list[float]:
    """Gains that bring utterances (LUFS, peak) to drawn levels; the sum of their peaks, which bounds the mixture's, to 0.9."""
    wanted = generator.uniform(*LOUDNESS, len(measured))
    gains = [10 ** ((level - found) / 20) if np.isfinite(found) else 1.0 for level, (found, _) in zip(wanted, measured)]
    peak = sum(gain * peak for gain, (_, peak) in zip(gains, measured))
    return [float(gain * min(1.0, PEAK / peak)) if peak else float(gain) for gain in gains]


def _code(place: int) -> str:
    """Three digits or letters for up to 46,656 speakers."""
    digits = "0123456789abcdefghijklmnopqrstuvwxyz"
    return digits[place // 1296 % 36] + digits[place // 36 % 36] + digits[place % 36]


def _convert(path: Path, target: Path) -> float:
    """Write an utterance as 16-bit WAV; its active level at 8 kHz."""
    wav = read_utterance(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    sf.write(target, wav, RATE, subtype="PCM_16")
    return active_level(resample(wav, 8000))


def active_level(wav: np.ndarray) -> float:
    """Mean square of the frames of 20 ms, at 8 kHz, that are less than 16 dB below the mean: a simple stand-in for ITU-T P.56."""
    frames = np.square(wav[: len(wav) // 160 * 160].astype(np.float64)).reshape(-1, 160).mean(1)
    return float(frames[frames > frames.mean() * 10**-1.6].mean())


def wsj0_line(first: str, second: str, generator: np.random.Generator) -> str:
    """A line of WSJ0-2mix' lists, the second utterance below the first by up to 5 dB."""
    level = f"{generator.uniform(0.0001, 2.5):.5g}"
    return f"wsj0/{first} {level} wsj0/{second} -{level} \n"
