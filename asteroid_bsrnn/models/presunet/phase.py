"""Magnitudes and phases: what PResUNet reads of a spectrum, and how its maps change one, in single precision."""

import torch

LEAST_POWER = 1e-8  # of a mixture
LEAST_ROTATION = 1e-10  # of the two maps that give a rotation


def magnitude(spec: torch.Tensor) -> torch.Tensor:
    """Magnitude of a complex spectrum, at least 1e-4."""
    return (spec.real.square() + spec.imag.square()).clamp(min=LEAST_POWER).sqrt()


def apply_maps(spec: torch.Tensor, maps: torch.Tensor) -> torch.Tensor:
    """The mixture's spectrum with a mask, a rotation and an addition to its magnitude (Section 3.2 of [1]).

    Shape:
        - spec: (batch, n_maps, bins, frames), complex
        - maps: (batch, 4 n_maps, bins, frames): masks, real and imaginary parts of rotations, additions
        - returns: (batch, n_maps, bins, frames), complex

    References:
        [1] Kong et al., "Decoupling Magnitude and Phase Estimation with Deep ResUNet for Music Source Separation",
            ISMIR 2021.
    """
    mask, real, imag, more = maps.float().chunk(4, dim=1)
    mag = magnitude(spec)
    scaled = torch.relu(torch.sigmoid(mask) * mag + more) / mag
    turn = (real.square() + imag.square()).clamp(min=LEAST_ROTATION**2).rsqrt()
    return spec * torch.complex(scaled * turn * real, scaled * turn * imag)
