"""``asteroid-bsrnn models``: the published models that can be had by name."""

import argparse
from typing import Any


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add ``models`` to the console command."""
    parser = subparsers.add_parser("models", help="list the published models that can be had by name")
    parser.add_argument("--json", action="store_true", help="print JSON and nothing else")


def run(args: argparse.Namespace) -> None:
    """Print the table."""
    import json

    from ..weights import published

    rows = [_row(entry, published.manifest(name)) for name, entry in published.entries().items()]
    if args.json:
        print(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    for row in rows:
        print("\n".join(_lines(row)) + "\n")
    print("asteroid-bsrnn separate SONG -o DIR --model NAME fetches a model when it is first needed.")


def _row(entry: Any, manifest: dict[str, Any] | None) -> dict[str, Any]:
    size = entry.size if entry.size else 4 * entry.parameters if entry.parameters else None
    return {
        "name": entry.name,
        "preset": entry.preset,
        "description": entry.description or entry.note,
        "system": entry.system,
        "model": entry.model,
        "sources": list(entry.sources or ()),
        "parameters": entry.parameters,
        "megabytes": round(size / 1e6) if size else None,
        "data": entry.data,
        "licence": manifest["licence"] if manifest else entry.licence,
        "scores": list(entry.scores),
        "inference": dict(entry.inference),
        "members": list(entry.members),
        "checksum": entry.checksum,
        "downloaded": manifest is not None,
        "public": entry.public,
        "from": _origin(entry, manifest),
    }


def _origin(entry: Any, manifest: dict[str, Any] | None) -> str:
    if entry.file:
        return "the package itself"
    if manifest:
        return manifest["url"] + " (downloaded)"
    if entry.members:
        return "its members " + ", ".join(entry.members)
    if entry.records:
        return "Zenodo record " + ", ".join(str(number) for number in entry.records)
    if entry.hub:
        return f"https://huggingface.co/{entry.hub}"
    return entry.address[0][0] if entry.address else "no public address"


def _lines(row: dict[str, Any]) -> list[str]:
    sizes = [f"{row['parameters'] / 1e6:.1f} M parameters"] if row["parameters"] else []
    sizes += [f"{row['megabytes']} MB"] if row["megabytes"] is not None else []
    lines = [f"{row['name']}: {row['description'] or row['system']}"]
    lines += [f"    preset     --model {row['preset']}"] if row["preset"] else []
    lines.append(f"    sources    {', '.join(row['sources']) or 'not stated'}")
    lines.append(f"    size       {', '.join(sizes) or 'not stated'}")
    lines.append(f"    data       {row['data']}")
    lines.append(f"    licence    {row['licence']}")
    lines += [f"    scores     {_score(score)}" for score in row["scores"]] or ["    scores     not published"]
    lines.append(f"    from       {row['from']}")
    return lines


def _score(score: dict[str, Any]) -> str:
    values = "  ".join(f"{name} {value}" for name, value in (score.get("values") or {}).items())
    return f"{values} ({score['metric']}; {score.get('source') or 'source not stated'})"
