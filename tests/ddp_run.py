"""Trains the toy in 64 bits, two models after each other; run by the tests of several processes, also as a script."""

import sys
from pathlib import Path

import torch
from engine_toys import Draws, conf, toy, train

import asteroid_bsrnn  # noqa: F401

MADE = conf(epochs=1, effective_batch=8)


def main(folder, devices, energy=False):
    made = {**MADE, "training": {**MADE["training"], "devices": devices}, "energy": {"track": energy}}
    for part in ("first", "second"):  # as a recipe that trains one model per source
        model = toy(made, dropout=0.0).double()
        data = Draws(24, dtype=torch.float64), Draws(5, dtype=torch.float64, time=500)
        train(Path(folder) / part, made, *data, model)
        made["training"]["seed"] += 1


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(sys.argv[1], int(sys.argv[2]))
