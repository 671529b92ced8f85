"""Tables, figures and the listening page: reads experiment folders and published numbers, imports no model."""
from .page import build_page
from .whole import write_report

__all__ = ["build_page", "write_report"]
