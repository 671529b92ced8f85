"""Small corpora in LibriSpeech's and WSJ0's layouts, made of tones, for the tests of the generators."""

import csv
from pathlib import Path

import numpy as np
import soundfile as sf

RATE = 16000


def tone(seed, seconds, level=0.2):
    """A gliding tone with noise, (time,) float64 on the 16-bit grid."""
    generator = np.random.default_rng(seed)
    time = np.arange(int(seconds * RATE)) / RATE
    wav = np.sin(2 * np.pi * (100 + 37 * seed) * time * (1 + 0.02 * time)) + 0.1 * generator.standard_normal(len(time))
    return np.round(32768 * level * wav / np.abs(wav).max()) / 32768


def write(path, wav, rate=RATE):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    sf.write(path, wav, rate, subtype="PCM_16")


def librispeech(root, subsets=("train-clean-100", "dev-clean", "test-clean"), n_src=2, noise=False):
    """Three speakers with two utterances per subset, and metadata of three mixtures."""
    for number, subset in enumerate(subsets):
        paths = []
        for index in range(6):
            speaker = 100 * number + index // 2
            path = f"{subset}/{speaker}/7/{speaker}-7-{index % 2:04d}.flac"
            write(root / "LibriSpeech" / path, tone(10 * number + index, 0.5 + 0.0731 * index))
            paths.append(path)
        rows, infos = [], []
        for mixture in range(3):
            chosen = [paths[2 * speaker + (mixture + speaker) % 2] for speaker in np.roll(range(3), mixture)[:n_src]]
            name = "_".join(Path(path).stem for path in chosen)
            pairs = [value for place, path in enumerate(chosen) for value in (path, 0.5 + 0.31 * place + 0.1 * mixture)]
            rows.append([name, *pairs, f"tt/noise{mixture}.wav", 0.7])
            infos.append(
                [name, *(value for place, path in enumerate(chosen) for value in (path.split("/")[1], "MF"[place % 2]))]
            )
            if noise:
                write(
                    root / "noise" / "tt" / f"noise{mixture}.wav", np.stack([tone(90 + mixture, 0.4 + mixture)] * 2, 1)
                )
        columns = [
            "mixture_ID",
            *(f"source_{i + 1}_{what}" for i in range(n_src) for what in ("path", "gain")),
            "noise_path",
            "noise_gain",
        ]
        write_csv(root / "metadata" / f"libri{n_src}mix_{subset}.csv", columns, rows)
        people = ["mixture_ID", *(f"speaker_{i + 1}_{what}" for i in range(n_src) for what in ("ID", "sex"))]
        write_csv(root / "metadata" / f"libri{n_src}mix_{subset}_info.csv", people, infos)
    return root


def write_csv(path, columns, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])


WSJ0_LINES = [
    ("si_et_05/440/440c0201", "0.60431", "si_dt_05/050/050a0501"),
    ("si_dt_05/050/050a0502", "2.4999", "si_et_05/441/441o030y"),
    ("si_et_05/441/441o030y", "0.0079969", "si_dt_05/050/050a0501"),
]


def wsj0(root, split="tt", write_utterance=None):
    """Four utterances, a list of three mixtures with its trailing blanks, and active levels."""
    utterances = sorted({path for one, _, two in WSJ0_LINES for path in (one, two)})
    write_utterance = write_utterance or (lambda path, wav: write(path.with_suffix(".wav"), wav))
    levels = {}
    for seed, path in enumerate(utterances):
        wav = tone(seed, 0.6 + 0.113 * seed, 0.05 + 0.1 * seed)
        write_utterance(root / "wsj0" / path, wav)
        levels.setdefault(path.split("/")[0], []).append(f"{Path(path).name} {np.mean(wav**2):.16e}\n")
    (root / "lists").mkdir(parents=True, exist_ok=True)
    lines = [f"wsj0/{one}.wav {level} wsj0/{two}.wav -{level} \n" for one, level, two in WSJ0_LINES]
    (root / "lists" / f"mix_2_spk_{split}.txt").write_text("".join(lines))
    for folder, text in levels.items():
        (root / "lists" / f"activlev_{folder}.txt").write_text("".join(text))
    return root
