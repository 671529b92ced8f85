"""``asteroid-bsrnn models``: the published models that can be had by name."""


def add_parser(subparsers):
    """Add ``models`` to the console command."""
    parser = subparsers.add_parser("models", help="list the published models that can be had by name")
    parser.add_argument("--json", action="store_true", help="print JSON and nothing else")
    parser.set_defaults(run=run)


def run(args):
    """Print the table."""
    import json

    from ..weights import published as zoo

    rows = [_row(entry, zoo.manifest(name)) for name, entry in zoo.MODELS.items()]
    if args.json:
        print(json.dumps(rows, indent=2))
        return 0
    for row in rows:
        print(f"{row['name']}: {row['description']}")
        print(f"    sources    {', '.join(row['sources'])}")
        print(f"    size       {row['parameters'] / 1e6:.1f} M parameters, {row['megabytes']} MB")
        print(f"    licence    {row['licence']}")
        for key, label in (("test_csdr", "test cSDR"), ("validation_usdr", "valid uSDR")):
            scores = "  ".join(f"{source} {value}" for source, value in row[key].items())
            print(f"    {label:<11}{scores + ' dB (published)' if scores else 'not published'}")
        print(f"    from       {row['from']}\n")
    print("asteroid-bsrnn separate SONG -o DIR --model NAME fetches a model when it is first needed.")
    return 0


def _row(entry, manifest):
    unread = "as the record states it, shown when it is downloaded"
    records = ", ".join(str(number) for number in entry.records)
    return {
        "name": entry.name,
        "description": entry.description,
        "sources": list(entry.sources),
        "parameters": entry.parameters,
        "megabytes": round(entry.parameters * 4 / 1e6),
        "licence": manifest["licence"] if manifest else unread,
        "test_csdr": entry.test_csdr,
        "validation_usdr": entry.validation_usdr,
        "downloaded": manifest is not None,
        "from": manifest["url"] + " (downloaded)" if manifest else f"Zenodo record {records}",
    }
