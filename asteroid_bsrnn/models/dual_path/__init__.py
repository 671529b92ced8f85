"""A- and S-DualPathRNN, Sandglasset and A-Sandglasset."""
from .dprnn import ADPRNNTasNet, SDPRNNTasNet
from .sandglasset import ASandglasset, Sandglasset

__all__ = ["ADPRNNTasNet", "ASandglasset", "SDPRNNTasNet", "Sandglasset"]
