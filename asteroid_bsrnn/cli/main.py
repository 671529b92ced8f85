"""``asteroid-bsrnn COMMAND ...``: picks the subcommand and turns errors into one line and an exit code.

Nothing in this room imports PyTorch, or a room that does, before a subcommand runs: see ``asteroid_bsrnn_cli``.
"""

import argparse
import importlib
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

COMMANDS = {  # name of the subcommand -> its module in this package
    "download": "download",
    "evaluate": "evaluate",
    "export": "export",
    "finetune": "finetune",
    "info": "about",
    "models": "models",
    "convert": "convert",
    "params": "params",
    "publish": "publish",
    "report": "report",
    "separate": "separate",
    "sweep": "sweep",
}


class _Parser(argparse.ArgumentParser):
    """Options may stand anywhere among the names of files, which are collected in their order."""

    _within = False

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As the base class's; the second call is the one that it makes itself."""
        if self._within or self._subparsers is not None:
            return super().parse_known_args(args, namespace)
        self._within = True
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self._within = False


def _parser(names: Iterable[str]) -> argparse.ArgumentParser:
    from ..common.version import __version__

    parser = _Parser(prog="asteroid-bsrnn", description="Band-split music and A-FRCNN speech separation.")
    parser.add_argument("--version", action="version", version=f"asteroid-bsrnn {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name in names:
        command = importlib.import_module(f".{COMMANDS[name]}", __package__)
        command.add_parser(subparsers)
        subparsers.choices[name].set_defaults(run=command.run)
    return parser


def guarded(function: Callable[..., int | None], *args: Any) -> int:
    """Call ``function(*args)``; what the user can mend becomes one line on stderr.

    That is a :class:`~asteroid_bsrnn.common.errors.UserError` or an error of the system (files, disk, network). Anything
    else is a fault of a program and keeps its traceback; with ASTEROID_BSRNN_DEBUG set in the environment these do too.

    Returns:
        What the function returns (None: 0); 2 for bad input, 130 after Ctrl-C.
    """
    from ..common.errors import UserError

    try:
        return function(*args) or 0
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except (UserError, OSError) as error:
        if os.environ.get("ASTEROID_BSRNN_DEBUG"):
            raise
        print(f"error: {error}", file=sys.stderr)
        return 2


def _secure_streams() -> None:
    """Standard streams that take any letter and are surely there.

    A stream that was closed leaves its number to the next file that is opened, into which libraries then complain.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r" if number == 0 else "w"))
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The arguments, checked as far as that goes without PyTorch; ends the process for help and for wrong ones."""
    argv = sys.argv[1:] if argv is None else list(argv)
    names = [argv[0]] if argv and argv[0] in COMMANDS else list(COMMANDS)
    args = _parser(names).parse_args(argv)
    args.words = argv  # for commands that start themselves elsewhere
    return args


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand.

    Returns:
        0 on success, 1 when some items failed, else see :func:`guarded`.
    """
    _secure_streams()
    args = parse(argv)
    return guarded(args.run, args)


if __name__ == "__main__":
    sys.exit(main())
