"""Stage 3: separate the test mixtures with an experiment's best model and score them."""

import sys
from pathlib import Path

from asteroid_bsrnn.cli.main import guarded
from asteroid_bsrnn.recipe import speech_stages

RECIPE = Path(__file__).resolve().parent


def main(argv=None):
    speech_stages.evaluate(RECIPE, argv)


if __name__ == "__main__":
    sys.exit(guarded(main))
