"""``build_page``: sounds, pictures and one HTML file, all relative, in one folder."""

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, cast

import jinja2
import matplotlib
import numpy as np
import soundfile

from ...common.errors import UserError
from ...common.files import atomic_folder, atomic_path, write_text
from ...experiment.run_file import read_run
from ...experiment.scores import SCORES_FILE
from ..experiments import is_demo_corpus
from ..figures.spectrogram import FLOOR_DB, mel_spectrogram
from . import loudness
from .clips import find_clips
from .score import Scored, add_sdr, load
from .select import choose, same_sex_pairs

HERE = Path(__file__).parent
TITLE = "Listening page"
SCRIPTS = ("player.js", "page.js", "abx.js")


def build_page(
    folders: Iterable[str | Path], out_dir: str | Path, seed: int = 0, info: str | Path | None = None
) -> Path:
    """Build a listening page that opens from disk without a network.

    Args:
        folders: experiment folders with ``examples/``, or folders in the supplement's layout.
        out_dir: where ``index.html``, ``audio/`` and ``images/`` appear; an older page there is replaced.
        seed: of the draw of clips and the default of the blind test.
        info: CSV that tells the speakers' sexes, to show a pair of one sex.

    Returns:
        ``index.html``.

    Raises:
        UserError: for folders without clips and for files of a clip that do not fit each other.
    """
    out_dir, places = Path(out_dir), [Path(folder) for folder in folders]
    scored = [load(clip) for clip in find_clips(places)]
    infos = [info] if info else [path for path in (folder / SCORES_FILE for folder in places) if path.exists()]
    same_sex = set().union(*(same_sex_pairs(path) for path in infos if info or scored[0].clip.kind == "speech"))
    chosen = choose(scored, seed, same_sex)
    if out_dir.is_dir() and any(out_dir.iterdir()) and not (out_dir / "index.html").exists():
        raise UserError(f"{out_dir} is not empty and holds no listening page; choose another folder with -o")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    kinds = {item.clip.kind for item, _ in chosen}
    with atomic_folder(out_dir) as partial:
        clips = [
            _write_clip(item, reason, partial, f"clip{number}") for number, (item, reason) in enumerate(chosen, start=1)
        ]
        manifest = json.dumps({"seed": seed, "clips": [clip["manifest"] for clip in clips]})
        html = environment.from_string((HERE / "page.html.j2").read_text(encoding="utf-8")).render(
            title=TITLE,
            floor=FLOOR_DB,
            clips=clips,
            systems=_systems(places, scored),
            seed=seed,
            total=len(scored),
            rules=[loudness.RULES[kind] for kind in sorted(kinds)],
            common=loudness.COMMON,
            style=(HERE / "page.css").read_text(encoding="utf-8"),
            script="\n".join((HERE / name).read_text(encoding="utf-8") for name in SCRIPTS),
            manifest=manifest.replace("<", "\\u003c"),  # so that nothing in it ends its script element
        )
        write_text(partial / "index.html", html)
    return out_dir / "index.html"


