"""``asteroid-bsrnn download NAME``: a published model into the cache, or into a file."""


def add_parser(subparsers):
    """Add ``download`` to the console command."""
    parser = subparsers.add_parser("download", help="fetch a published model (see `models`)")
    parser.add_argument("name", help="name of the model, e.g. obsrnn")
    parser.add_argument("-o", "--out", help="also write it as one file, .safetensors or .pth")
    parser.set_defaults(run=run)


def run(args):
    """Fetch, and say what came from where under which licence."""
    from ..weights import published as zoo
    from ..common.errors import UserError

    suffix = args.out.rpartition(".")[2] if args.out else None
    if suffix not in (None, "safetensors", "pth"):
        raise UserError(f"{args.out}: the name must end in .safetensors or .pth")
    found = zoo.download(args.name)
    print(f"{args.name}: {found['title']} ({found['url']})")
    print(f"licence: {found['licence']}")
    for part in found["checkpoints"]:
        print(f"  {', '.join(part['sources'])}: {part['member']} (SHA-256 {part['sha256'][:16]}...)")
    if args.out:
        _write(zoo.load_conf(args.name), args.out, suffix)
        print(f"wrote {args.out}")
    return 0


def _write(conf, out, suffix):
    import torch

    from ..common.files import atomic_path
    from ..weights import save_safetensors

    if suffix == "safetensors":
        save_safetensors(conf, out, conf["infos"]["card"])
        return
    with atomic_path(out) as partial:
        torch.save(conf, partial)
