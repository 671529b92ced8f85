"""Stages 0 and 1: provide speech and lists, then mix."""

import sys
from pathlib import Path

from asteroid_bsrnn.cli.main import guarded
from asteroid_bsrnn.recipe import speech_stages

RECIPE = Path(__file__).resolve().parents[1]


def main(argv=None):
    speech_stages.prepare(RECIPE, argv)


if __name__ == "__main__":
    sys.exit(guarded(main))
