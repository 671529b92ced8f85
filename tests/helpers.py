"""Small things that several tests share."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def _shared():
    """The folder of reference material beside the checkout, if there is one."""
    given = os.environ.get("ASTEROID_BSRNN_SHARED")
    folder = Path(given) if given else ROOT.parent / "shared"
    return folder if (folder / "golden").is_dir() else None


SHARED = _shared()
GOLDEN = ROOT / "tests" / "golden"


def adapter_for(state, system=None):
    """The first adapter that recognises these weights, among those of ``system`` where that is given."""
    from asteroid_bsrnn.models.family import adapters

    known = [adapter for adapter in adapters() if system in (None, adapter.system)]
    return next((adapter for adapter in known if adapter.recognises(state)), None)
