"""From the name of a published model to its weights: records, downloads, choice of checkpoints, cache."""

import os
import re
import sys
from pathlib import Path

from ...common.download import fetch, zenodo_record
from ...common.errors import UserError
from ...common.files import read_json, write_json
from ..load import load_model
from .contents import convert_all, may_hold_weights
from .entries import find


def cache_dir():
    """Folder of what was fetched: environment variable ASTEROID_BSRNN_CACHE, else ~/.cache/asteroid_bsrnn."""
    return Path(os.environ.get("ASTEROID_BSRNN_CACHE") or Path.home() / ".cache" / "asteroid_bsrnn")


def manifest(name):
    """What :func:`download` returned, when the model is in the cache and complete; None otherwise."""
    path = cache_dir() / "models" / f"{name}.json"
    if not path.exists():
        return None
    content = read_json(path)
    return content if all(_converted(part["sha256"]).exists() for part in content["checkpoints"]) else None


def load_conf(name):
    """A published model as ``BaseModel.from_pretrained`` takes it; downloaded first when it is not in the cache.

    Returns:
        dict: ``model_name``, ``model_args``, ``state_dict``, ``infos``.
    """
    from ...models import StemSeparator

    found = download(name)
    parts = [load_model(_converted(part["sha256"])) for part in found["checkpoints"]]
    model = parts[0] if len(parts) == 1 else StemSeparator(parts, find(name).sources)
    conf = model.serialize()
    conf["infos"]["card"] = {key: found[key] for key in ("name", "record", "title", "url", "licence")}
    return conf


def download(name, api=None, progress=True):
    """Fetch a published model into the cache, unless it is there.

    The files of its records are looked into one after the other (those whose names look promising first) until every
    part of the model is found; which checkpoint is which is decided by its weights and settings, never by its name.
    Nothing is executed.

    Args:
        name (str): see :func:`asteroid_bsrnn.weights.published.names`.
        api (str, optional): base address of Zenodo's API, see :func:`asteroid_bsrnn.common.download.zenodo_record`.
        progress (bool): show progress bars and where the model comes from.

    Returns:
        dict: ``name, record, title, url, licence`` (as the record states it), ``checkpoints`` (each with ``sources``,
        ``sha256``, ``file``, ``member``).

    Raises:
        UserError: unknown name, no network, wrong checksum, or a record without such a model; says what was there.
    """
    entry, known = find(name), manifest(name)
    if known:
        return known
    looked_into = []
    for number in entry.records:
        record = zenodo_record(number, api)
        candidates = []
        for file in sorted(record["files"], key=lambda file: _unpromising(file["name"], entry)):
            if not may_hold_weights(file["name"]):
                continue
            report = _look_into(record, file, progress)
            candidates += [{**part, "file": file["name"]} for part in report["checkpoints"] if entry.fits(part["args"])]
            looked_into.append((number, report))
            parts = _choose(entry, candidates)
            if parts:
                return _remember(entry, record, parts, progress)
    raise UserError(_not_found(entry, looked_into))


def _unpromising(name, entry):
    """Order of download only: files that share words with the model's name come first, smaller guesses last."""
    words = set(re.split(r"[^a-z0-9]+", name.lower()))
    return -len(words & set(entry.name.split("-"))), name


def _look_into(record, file, progress):
    """What a file of a record holds; fetched and converted at the first call, remembered by its checksum."""
    digest = file["checksum"].replace(":", "-")
    index = cache_dir() / "files" / f"{digest}.json"
    if index.exists():
        report = read_json(index)
        if all(_converted(part["sha256"]).exists() for part in report["checkpoints"]):
            return report
    safe_name = re.sub(r"[^\w.-]", "_", file["name"])[-80:]
    path = cache_dir() / "downloads" / f"{digest}-{safe_name}"
    fetch(file["url"], path, checksum=file["checksum"], size=file["size"], progress=progress)
    origin = {"record": record["record"], "licence": record["licence"], "file": file["name"]}
    checkpoints, skipped = convert_all(path, cache_dir() / "checkpoints", path.with_name(digest + ".unpacked"), origin)
    report = {"file": file["name"], "checkpoints": checkpoints, "skipped": skipped}
    write_json(index, report)
    path.unlink()
    return report


def _choose(entry, candidates):
    """One checkpoint for each part of the model, or None while one is missing.

    Raises:
        UserError: where two different checkpoints answer to the same description and training length.
    """
    wanted = [tuple(entry.sources)] if entry.joint else [(source,) for source in entry.sources]
    chosen = []
    for sources in wanted:
        fitting = {
            part["sha256"]: part
            for part in candidates
            if set(part["args"]["sources"]) == set(sources) and _is_sure(part)
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


def _is_sure(part):
    """Vocals and other share a band table: without a setting that names it, such a checkpoint could be either."""
    return part["told"] or tuple(part["args"]["sources"]) not in (("vocals",), ("target",))


def _training_length(part):
    return part.get("global_step", -1), part.get("epoch", -1)


def _remember(entry, record, parts, progress):
    found = {
        "name": entry.name,
        **{key: record[key] for key in ("record", "title", "url", "licence")},
        "checkpoints": parts,
    }
    write_json(cache_dir() / "models" / f"{entry.name}.json", found)
    if progress:
        print(f"{entry.name}: {record['title']}, {record['url']}; licence: {record['licence']}", file=sys.stderr)
    return found


def _converted(digest):
    return cache_dir() / "checkpoints" / f"{digest}.safetensors"


def _not_found(entry, looked_into):
    """What was there instead, shortly."""
    found, reasons = [], []
    for number, report in looked_into:
        found += [f"{part['member']} ({_describe(part)})" for part in report["checkpoints"]]
        reasons += [f"{item['member']}: {item['reason']}" for item in report["skipped"]]
    seen = f"; recognised were {', '.join(found[:8])}" if found else ""
    why = f"; left aside were {'; '.join(reasons[:3])}" if reasons else ""
    records = ", ".join(str(number) for number in entry.records)
    return (
        f"{entry.name} was not found in Zenodo record {records}: {len(looked_into)} files were looked into{seen}{why}"
    )


def _describe(part):
    args = part["args"]
    sources = ", ".join(args["sources"]) if _is_sure(part) else "vocals or other, it does not say"
    extras = [f"{args[key]} {key}" for key in ("stereo", "n_attn_heads") if args.get(key)]
    return ", ".join([sources, f"{args['feature_dim']} features", f"{args['n_repeats']} repeats", *extras])
