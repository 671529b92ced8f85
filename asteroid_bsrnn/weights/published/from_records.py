"""Models in Zenodo records of which nobody wrote down which file is which: recognised by what is inside."""

import re
from typing import Any

from ...common.download import fetch, zenodo_record
from ...common.errors import UserError
from ...common.files import read_json, write_json
from ..catalogue import Entry
from .cache import Manifest, cache_dir, converted
from .contents import convert_all, may_hold_weights

_WORDS = {"feature_dim": "features", "n_repeats": "repeats", "stereo": "stereo", "n_attn_heads": "n_attn_heads"}


def from_records(entry: Entry, api: str | None = None, progress: bool = True) -> Manifest:
    """Look into the files of an entry's records, one after the other, until every part of the model is found.

    Those whose names look promising come first. Which checkpoint is which is decided by its weights and settings, never
    by its name. Nothing is executed.

    Returns:
        ``record, title, url, licence`` (as the record states it), ``checkpoints`` (each with ``sources``, ``sha256``,
        ``file``, ``member``).

    Raises:
        UserError: no network, wrong checksum, or a record without such a model; says what was there.
    """
    looked_into = []
    for number in entry.records:
        record = zenodo_record(number, api)
        candidates = []
        for file in sorted(record["files"], key=lambda file: _unpromising(file["name"], entry)):
            if not may_hold_weights(file["name"]):
                continue
            report = _look_into(record, file, entry.system, progress)
            candidates += [{**part, "file": file["name"]} for part in report["checkpoints"] if entry.fits(part["args"])]
            looked_into.append((number, report))
            parts = _choose(entry, candidates)
            if parts:
                return {**{key: record[key] for key in ("record", "title", "url", "licence")}, "checkpoints": parts}
    raise UserError(_not_found(entry, looked_into))


def _unpromising(name: str, entry: Entry) -> tuple[int, str]:
    """Order of download only: files that share words with the model's name come first, smaller guesses last."""
    words = set(re.split(r"[^a-z0-9]+", name.lower()))
    return -len(words & set(entry.name.split("-"))), name


def _look_into(record: dict[str, Any], file: dict[str, Any], system: str, progress: bool) -> dict[str, Any]:
    """What a file of a record holds; fetched and converted at the first call, remembered by its checksum."""
    digest = file["checksum"].replace(":", "-")
    index = cache_dir() / "files" / f"{digest}.json"
    if index.exists():
        report = read_json(index)
        if all(converted(part["sha256"]).exists() for part in report["checkpoints"]):
            return report
    safe_name = re.sub(r"[^\w.-]", "_", file["name"])[-80:]
    path = cache_dir() / "downloads" / f"{digest}-{safe_name}"
    fetch(file["url"], path, checksum=file["checksum"], size=file["size"], progress=progress)
    origin = {"record": record["record"], "licence": record["licence"], "file": file["name"]}
    checkpoints, skipped = convert_all(path, converted("").parent, path.with_name(digest + ".unpacked"), origin, system)
    report = {"file": file["name"], "checkpoints": checkpoints, "skipped": skipped}
    write_json(index, report)
    path.unlink()
    return report


def _choose(entry: Entry, candidates: list[dict[str, Any]]) -> list[dict[str, Any]] | None:
    """One checkpoint for each part of the model, or None while one is missing.

    Raises:
        UserError: where two different checkpoints answer to the same description and training length.
    """
    names = tuple(entry.sources or ())
    wanted = [names] if entry.joint else [(source,) for source in names]
    chosen = []
    for sources in wanted:
        fitting = {
            part["sha256"]: part
            for part in candidates
            if set(part["args"]["sources"]) == set(sources) and _is_sure(entry, part)
        }
        if not fitting:
            return None
        ranked = sorted(fitting.values(), key=_training_length, reverse=True)
        if len(ranked) > 1 and _training_length(ranked[0]) == _training_length(ranked[1]):
            both = " and ".join(f"{part['member']} in {part['file']}" for part in ranked[:2])
            raise UserError(
                f"{entry.name}: two different checkpoints of {', '.join(sources)} fit, {both}; "
                "convert the one you want yourself"
            )
        chosen.append({"sources": list(sources), **{key: ranked[0][key] for key in ("sha256", "file", "member")}})
    return chosen


def _is_sure(entry: Entry, part: dict[str, Any]) -> bool:
    """Whether a checkpoint says which source it is for, or shows it."""
    return part["told"] or tuple(part["args"]["sources"]) not in [*((name,) for name in entry.alike), ("target",)]


def _training_length(part: dict[str, Any]) -> tuple[int, int]:
    return part.get("global_step", -1), part.get("epoch", -1)


def _not_found(entry: Entry, looked_into: list[tuple[int, dict[str, Any]]]) -> str:
    """What was there instead, shortly."""
    found, reasons = [], []
    for _, report in looked_into:
        found += [f"{part['member']} ({_describe(entry, part)})" for part in report["checkpoints"]]
        reasons += [f"{item['member']}: {item['reason']}" for item in report["skipped"]]
    seen = f"; recognised were {', '.join(found[:8])}" if found else ""
    why = f"; left aside were {'; '.join(reasons[:3])}" if reasons else ""
    records = ", ".join(str(number) for number in entry.records)
    return (
        f"{entry.name} was not found in Zenodo record {records}: {len(looked_into)} files were looked into{seen}{why}"
    )


def _describe(entry: Entry, part: dict[str, Any]) -> str:
    args = part["args"]
    sources = ", ".join(args["sources"]) if _is_sure(entry, part) else f"{' or '.join(entry.alike)}, it does not say"
    return ", ".join([sources, *(f"{args[key]} {word}" for key, word in _WORDS.items() if args.get(key))])
