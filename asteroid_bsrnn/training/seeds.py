"""Seeds of a run."""

import random

import numpy as np
import torch


def seed_everything(*numbers: int) -> None:
    """Seed Python, numpy and PyTorch with one number derived from ``numbers``."""
    seed = int(np.random.SeedSequence(numbers).generate_state(1)[0])
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
