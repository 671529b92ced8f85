"""A- and S-DualPathRNN, Sandglasset and A-Sandglasset."""

from ..family import Family
from .dprnn import ADPRNNTasNet, SDPRNNTasNet
from .sandglasset import ASandglasset, Sandglasset

FAMILY = Family("dual_path", models=(ADPRNNTasNet, SDPRNNTasNet, Sandglasset, ASandglasset))

__all__ = ["ADPRNNTasNet", "ASandglasset", "FAMILY", "SDPRNNTasNet", "Sandglasset"]
