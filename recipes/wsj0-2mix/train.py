"""Stage 2: train the model of one configuration."""

import sys
from pathlib import Path

from asteroid_bsrnn.cli.main import guarded
from asteroid_bsrnn.recipe import speech_stages

RECIPE = Path(__file__).resolve().parent


def main(argv=None):
    speech_stages.train(RECIPE, argv)


if __name__ == "__main__":
    sys.exit(guarded(main))
