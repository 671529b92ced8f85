"""Tables, figures and the listening page: reads experiment folders and published numbers, imports no model."""
from .write import write_report

__all__ = ["write_report"]
