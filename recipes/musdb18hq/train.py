"""Stage 2: train the models of one configuration and join them into one file."""

import sys
from pathlib import Path

from asteroid_bsrnn.cli.main import guarded
from asteroid_bsrnn.recipe import music_stages

RECIPE = Path(__file__).resolve().parent


def main(argv=None):
    music_stages.train(RECIPE, argv)


if __name__ == "__main__":
    sys.exit(guarded(main))
