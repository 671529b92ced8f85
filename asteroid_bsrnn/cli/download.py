"""``asteroid-bsrnn download NAME``: a published model into the cache, or into a file."""

import argparse


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add ``download`` to the console command."""
    parser = subparsers.add_parser("download", help="fetch a published model (see `models`)")
    parser.add_argument("name", help="name of the model, e.g. obsrnn")
    parser.add_argument("-o", "--out", help="also write it as one file, .safetensors or .pth")


def run(args: argparse.Namespace) -> None:
    """Fetch, and say what came from where under which licence."""
    from ..common.errors import UserError
    from ..weights import published
    from ..weights.safetensors import save_model

    if args.out and not args.out.endswith((".safetensors", ".pth")):
        raise UserError(f"{args.out}: the name must end in .safetensors or .pth")
    entry = published.find(args.name)
    parts = _parts(args.name)
    if entry.members and args.out:
        raise UserError(f"{args.name} is made of {', '.join(parts)}: each of them can be written as a file")
    for name in parts:
        _fetch(name)
    if args.out:
        conf = published.load_conf(args.name)
        save_model(conf, args.out, conf["infos"]["card"])
        print(f"wrote {args.out}")


def _parts(name: str) -> list[str]:
    """The models that have a file of their own: this one, or those that it is made of."""
    from ..weights import published

    entry = published.find(name)
    members = (*entry.members, *([entry.mixer] if entry.mixer else []))
    return [part for member in members for part in _parts(member)] if members else [name]


def _fetch(name: str) -> None:
    from ..weights import published

    found = published.download(name)
    print(f"{name}: {found['title']} ({found['url']})")
    print(f"licence: {found['licence']}")
    entry = published.find(name)
    if not entry.records and entry.checksum is None:
        print("nobody states a checksum of this file, so none was compared")
    for part in found["checkpoints"]:
        print(f"  {', '.join(part['sources'])}: {part['member']} (SHA-256 {part['sha256'][:16]}...)")
