"""Energy of runs; see :mod:`asteroid_bsrnn.experiment.energy`."""

from .experiment.energy import Ledger, green_algorithms

__all__ = ["Ledger", "green_algorithms"]
