"""Writes the table of models into README.md, between its two markers: ``python tools/model_table.py``.

Quality and licence are what ``asteroid-bsrnn models`` lists, each score with the name of its metric; cost is counted by
``asteroid-bsrnn params --cost`` for the recipe's configuration of the same network.
"""

import sys
from pathlib import Path

import asteroid_bsrnn  # noqa: F401  registers the families
from asteroid_bsrnn.config import load_conf
from asteroid_bsrnn.recipe.cost import recipe_cost
from asteroid_bsrnn.weights import published

ROOT = Path(__file__).resolve().parents[1]
BEGIN, END = "<!-- models: written by python tools/model_table.py -->", "<!-- models end -->"
CHOSEN = {  # published name -> recipe and variant (or file) of the same network, where there is one
    "tiny-2spk": ("libri2mix", "local/tiny_2spk.yml"),
    "obsrnn-simo": ("musdb18hq", "simo_optimized"),
    "obsrnn": ("musdb18hq", "optimized"),
    "bsrnn-large": ("musdb18hq", "large"),
    "bsrnn-base": ("musdb18hq", "base"),
    "bs_roformer_musdb": None,
    "scnet-xl-ihf": None,
    "scnet-small": ("musdb18hq", "scnet"),
    "mel_band_roformer_kj_vocals": None,
    "mdx23c-musdb": None,
    "htdemucs": ("musdb18hq", "htdemucs"),
    "sepreformer-b-wsj0-2mix": ("wsj0-2mix", "sepreformer_b"),
    "tf-locoformer-m-wsj0-2mix": ("wsj0-2mix", "locoformer_m"),
    "convtasnet-libri2mix-sepclean-16k": None,
}
METRICS = (
    ("whole-track SDR", "uSDR"),
    ("cSDR", "cSDR"),
    ("validation uSDR", "uSDR, validation"),
    ("si_sdr_imp", "SI-SNRi"),
)


def table() -> str:
    """The table in Markdown."""
    lines = [
        "| `--model` | separates | published score | size | GMAC/s | trained on | licence of the weights |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [_row(published.entries()[name], place) for name, place in CHOSEN.items()]
    return "\n".join(lines)


def _row(entry, place):
    sources = ", ".join(entry.sources) if entry.sources else f"{_speakers(entry)} voices"
    cells = [
        f"`{entry.name}`" + (f" (`{entry.preset}`)" if entry.preset else ""),
        sources,
        _score(entry),
        _size(entry),
        _cost(place),
        entry.data.split(";")[0],
        _licence(entry.licence),
    ]
    return f"| {' | '.join(cells)} |"


def _speakers(entry):
    return {"2": "two", "3": "three"}[next(digit for digit in entry.name if digit in "23")]


def _score(entry):
    for score in entry.scores[:1]:
        values = dict(score["values"])
        mean = values.get("mean") or sum(values.values()) / len(values)
        words = next((words for part, words in METRICS if part in score["metric"]), score["metric"])
        return f"{mean:.2f} dB {words}"
    return "none"


def _size(entry):
    size = entry.size or (4 * entry.parameters if entry.parameters else None)
    return f"{size / 1e6:.0f} MB" if size else "not stated"


def _cost(place):
    if place is None:
        return ""
    recipe, variant = ROOT / "recipes" / place[0], place[1]
    conf = load_conf(recipe, recipe / variant if variant.endswith(".yml") else variant)
    return f"{recipe_cost(conf, True)[1]['total']:.3g}"


def _licence(text):
    return text.split(";")[0].split(":")[0].split(",")[0]


def written(text: str) -> str:
    """``text`` with the table between its markers anew."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}"


def main() -> int:
    readme = ROOT / "README.md"
    readme.write_text(written(readme.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
