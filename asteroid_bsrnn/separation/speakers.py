"""Who is who from segment to segment: by what both hold on their overlap, and by how each speaker has sounded so far.

The overlap says nothing in a pause. A memory of spectral shapes does: of every output so far, the mean of features that no
gain changes, over the frames in which this output is heard and clearly louder than the others.

Legend: S source, C channel, T time, F frame, K feature.
"""
import numpy as np
import torch
from scipy.fft import dct
from scipy.optimize import linear_sum_assignment

_FRAME, _HOP = 0.064, 0.032  # s
_BANDS, _LOW, _CEPSTRA = 24, 80.0, 13  # mel bands from here to half the rate; cepstral coefficients, without the level
_PITCH = (70.0, 350.0)  # Hz
_HEARD, _LOUDER = -35.0, 3.0  # dB below the loudest frame; dB above all other outputs
_ENOUGH = 8  # frames that count as one observation of a voice
#: Deviation of a speaker's mean feature from recording to recording: cepstra, and the logarithm of the pitch.
_SPREAD_CEPSTRA, _SPREAD_PITCH = 1.0, 0.12
_CERTAIN = 20.0  # what a correlation of one on the overlap weighs against embeddings, in units of their distance


def overlap_similarity(estimate, reference):
    """Correlation of every pair, (S, S): estimate along axis 1; zero where either is silent."""
    estimate, reference = (wav.flatten(1).double() for wav in (estimate, reference))
    norms = reference.norm(dim=1)[:, None] * estimate.norm(dim=1)[None]
    return ((reference @ estimate.T) / norms.clamp(min=1e-12)).cpu().numpy()
