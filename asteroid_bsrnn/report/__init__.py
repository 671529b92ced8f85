"""Tables, figures and the listening page: reads experiment folders and published numbers, imports no model."""

import os

_backend = os.environ.pop("MPLBACKEND", None)  # Jupyter's is unknown here, and no window is opened
try:
    import matplotlib
finally:
    if _backend is not None:
        os.environ["MPLBACKEND"] = _backend

from .page import build_page  # noqa: E402
from .whole import write_report  # noqa: E402

__all__ = ["build_page", "write_report"]
