"""The published models that can be had by name: what they are, not where exactly they lie."""

from dataclasses import dataclass, field
from difflib import get_close_matches

from ...common.errors import UserError

RECORDS = (17516442, 13903584)  # the authors' current record on Zenodo, and the older one
SOURCES = ("vocals", "bass", "drums", "other")
_BSRNN = {
    "time_layer": "lstm",
    "band_layer": "lstm",
    "hid_ratio": 2,
    "mask_ratio": 4,
    "n_heads": 1,
    "n_fft": 2048,
    "bands": None,
}
_LARGE = {**_BSRNN, "feature_dim": 128, "n_repeats": 12}
_OPTIMIZED = {**_LARGE, "n_attn_heads": 2, "attn_dim": 16, "stereo": "tac", "tac_act": "prelu"}


@dataclass(frozen=True)
class Published:
    """A published model.

    Attributes:
        name: what users type.
        description: one line.
        wanted: constructor arguments of ``BSRNN`` by which its checkpoints are recognised.
        sources: what it separates.
        joint: one checkpoint for all sources, or one for each.
        parameters: trainable, of all checkpoints together.
        test_csdr: published cSDR (dB) on the 50 test songs of MUSDB18-HQ per source and "mean"; {} where there is none.
        validation_usdr: published uSDR (dB) on its 14 validation songs.
        records: Zenodo records to look into, in this order.
    """

    name: str
    description: str
    wanted: dict
    sources: tuple
    joint: bool
    parameters: int
    test_csdr: dict = field(default_factory=dict)
    validation_usdr: dict = field(default_factory=dict)
    records: tuple = RECORDS

    def fits(self, args):
        """Whether a checkpoint with these constructor arguments is (a part of) this model."""
        given = tuple(args["sources"])
        right_sources = (
            set(given) == set(self.sources) and not args.get("residual_source") if self.joint else len(given) == 1
        )
        return right_sources and all(args.get(key) == value for key, value in self.wanted.items())


def _scores(vocals, bass, drums, other, mean):
    return {"vocals": vocals, "bass": bass, "drums": drums, "other": other, "mean": mean}


MODELS = {
    entry.name: entry
    for entry in (
        Published(
            "obsrnn",
            "optimized BSRNN: large, with attention and TAC; one model per source",
            _OPTIMIZED,
            SOURCES,
            False,
            164_119_072,
            _scores(9.81, 9.85, 10.31, 6.31, 9.07),
            _scores(10.2, 10.2, 11.3, 6.9, 9.6),
        ),
        Published(
            "obsrnn-simo",
            "optimized BSRNN, one model for all sources",
            _OPTIMIZED,
            SOURCES,
            True,
            108_727_540,
            _scores(10.66, 9.73, 10.98, 7.78, 9.79),
            _scores(11.3, 9.8, 11.8, 8.4, 10.3),
        ),
        Published(
            "bsrnn-large",
            "the original BSRNN, replicated; one model per source",
            {**_LARGE, "n_attn_heads": 0, "stereo": None},
            SOURCES,
            False,
            146_655_904,
            _scores(9.14, 7.72, 8.07, 5.68, 7.65),
            _scores(9.5, 7.8, 10.3, 6.3, 8.4),
        ),
        Published(
            "bsrnn-base",
            "the small BSRNN of the ablations; one model per source",
            {**_BSRNN, "feature_dim": 64, "n_repeats": 8, "n_attn_heads": 0, "stereo": None},
            SOURCES,
            False,
            32_329_056,
            {},
            _scores(7.7, 6.1, 9.7, 4.8, 7.1),
        ),
    )
}


def names():
    """Names of the published models."""
    return list(MODELS)


def find(name):
    """The entry called ``name``.

    Raises:
        UserError: for an unknown name, with the nearest known one.
    """
    if name not in MODELS:
        near = get_close_matches(name, MODELS, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise UserError(f"there is no published model {name!r}: {hint}known are {', '.join(MODELS)}")
    return MODELS[name]
