"""What is asked of every recording of a run."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Request:
    """Which stems, how they are written, and how they are computed.

    Args:
        sources: names of the stems to write, see :func:`.recordings.check_stems`.
        complement: also write the mixture less each stem.
        consistent: make the stems sum to the mixture.
        fmt: ``"wav"``, ``"flac"`` or ``"mp3"``.
        bits: of a sample; None: as the format has by default.
        batch: segments per pass of the network.
        tolerant: decode damaged stretches as players do.
        inference: keywords of :func:`.segments.make_plan`.
        standardise: level each recording as a whole before the network, and undo it after.
    """

    sources: tuple[str, ...]
    complement: bool = False
    consistent: bool = False
    fmt: str = "wav"
    bits: int | None = None
    batch: int = 1
    tolerant: bool = False
    inference: Mapping[str, Any] = field(default_factory=dict)
    standardise: bool = False
