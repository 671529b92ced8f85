"""MUSDB18-HQ as a value."""

from dataclasses import replace
from typing import Any

from ..corpus import Corpus, register_corpus
from ..demo.musdb7 import provide_musdb7
from .musdb_archive import provide_musdb18hq

#: Stems in the order of the published models' outputs.
SOURCES = ("vocals", "bass", "drums", "other")
#: The 14 tracks of train/ that validate: musdb's list (`configs/mus.yaml`), repeated here because importing musdb
#: needs ffmpeg and training does not. A test holds the two together.
VALIDATION_TRACKS = (
    "Actions - One Minute Smile",
    "Clara Berry And Wooldog - Waltz For My Victims",
    "Johnny Lokke - Promises & Lies",
    "Patrick Talbot - A Reason To Leave",
    "Triviul - Angelsaint",
    "Alexander Ross - Goodbye Bolero",
    "Fergessen - Nos Palpitants",
    "Leaf - Summerghost",
    "Skelpolu - Human Mistakes",
    "Young Griffo - Pennies",
    "ANiMAL - Rockshow",
    "James May - On The Line",
    "Meaxic - Take A Step",
    "Traffic Experiment - Sirens",
)


def _provide(section: Any, download: bool) -> None:
    provide_musdb18hq(section.root, download)


def _provide_excerpts(section: Any, download: bool) -> None:
    provide_musdb7(section.root, download)


MUSDB18HQ_CORPUS = register_corpus(
    Corpus(
        "musdb18hq",
        SOURCES,
        splits={"valid": VALIDATION_TRACKS},
        mixtures_differ=("PR - Oh No",),  # the left channel of its mixture, as its makers say
        title="MUSDB18-HQ",
        licence="Academic, non-commercial use only; the tracks' own licences, mostly CC BY-NC-SA 4.0",
        licence_link="https://doi.org/10.5281/zenodo.3338373",
        author="Zafar Rafii, Antoine Liutkus, Fabian-Robert Stöter, Stylianos Ioannis Mimilakis and Rachel Bittner",
        citation="Rafii et al., MUSDB18-HQ, 2019, doi 10.5281/zenodo.3338373",
        provide=_provide,
    )
)


register_corpus(
    replace(
        MUSDB18HQ_CORPUS,
        name="musdb7",
        mixtures_differ=(),
        title="MUSDB18, excerpts of 7 seconds",
        licence_link="https://doi.org/10.5281/zenodo.3270814",
        citation="Rafii et al., MUSDB18, 2017, doi 10.5281/zenodo.1117372",
        provide=_provide_excerpts,
    )
)
