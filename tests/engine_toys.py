"""Small model, data and configuration that the tests of the engine share."""

import numpy as np
import torch
from torch import nn

from asteroid_bsrnn.models.base import SeparationModel


class Toy(SeparationModel):
    """Convolutions with dropout (so that random state matters) from a mixture to its sources."""

    def __init__(self, sources=("vocals",), hid_size=4, dropout=0.2, sample_rate=800, in_channels=2):
        super().__init__(sample_rate, in_channels)
        self.sources, self.hid_size, self.dropout = tuple(sources), hid_size, dropout
        self.net = nn.Sequential(
            nn.Conv1d(in_channels, hid_size, 5, padding=2),
            nn.Tanh(),
            nn.Dropout(dropout),
            nn.Conv1d(hid_size, in_channels * len(sources), 5, padding=2),
        )

    def forward(self, wav):
        return self.net(wav).unflatten(1, (len(self.sources), -1))


class Draws:
    """Items that depend on (seed, epoch, index) alone, as training sets do."""

    dataset_name, sample_rate = "draws", 800

    def __init__(self, length=24, n_src=1, seed=0, time=160, dtype=torch.float32):
        self.length, self.n_src, self.seed, self.time, self.dtype = length, n_src, seed, time, dtype

    def __len__(self):
        return self.length

    def __getitem__(self, key):
        epoch, index = key if isinstance(key, tuple) else (10**6, key)
        generator = np.random.default_rng(np.random.SeedSequence([self.seed, epoch, index]))
        stems = torch.from_numpy(generator.standard_normal((self.n_src + 1, 2, self.time))).to(self.dtype)
        return stems.sum(0), stems[: self.n_src]


def conf(**training):
    """Complete configuration of a short run on one CPU."""
    first = dict(epochs=3, patience=10, monitor="usdr", effective_batch=4, batch=2, seed=1, checkpoint_every=2)
    return {
        "optim": {"lr": 1.0e-2, "lr_reference_batch": 4},
        "loader": {"num_workers": 0},
        "inference": {"scheme": "fader", "segment": 0.3, "overlap": 0.1},
        "energy": {"track": False},
        "training": {**first, "accelerator": "cpu", **training},
    }


def toy(configuration, **arguments):
    """A fresh model, its weights decided by the seed of the configuration."""
    from asteroid_bsrnn.engine import seed_everything

    seed_everything(configuration["training"]["seed"])
    return Toy(**arguments)


def train(folder, configuration, train_set=None, val_set=None, model=None, **keywords):
    """``fit`` of the toy; returns the summary and the best weights."""
    from asteroid_bsrnn.engine import fit
    from asteroid_bsrnn.losses import TimeTFLoss

    model = model or toy(configuration)
    loss = TimeTFLoss(n_fft=64, n_hop=16)
    train_set, val_set = train_set or Draws(), Draws(3, time=500) if val_set is None else val_set
    summary = fit(model, train_set, val_set, loss, configuration, folder, **keywords)
    return summary, {name: value.clone() for name, value in model.state_dict().items()}


def same_weights(first, second):
    """Whether two state_dicts are equal bit by bit."""
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


class Gain(nn.Module):
    """One talker: a short filter that starts as nothing at all."""

    sample_rate = 800

    def __init__(self):
        super().__init__()
        self.filter = nn.Conv1d(1, 1, 3, padding=1, bias=False, dtype=torch.float64)
        with torch.no_grad():
            self.filter.weight.copy_(torch.tensor([[[0.0, 1.0, 0.0]]]))

    def forward(self, wav):
        return self.filter(wav[:, None])

    def get_model_args(self):
        return {}

    def serialize(self):
        return {"state_dict": self.state_dict()}


class Talkers(Draws):
    """Mixtures that are nearly their one source (60 dB), or not at all (10 dB): ``bad`` are the latter."""

    def __init__(self, length, bad):
        super().__init__(length)
        self.bad = bad

    def __getitem__(self, key):
        index = key[1] if isinstance(key, tuple) else key
        generator = torch.Generator().manual_seed(index)
        source, noise = torch.randn(2, 200, generator=generator, dtype=torch.float64)
        return source + (0.3 if index in self.bad else 1e-3) * noise, source[None]


def train_talkers(folder, bad, **training):
    """One step of gradient descent on eight mixtures, in 64 bits; returns the filter."""
    from asteroid_bsrnn.engine import SpeechSystem, fit
    from asteroid_bsrnn.losses import PITNegSISDR

    class Double(PITNegSISDR):
        def _best(self, est_targets, targets):
            return super()._best(est_targets.double(), targets.double())

    made = conf(epochs=1, monitor="si_sdr", effective_batch=8, clip=None, **training)
    made["optim"] = {"optimizer": "sgd", "lr": 1e-3, "lr_reference_batch": None, "scheduler": "none"}
    model = Gain()
    fit(model, Talkers(8, bad), Talkers(2, bad), Double(1), made, folder, system_cls=SpeechSystem)
    return model.filter.weight.detach()
