"""Every model in tiny form, without randomness in training, and what it is trained with."""

import copy
import importlib.util
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from asteroid_bsrnn import losses, models
from asteroid_bsrnn.models.base import as_model
from asteroid_bsrnn.models.family import demo_arguments
from asteroid_bsrnn.training.systems import MusicSystem, SpeechSystem

TINY = {"feature_dim": 8, "n_repeats": 1}
BSRNNS = {
    "BSRNN": {},
    "BSRNN, tac, attention": {"stereo": "tac", "n_attn_heads": 2, "attn_dim": 4},
    "BSRNN, naive stereo": {"stereo": "naive"},
    "BSRNN, gru": {"time_layer": "gru", "band_layer": "gru"},
    "BSRNN, conv": {"time_layer": "conv", "band_layer": "conv"},
    "BSRNN, dilated": {"time_layer": "dilated", "band_layer": "dilated"},
    "BSRNN, several sources": {"sources": ["vocals", "bass", "drums", "other"]},
}
MUSIC = ("BSRoFormer", "MelBandRoFormer", "TFCTDFv3", "ConvTDFNet", "DTTNet", "PResUNet", "SCNet")
DEMUCS = ("Demucs", "HDemucs", "HTDemucs")
_DUAL = {"n_filters": 16, "bn_chan": 16, "hid_size": 12, "chunk_size": 20, "hop_size": 10, "n_blocks": 2}
_GLASS = {"n_filters": 16, "bn_chan": 16, "hid_size": 12, "chunk_size": 32, "hop_size": 16, "n_heads": 4, "n_blocks": 2}
SPEECH = {
    "AFRCNN": demo_arguments("AFRCNN"),
    "SFRCNN": demo_arguments("SFRCNN"),
    "ADPRNNTasNet": _DUAL,
    "SDPRNNTasNet": _DUAL,
    "Sandglasset": _GLASS,
    "ASandglasset": _GLASS,
    "SepReformer": demo_arguments("SepReformer"),
    "TFLocoformer": demo_arguments("TFLocoformer"),
    "UPITBLSTM": {"hid_size": 12, "n_layers": 2},
    "DPCL": {"hid_size": 12, "n_layers": 2, "embedding_dim": 6},
    "Chimera": {"hid_size": 12, "n_layers": 2, "embedding_dim": 6},
    "ConvTasNet": {
        "n_src": 2,
        "n_filters": 8,
        "n_repeats": 1,
        "n_blocks": 2,
        "bn_chan": 4,
        "hid_chan": 4,
        "skip_chan": 4,
    },
    "DPRNNTasNet": {"n_src": 2, "n_filters": 8, "bn_chan": 8, "hid_size": 8, "chunk_size": 20, "n_repeats": 1},
    "SuDORMRFNet": {"n_src": 2, "bn_chan": 8, "num_blocks": 1, "upsampling_depth": 2, "n_filters": 8},
}


def names() -> list[str]:
    """Every model that can be built here."""
    there = DEMUCS if importlib.util.find_spec("demucs") else ()
    return [*BSRNNS, *MUSIC, *there, *SPEECH]


def build(name: str, dropout: bool = False) -> nn.Module:
    """Model ``name`` in training mode, the same weights every time, dropout off unless asked for."""
    torch.manual_seed(0)
    if name in BSRNNS:
        model = models.get("BSRNN")(**TINY, **BSRNNS[name])
    else:
        model = models.get(name)(**(SPEECH[name] if name in SPEECH else demo_arguments(name)))
    for module in () if dropout else model.modules():
        if isinstance(getattr(module, "dropout", None), float):
            module.dropout = 0.0
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return model.train()


def batch(name: str, model: nn.Module, size: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    """Mixture and sources: noise, the same every time."""
    generator = torch.Generator().manual_seed(1)
    if name in SPEECH:
        sources = 0.1 * torch.randn(size, 2, 2000, generator=generator)
    else:
        n_src, length = len(as_model(model).sources), round(0.4 * model.sample_rate)
        sources = 0.1 * torch.randn(size, n_src, 2, length, generator=generator)
    return sources.sum(1), sources


def system(name: str, model: nn.Module) -> Any:
    """The model with the loss of its kind."""
    if name in SPEECH:
        loss = losses.MultiStageLoss() if name == "SepReformer" else losses.PITNegSISDR()
        return SpeechSystem(model, None, loss, None)
    loss = losses.TimeTFLoss() if name in BSRNNS else losses.MultiResolutionSTFTLoss()
    return MusicSystem(model, None, loss, None, config={})


def step(name: str, model: nn.Module, device: str, around: Callable[[], Any] | None = None) -> torch.Tensor:
    """Forward pass (inside ``around()``, autocast say), loss and backward pass; the loss, gradients in the model."""
    model.to(device).zero_grad(set_to_none=True)
    parts = [part.to(device) for part in batch(name, model)]
    trained = system(name, model)
    if around is None:
        loss = trained.common_step(parts, 0)
    else:
        with around():
            loss = trained.common_step(parts, 0)
    loss.backward()
    return loss.detach()


def gradients(model: nn.Module) -> dict[str, torch.Tensor]:
    """Those that are there, on the processor."""
    return {name: p.grad.detach().cpu() for name, p in model.named_parameters() if p.grad is not None}


def twin(model: nn.Module) -> nn.Module:
    """The same model once more."""
    return copy.deepcopy(model)


def deviation(value: torch.Tensor, reference: torch.Tensor) -> float:
    """Largest difference over the largest value."""
    value, reference = value.detach().double().cpu(), reference.detach().double().cpu()
    return float((value - reference).abs().max() / reference.abs().max().clamp(min=1e-30))


def gradient_deviation(found: dict[str, torch.Tensor], reference: dict[str, torch.Tensor]) -> float:
    """Norm of the difference of all gradients over the norm of the reference."""
    if found.keys() != reference.keys():
        return float("inf")
    squares = [
        ((found[name] - value).double().square().sum(), value.double().square().sum())
        for name, value in reference.items()
    ]
    different, size = (sum(column) for column in zip(*squares))
    return float((different / size).sqrt())
