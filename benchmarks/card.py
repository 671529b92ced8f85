"""What fits a card, without one: `training.batch: auto` on simulated memory, against the largest batch that fits there.

The simulated card holds what autograd keeps of a step, gradients and the optimizer's state; its allocator takes whole
blocks of 512 bytes, as PyTorch's on a card does.
"""

from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import torch

from asteroid_bsrnn.engine import MusicSystem
from asteroid_bsrnn.losses import TimeTFLoss
from asteroid_bsrnn.models import BSRNN
from asteroid_bsrnn.training.devices import make_fabric
from asteroid_bsrnn.training.feed.sampling import TolerantDataset
from asteroid_bsrnn.training.fitting import fit_to_device
from asteroid_bsrnn.training.optimization import make_optim
from asteroid_bsrnn.training.options import TrainingOptions
from asteroid_bsrnn.training.state.state import RunState

from .record import Block
from .training import QUICK

EFFECTIVE, BLOCK = 16, 512
LIMIT = "halves of the effective batch are tried, not every number; no card was there: fragmentation is not in it"


class Noise:
    """Items of a training set."""

    dataset_name, sample_rate = "noise", 44100

    def __init__(self, seconds: float) -> None:
        self.length = round(seconds * 44100)

    def __len__(self) -> int:
        return EFFECTIVE

    def __getitem__(self, key: Any) -> tuple[torch.Tensor, torch.Tensor]:
        wav_CL = torch.randn(2, self.length, generator=torch.Generator().manual_seed(key[1]))
        return wav_CL, 0.5 * wav_CL[None]


class SimulatedCard:
    """Memory of so many bytes, see :class:`asteroid_bsrnn.training.fitting.Memory`."""

    def __init__(self, limit: float, model: torch.nn.Module) -> None:
        self.limit, self.model = int(limit), model

    def peak(self, task: Callable[[], None]) -> int:
        """Bytes of a step: saved tensors, weights, their average, gradients, two moments."""
        sizes: dict[int, int] = {}

        def pack(tensor: torch.Tensor) -> torch.Tensor:
            sizes[len(sizes)] = -(-tensor.numel() * tensor.element_size() // BLOCK) * BLOCK
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            task()
        return sum(sizes.values()) + 5 * 4 * sum(value.numel() for value in self.model.parameters())


def fitted(limit: float, quick: bool, **training: Any) -> tuple[int, Any]:
    """Items of a micro-batch on such a card, and what is recomputed."""
    model = BSRNN(**(QUICK if quick else {"feature_dim": 32, "n_repeats": 2})).train()
    options = TrainingOptions(effective_batch=EFFECTIVE, ema=0.9, accelerator="cpu", **training)
    fabric = make_fabric(accelerator="cpu")
    checkpoints: Any = SimpleNamespace(folder=SimpleNamespace(parent=None))
    optimizer, scheduler = make_optim(model.named_parameters(), EFFECTIVE)
    state = RunState(fabric, model, optimizer, scheduler, options, checkpoints)
    system = MusicSystem(model, optimizer, TimeTFLoss().match_stft(model), None)
    data = TolerantDataset(Noise(0.1 if quick else 0.3), 0)
    split = fit_to_device(system, state, data, SimulatedCard(limit, model))
    return split.batch, model.activation_checkpointing


def run(settings: Any) -> Block:
    """The block of the simulated card."""
    block, rows, right = Block("Card, simulated"), [], []
    torch.set_num_threads(1)
    model = BSRNN(**(QUICK if settings.quick else {"feature_dim": 32, "n_repeats": 2}))
    need = {again: _needs(model, again, settings.quick) for again in (False, True)}
    for times in (20.0, 9.0, 4.5, 1.2, 0.8):
        fixed, item = need[False]
        limit = fixed + times * item
        batch, again = fitted(limit, settings.quick, batch="auto", activation_checkpointing="auto")
        fixed, item = need[bool(again)]
        largest = max((n for n in (1, 2, 4, 8, 16) if fixed + n * item <= limit), default=1)
        rows.append((f"{limit / 2**20:.0f}", batch, EFFECTIVE // batch, "yes" if again else "no", largest))
        right.append(batch / largest)
    torch.set_num_threads(settings.threads)
    block.text(
        f"`training.batch: auto` and `activation_checkpointing: auto`, effective batch {EFFECTIVE}, a small BSRNN; averages of the weights "
        "and Adam's state included."
    )
    block.table(("memory, MiB", "items at a time", "passes", "recomputed", "the most that fits"), rows)
    block.target("micro-batch found, of the largest that fits", 1, min(right), LIMIT)
    return block


def _needs(model: Any, again: bool, quick: bool) -> tuple[float, float]:
    """Bytes of a step without and per item, by steps of one and of two items."""
    card, found = SimulatedCard(0, model), []
    model.train().activation_checkpointing = again
    loss_func = TimeTFLoss().match_stft(model)
    for count in (1, 2):
        wav = torch.stack([Noise(0.1 if quick else 0.3)[0, index][0] for index in range(count)])
        found.append(card.peak(partial(_step, model, loss_func, wav)))
    return 2 * found[0] - found[1], found[1] - found[0]


def _step(model: Any, loss_func: Any, wav: torch.Tensor) -> None:
    loss_func(model.estimates(wav), 0.5 * wav[:, None]).backward()
