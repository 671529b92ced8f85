"""SepReformer: time-domain separation whose decoder works on each speaker.

Legend: B batch, S speaker, L sample, N encoder channel, Q encoder frame, T frame, F feature.

References
    [1] : "Separate and Reconstruct: Asymmetric Encoder-Decoder for Speech Separation", Shin et al., NeurIPS 2024.
"""

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from ...common.products import Linear
from ..base import SpeechModel, as_mixtures
from .blocks import GlobalNorm
from .config import Config
from .separator import Separator


class Head(nn.Module):
    """From a speaker's features to basis coefficients. Shape: (..., features) -> (..., filters)."""

    def __init__(self, n_feat: int, n_filters: int) -> None:
        super().__init__()
        self.expand, self.contract = Linear(n_feat, 4 * n_feat), Linear(2 * n_feat, n_filters)

    def forward(self, x_BTF: torch.Tensor) -> torch.Tensor:
        return self.contract(F.glu(self.expand(x_BTF), -1))


class AuxiliaryHead(nn.Module):
    """Estimates from an inner stage: a mask of the encoder's output, and a decoder of its own. For training only."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.head, self.decoder = Head(config.bn_chan, config.n_filters), _decoder(config)

    def forward(self, x_BTF: torch.Tensor, encoded_BNQ: torch.Tensor) -> torch.Tensor:
        """(batch * n_src, frames, features), (batch, filters, Q) -> (batch * n_src, 1, time).

        The head works on single frames, so it stands before the repetition of frames, not behind it.
        """
        mask = F.interpolate(F.relu(self.head(x_BTF)).mT, encoded_BNQ.shape[-1], mode="nearest")
        return self.decoder((mask.unflatten(0, (len(encoded_BNQ), -1)) * encoded_BNQ.unsqueeze(1)).flatten(0, 1))


class SepReformer(SpeechModel):
    """SepReformer [1]; the defaults are its size B (14.1 M parameters for two speakers).

    The main output is no mask of the input: its level does not follow that of the input and means nothing. Whoever
    listens scales the estimates so that together they explain the mixture, as ``asteroid-bsrnn separate`` does.

    Args: see :class:`~asteroid_bsrnn.models.sepreformer.config.Config`; sizes are in ``config.SIZES``.

    References
        - [1] : "Separate and Reconstruct: Asymmetric Encoder-Decoder for Speech Separation", Shin et al., NeurIPS 2024.
    """

    Config = Config
    activation_checkpointing: bool | float | None = False
    auxiliary_modules = ("auxiliary",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        config = Config(*args, **kwargs)
        super().__init__(config)
        self.encoder = nn.Conv1d(1, config.n_filters, config.kernel_size, config.stride, bias=False)
        self.norm = GlobalNorm(config.n_filters)
        self.project = Linear(config.n_filters, config.bn_chan, bias=False)
        self.separator = Separator(config)
        self.head, self.decoder = Head(config.bn_chan, config.n_filters), _decoder(config)
        n_auxiliary = config.n_stages if config.auxiliary else 0
        self.auxiliary = nn.ModuleList(AuxiliaryHead(config) for _ in range(n_auxiliary))

    def estimate(self, mixture_BL: torch.Tensor) -> torch.Tensor:
        """(batch, time) -> (batch, n_src, time); zeros for silence."""
        encoded_BNQ = self._encode(mixture_BL)
        estimate = self._main(self._maps(encoded_BNQ)[-1], mixture_BL)
        return estimate.masked_fill(~mixture_BL.any(-1)[:, None, None], 0.0)

    def estimates(self, wav: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, list[torch.Tensor]]:
        """What the loss takes: in training, with auxiliary heads, the result of :meth:`stages`; else waveforms."""
        return self.stages(wav) if self.training and self.config.auxiliary else self(wav)

    def stages(self, wav: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """The estimates and those of every inner stage, the coarsest first (none without auxiliary heads).

        Shape:
            (batch, time) -> (batch, n_src, time) and a list of the same.
        """
        mixture_BL = as_mixtures(wav)
        encoded_BNQ = self._encode(mixture_BL)
        maps = self._maps(encoded_BNQ)
        inner = [head(x, encoded_BNQ) for head, x in zip(self.auxiliary, maps)]
        return self._main(maps[-1], mixture_BL), [self._cut(wav_B1L, mixture_BL) for wav_B1L in inner]

    def recomputable(self) -> list[nn.Module]:
        """The layers of all stages, and what is between them."""
        return self.separator.parts()

    def _encode(self, mixture_BL: torch.Tensor) -> torch.Tensor:
        """(batch, time) -> (batch, filters, frames), of the mixture with zeros behind it to fill the last frame."""
        rest = mixture_BL.shape[-1] - self.config.kernel_size
        padding = -rest if rest < 0 else -rest % self.config.stride
        return F.gelu(self.encoder(F.pad(mixture_BL, (0, padding)).unsqueeze(1)))

    def _maps(self, encoded_BNQ: torch.Tensor) -> list[torch.Tensor]:
        x_BTF = self.project(self.norm(encoded_BNQ.mT))
        padding = -x_BTF.shape[1] % 2**self.config.n_stages
        return self.separator(F.pad(x_BTF, (0, 0, 0, padding)), self.run_part)

    def _main(self, x_BTF: torch.Tensor, mixture_BL: torch.Tensor) -> torch.Tensor:
        rest = max(0, mixture_BL.shape[-1] - self.config.kernel_size)
        n_frames = 1 + -(-rest // self.config.stride)
        return self._cut(self.decoder(self.head(x_BTF[:, :n_frames]).mT), mixture_BL)

    def _cut(self, wav_B1L: torch.Tensor, mixture_BL: torch.Tensor) -> torch.Tensor:
        return wav_B1L.reshape(len(mixture_BL), self.n_src, -1)[..., : mixture_BL.shape[-1]]


def _decoder(config: Config) -> nn.ConvTranspose1d:
    return nn.ConvTranspose1d(config.n_filters, 1, config.kernel_size, config.stride, bias=False)