def _write_clip(item: Scored, reason: str, out_dir: Path, key: str) -> dict[str, Any]:
    """Write the sounds and pictures of one clip.

    Returns:
        What the template needs; ``manifest`` is what the script needs.
    """
    systems = list(item.estimates)
    if item.clip.kind == "speech":
        add_sdr(item)
    matched = {
        (system, source): loudness.match(
            item.clip.kind, wav, item.references[source], item.sample_rate, item.scores[system][source]["out"]
        )
        for system in systems
        for source, wav in item.estimates[system].items()
    }
    gain = loudness.fit([item.mixture, *item.references.values(), *matched.values()])
    top = max(
        mel_spectrogram(wav, item.sample_rate).max() for wav in (item.mixture, *item.references.values())
    ) + 20 * np.log10(gain)

    def write(name: str, wav: np.ndarray) -> dict[str, str]:
        stem = f"{key}_{_slug(name)}"
        with atomic_path(out_dir / "audio" / f"{stem}.wav") as partial:
            soundfile.write(partial, wav * gain, item.sample_rate, subtype="PCM_16")
        _draw(out_dir / "images" / f"{stem}.png", mel_spectrogram(wav * gain, item.sample_rate), top)
        return {"audio": f"audio/{stem}.wav", "image": f"images/{stem}.png"}

    mixture, groups = write("mixture", item.mixture), []
    for number, source in enumerate(item.references):
        tracks: list[dict[str, Any]] = [
            {"label": "Mixture", "kind": "mixture", "copy_of": None, "id": f"{key}-{number}-mixture", **mixture},
            {
                "label": "Reference",
                "kind": "reference",
                "copy_of": None,
                "id": f"{key}-{number}-reference",
                **write(f"reference_{source}", item.references[source]),
            },
        ]
        for place, system in enumerate(systems):
            if source in item.estimates[system]:
                copy = next(
                    (copy for copy in item.copies if (copy["system"], copy["source"]) == (system, source)), None
                )
                tracks.append(
                    {
                        "label": system,
                        "kind": "estimate",
                        "id": f"{key}-{number}-{place}",
                        "score": item.scores[system][source],
                        "copy_of": copy,
                        **write(f"{place}_{system}_{source}", matched[system, source]),
                    }
                )
        groups.append({"source": source, "tracks": tracks})
    return {
        "key": key,
        "name": item.clip.name,
        "reason": reason,
        "groups": groups,
        "copies": item.copies,
        "copied": {copy["system"] for copy in item.copies},
        "swapped": item.swapped,
        "notes": item.notes,
        "means": item.means,
        "kind": item.clip.kind,
        "metric": "SI-SNR" if item.clip.kind == "speech" else "uSDR",
        "gain_db": 20 * np.log10(gain),
        "seconds": len(item.mixture) / item.sample_rate,
        "sample_rate": item.sample_rate,
        "manifest": _manifest(key, item, groups),
    }


def _manifest(key: str, item: Scored, groups: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {
        "key": key,
        "name": item.clip.name,
        "seconds": len(item.mixture) / item.sample_rate,
        "groups": [
            {
                "source": group["source"],
                "tracks": [
                    {
                        "id": track["id"],
                        "label": track["label"],
                        "kind": track["kind"],
                        "audio": track["audio"],
                        "copy": bool(track["copy_of"]),
                    }
                    for track in group["tracks"]
                ],
            }
            for group in groups
        ],
    }


def _draw(path: Path, level: np.ndarray, top: float) -> None:
    picture = np.clip((level[::-1] - top + FLOOR_DB) / FLOOR_DB, 0, 1)
    colors = (matplotlib.colormaps["magma"](picture)[..., :3] * 255).astype(np.uint8)
    with atomic_path(path) as partial:
        matplotlib.image.imsave(partial, np.ascontiguousarray(colors), metadata=cast(Any, {"Software": None}))


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-")[:60]


def _systems(folders: Sequence[Path], scored: Sequence[Scored]) -> list[dict[str, Any]]:
    """What is known of each system: from its experiment's run.json, where there is one."""
    known: dict[str, dict[str, Any]] = {}
    for folder in folders:
        home = folder.parent if folder.resolve().name == "examples" else folder
        places = [home, *sorted(child for child in home.iterdir() if child.is_dir())]
        runs = [run for place in places if (run := read_run(place))]
        if runs:
            counts = [run.n_params for run in runs if isinstance(run.n_params, int)]
            known[home.resolve().name] = {
                "variant": runs[0].variant,
                "corpus": runs[0].corpus,
                "commit": (runs[0].commit or "")[:10],
                "seed": runs[0].seed,
                "demo": is_demo_corpus(runs[0].corpus),
                "parameters": sum(counts) if counts else None,
            }
    names = list(dict.fromkeys(system for item in scored for system in item.estimates))
    return [{"name": name, **known.get(name, {}), "known": name in known} for name in names]
