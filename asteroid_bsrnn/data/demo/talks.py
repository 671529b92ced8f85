"""Demonstration corpora of synthetic voices, in LibriSpeech's and in WSJ0's own layout, with the lists of their mixtures.

What is generated from them runs through the same code as the real corpora. Speakers of the test set speak nowhere
else. Voices and sentences are a function of the seed; scores on them show that everything works, and nothing else.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import soundfile as sf

from ...audio.sphere import write_sphere
from ...common.errors import UserError
from ...common.files import write_json, write_text
from ..corpus import CORPUS_FILE
from ..speech.plan import in_parallel
from ..speech.real_voices import active_level, write_librimix, wsj0_line
from ..speech.utterances import resample
from .voices import RATE, Speaker, choose_engine, make_speakers, speak

#: Speakers, espeak-ng's variants of men and women, utterances of each speaker.
SPLITS = {
    "train": (12, ("m1", "m2", "m3", "m4"), ("f1", "f2", "f3"), 10),
    "valid": (4, ("m5", "m6"), ("f1", "f4"), 6),
    "test": (6, ("m7", "m8"), ("f5", "f4"), 10),
}
_SUBJECTS = (
    "the old farmer,my younger sister,a quiet engineer,the village doctor,our new neighbour,every careful "
    "driver,the tired captain,one of the musicians"
).split(",")
_VERBS = "repaired,painted,borrowed,discovered,described,carried,remembered,measured,collected,forgot".split(",")
_OBJECTS = (
    "a wooden bridge,the yellow bicycle,seven letters,an empty bottle,the morning paper,a pair of "
    "boots,their winter coats,the broken radio,some fresh bread,a silver coin"
).split(",")
_ENDS = (
    "before the summer rain,near the railway station,without any help,in the middle of the night,for the "
    "third time,behind the stone church,on a windy afternoon,with great patience"
).split(",")
Pair = tuple[tuple[int, int], ...]
"""(speaker, utterance) of each of the two, by number."""
LICENSE = {
    "title": "Sentences spoken by synthetic voices, made by asteroid_bsrnn",
    "title_link": "https://creativecommons.org/publicdomain/zero/1.0/",
    "author": "asteroid_bsrnn",
    "author_link": "https://creativecommons.org/publicdomain/zero/1.0/",
    "license": "CC0 1.0",
    "license_link": "https://creativecommons.org/publicdomain/zero/1.0/",
    "non_commercial": False,
}


def sentence(generator: np.random.Generator) -> str:
    """A sentence of about ten words."""
    return " ".join(words[generator.integers(len(words))] for words in (_SUBJECTS, _VERBS, _OBJECTS, _ENDS)) + "."


def spoken(split: str, seed: int, engine: str) -> list[tuple[Speaker, list[np.ndarray]]]:
    """Every utterance of a split.

    Returns:
        One list per speaker of (speaker, utterances), an utterance being (time,) at 16 kHz.
    """
    n, male, female, n_utterances = SPLITS[split]
    speakers = make_speakers(n, male, female, seed)
    texts = np.random.default_rng([seed, list(SPLITS).index(split)])
    jobs = [(speaker, sentence(texts)) for speaker in speakers for _ in range(n_utterances)]
    wavs = in_parallel(lambda job: speak(job[1], job[0], engine), jobs, f"speaking {split}", unit="utterance")
    return [
        (speaker, wavs[index * n_utterances : (index + 1) * n_utterances]) for index, speaker in enumerate(speakers)
    ]


def draw_pairs(counts: Sequence[int], n: int, generator: np.random.Generator) -> list[Pair]:
    """``n`` different pairs ((speaker, utterance), (speaker, utterance)) of a man and a woman, in any order.

    A small model learns to tell these apart in minutes; two voices of one sex take hours.

    Args:
        counts: utterances of each speaker; men and women in turn.
    """
    possible = 2 * sum(counts[::2]) * sum(counts[1::2])
    if n > possible // 2:  # beyond, drawing takes long
        raise UserError(
            f"a demonstration of {sum(counts)} utterances cannot have {n} mixtures in a split; {possible // 2} at most"
        )
    pairs: set[Pair] = set()
    while len(pairs) < n:
        speakers = generator.permutation(
            [2 * generator.integers((len(counts) + 1) // 2), 2 * generator.integers(len(counts) // 2) + 1]
        )
        pairs.add(tuple((int(speaker), int(generator.integers(counts[speaker]))) for speaker in speakers))
    return sorted(pairs, key=lambda pair: generator.random())


def make_librispeech(root: str | Path, sizes: Mapping[str, int], seed: int = 0, voices: str = "auto") -> str:
    """LibriSpeech's layout with LibriMix's metadata in ``root/metadata``.

    Args:
        root: where to.
        sizes: ``train``, ``valid``, ``test``: number of mixtures.
        seed: decides everything.
        voices: ``auto``, ``espeak-ng`` or ``formant``.

    Returns:
        The voices that were used.
    """
    root, engine, table = Path(root), choose_engine(voices), []
    subsets = {"train": ("train-clean-100", 1000), "valid": ("dev-clean", 2000), "test": ("test-clean", 3000)}
    for split, (subset, first_id) in subsets.items():
        generator, files, sexes = np.random.default_rng([seed, 7, first_id]), [], {}
        levels: dict[str, tuple[float, float]] = {}
        for index, (speaker, wavs) in enumerate(spoken(split, seed, engine)):
            number, chapter = first_id + index, 100 + index
            table.append(
                f"{number:<5}| {speaker.sex} | {subset:<16} | {sum(map(len, wavs)) / RATE / 60:.2f} | {speaker.variant}\n"
            )
            names = [f"{subset}/{number}/{chapter}/{number}-{chapter}-{place:04d}.flac" for place in range(len(wavs))]
            for name, wav in zip(names, wavs):
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                sf.write(root / name, wav, RATE, subtype="PCM_16")
            sexes[str(number)] = speaker.sex
            files.append([(str(number), name) for name in names])
            levels.update(zip(names, ((10 * np.log10(np.mean(wav**2)), 0.0) for wav in wavs)))
        drawn = draw_pairs([len(spoken_by) for spoken_by in files], sizes[split], generator)
        pairs = [(files[one][first], files[two][second]) for (one, first), (two, second) in drawn]
        write_librimix(root / "metadata", subset, pairs, levels, sexes, generator)
    write_text(root / "SPEAKERS.TXT", ";ID  |SEX| SUBSET           |MINUTES| NAME\n" + "".join(table))
    return _describe(root, "libri2mix_demo", sizes, seed, engine)


def make_wsj0(root: str | Path, sizes: Mapping[str, int], seed: int = 0, voices: str = "auto") -> str:
    """WSJ0's layout, ``.wv1`` files included, with lists and active levels in ``root/metadata``.

    As there, training and validation share speakers and differ in utterances, and the test set's two folders hold
    other speakers. Arguments and result as :func:`make_librispeech`.
    """
    root, engine = Path(root), choose_engine(voices)
    known = {"si_tr_s": _write_wv1(root, ["si_tr_s"], "01", spoken("train", seed, engine)),
             "test": _write_wv1(root, ["si_dt_05", "si_et_05"], "44", spoken("test", seed, engine))}  # fmt: skip
    halves = {"train": lambda paths: paths[: len(paths) * 3 // 4], "valid": lambda paths: paths[len(paths) * 3 // 4 :]}
    for number, (split, name) in enumerate((("train", "tr"), ("valid", "cv"), ("test", "tt"))):
        files = [halves.get(split, list)(paths) for paths in known["test" if split == "test" else "si_tr_s"]]
        generator, lines = np.random.default_rng([seed, 8, number]), []
        for (one, first), (two, second) in draw_pairs([len(paths) for paths in files], sizes[split], generator):
            lines.append(wsj0_line(files[one][first], files[two][second], generator))
        write_text(root / "metadata" / f"mix_2_spk_{name}.txt", "".join(lines))
    return _describe(root, "wsj0_2mix_demo", sizes, seed, engine)


def _write_wv1(
    root: Path, folders: Sequence[str], prefix: str, spoken_by: Iterable[tuple[Speaker, list[np.ndarray]]]
) -> list[list[str]]:
    """Write the speakers in turn into the folders; their utterances as the lists name them."""
    files = []
    levels: dict[str, list[str]] = {folder: [] for folder in folders}
    for index, (_, wavs) in enumerate(spoken_by):
        folder, speaker = folders[index % len(folders)], f"{prefix}{chr(ord('a') + index)}"
        names = [f"{speaker}c02{place:02d}" for place in range(len(wavs))]
        for name, wav in zip(names, wavs):
            write_sphere(root / folder / speaker / f"{name}.wv1", np.round(wav * 32767).astype(np.int16), RATE)
            levels[folder].append(f"{name} {active_level(resample(wav, 8000)):.16e}\n")
        files.append([f"{folder}/{speaker}/{name}.wav" for name in names])
    for folder, lines in levels.items():
        write_text(root / "metadata" / f"activlev_{folder}.txt", "".join(lines))
    return files


def _describe(root: Path, corpus: str, sizes: Mapping[str, int], seed: int, engine: str) -> str:
    infos = {"dataset": corpus, "task": "sep_clean", "licenses": [LICENSE]}
    write_json(root / CORPUS_FILE, {"corpus": corpus, "sizes": sizes, "seed": seed, "voices": engine, "infos": infos})
    return engine
