"""Where the console command ``asteroid-bsrnn`` starts: outside the package, so that it answers before PyTorch is loaded.

Importing ``asteroid_bsrnn`` imports PyTorch and Asteroid, which takes seconds. ``--help``, ``--version`` and wrong arguments
need neither: the package is put in its place without running its ``__init__``, the modules of its room ``cli``
parse the arguments, and only a command that will really run lets the package load.
"""

import importlib.util
import os
import sys
from argparse import Namespace
from collections.abc import Callable, MutableMapping, Sequence
from functools import partial

PACKAGE = "asteroid_bsrnn"
SPINS = "10000"  # of a thread that waits for its team, well under a millisecond; GNU's OpenMP has 300000


def waits_shortly(environ: MutableMapping[str, str]) -> None:
    """Ask for threads that soon leave their core to others, such as those that read and write, unless the user chose.

    What ``GOMP_SPINCOUNT`` says is read when PyTorch is loaded.
    """
    if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & set(environ):
        environ["GOMP_SPINCOUNT"] = SPINS


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand; see :func:`asteroid_bsrnn.cli.main.main`.

    Returns:
        Exit code.
    """
    load = None if PACKAGE in sys.modules else _in_place()
    from asteroid_bsrnn.cli.main import guarded, parse

    return guarded(_run, load, parse(argv))


def _run(load: Callable[[], None] | None, args: Namespace) -> int | None:
    """Let the package load, then the subcommand run."""
    if load is not None:
        waits_shortly(os.environ)
        load()
    return args.run(args)


def _in_place() -> Callable[[], None]:
    """Make the package known to Python as a place to import from, its ``__init__`` not yet run; returns what runs it."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError(f"the package {PACKAGE} is not beside its command")
    package = sys.modules[PACKAGE] = importlib.util.module_from_spec(spec)
    return partial(spec.loader.exec_module, package)


if __name__ == "__main__":
    sys.exit(main())
