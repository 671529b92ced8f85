"""Demucs networks: thin wrappers over the package ``demucs`` (version 4), which is imported when one is built.

Letters of shapes: B batch, S source, C channel, L sample.
"""

import dataclasses
import importlib
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, ClassVar

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from ...common.errors import UserError
from ..base import MusicModel
from ..layers.checks import source_names
from ..layers.lstm_inputs import cast_inputs
from ..layers.recompute import how_many
from .config import DemucsConfig, HDemucsConfig, HTDemucsConfig
from .order import permute_sources

RENAMED = {"in_channels": "audio_channels", "sample_rate": "samplerate"}
"""Our words and the package's."""


class WrappedDemucs(MusicModel):
    """What the three networks have in common; a subclass names its class of the package.

    Attributes:
        package: module of the package and class in it.
        extra: arguments of that class that are fixed here.
        ours: arguments that the package does not know.
    """

    package: ClassVar[tuple[str, str]]
    net: Any
    extra: ClassVar[dict[str, Any]] = {}
    ours: ClassVar[tuple[str, ...]] = ()

    def __init__(self, **arguments: Any) -> None:
        config = self.Config(**arguments)
        super().__init__(config)
        self.segment = round(config.segment * config.sample_rate)
        self.net = self._build()
        cast_inputs(self.net)

    def _build(self) -> nn.Module:
        module, name = self.package
        try:
            cls = getattr(importlib.import_module(module), name)
        except ImportError as error:
            raise UserError(
                f"{type(self).__name__} needs the package demucs ({error}): pip install 'asteroid_bsrnn[demucs]'"
            ) from None
        names = [field.name for field in dataclasses.fields(self.config) if field.name not in self.ours]
        values = {name: getattr(self.config, name) for name in names}
        try:
            return cls(**{RENAMED.get(name, name): value for name, value in values.items()}, **self.extra)
        except AssertionError as error:
            raise UserError(
                f"demucs cannot build {name} of these arguments {error}: "
                "attention needs channels / dconv_comp that 4 divides, and split bands (multi_freqs) need no norm"
            ) from None

    @property
    def least(self) -> int:
        """Samples that the network needs; shorter recordings are lengthened with silence."""
        return self.config.stride + 1

    def separate(self, wav_BCL: torch.Tensor) -> torch.Tensor:
        """
        Shape:
            (batch, channels, time) -> (batch, n_src, channels, time)
        """
        length = wav_BCL.shape[-1]
        wav = F.pad(wav_BCL.float(), (0, max(0, self.least - length)))
        stages = self.recomputable()
        with _recomputed(stages[: how_many(self.activation_checkpointing, len(stages))]):
            return self.net(wav)[..., :length]

    @contextmanager
    def recorded(self) -> Iterator[None]:
        """The package asserts in its ``pad1d`` that padding keeps the values, which a graph does not know."""
        module: Any = importlib.import_module(self.package[0])
        padded = getattr(module, "pad1d", None)
        if padded is not None:
            module.pad1d = F.pad
        try:
            yield
        finally:
            if padded is not None:
                module.pad1d = padded

    def recomputable(self) -> list[nn.Module]:
        """The layers of the encoders, of the transformers, and of the decoders, as far as there are any."""
        net: Any = self.net
        attention = getattr(net, "crosstransformer", None)
        between = [*attention.layers, *attention.layers_t] if attention else []
        encoders = [*net.encoder, *getattr(net, "tencoder", ())]
        return [*encoders, *between, *net.decoder, *getattr(net, "tdecoder", ())]

    def with_sources(self, sources: Sequence[str]) -> "WrappedDemucs":
        """The same network with its sources in another order: a copy whose last layers are permuted.

        Raises:
            UserError: if these are not the sources that it has.
        """
        sources = source_names(sources)
        if sorted(sources) != sorted(self.sources):
            raise UserError(f"the sources are {', '.join(self.sources)}; they cannot become {', '.join(sources)}")
        other = type(self)(**{**self.get_model_args(), "sources": list(sources)})
        order = [self.sources.index(name) for name in sources]
        other.load_state_dict(permute_sources(self, order))
        return other.train(self.training)


class Demucs(WrappedDemucs):
    """The time-only Demucs of the ``mdx`` models (their own words for it: Demucs v3), and Demucs v2 [2].

    Args: those of :class:`~asteroid_bsrnn.models.demucs.config.DemucsConfig`.

    References:
        [1] Défossez, "Hybrid Spectrogram and Waveform Source Separation", MDX Workshop 2021.
        [2] Défossez, Usunier, Bottou and Bach, "Music Source Separation in the Waveform Domain", 2019.
    """

    Config: ClassVar[Any] = DemucsConfig
    package = ("demucs.demucs", "Demucs")
    ours = ("context_padding",)

    def _build(self) -> nn.Module:
        net: Any = super()._build()
        if not self.config.context_padding:
            for layer in net.decoder:
                layer[0].padding = (0,)
            net.valid_length = partial(length_without_padding, self.config)
        return net

    def separate(self, wav_BCL: torch.Tensor) -> torch.Tensor:
        """Version 2 scales by a deviation of 1 where it does not normalise, and 1e-5.

        Shape:
            (batch, channels, time) -> (batch, n_src, channels, time)
        """
        return super().separate(wav_BCL if self.config.context_padding else wav_BCL.float() / (1 + 1e-5)).float()

    def last_layers(self) -> list[tuple[str, int]]:
        """Names of the layers whose outputs lie source by source, and their channels per source."""
        return [(f"net.decoder.{self.config.depth - 1}.{len(self.net.decoder[-1]) - 1}", self.in_channels)]


class HDemucs(WrappedDemucs):
    """Hybrid Demucs: a U-Net over the spectrogram and one over the waveform that share their middle.

    Args: those of :class:`~asteroid_bsrnn.models.demucs.config.HDemucsConfig`.

    References:
        [1] Défossez, "Hybrid Spectrogram and Waveform Source Separation", MDX Workshop 2021.
    """

    Config: ClassVar[Any] = HDemucsConfig
    package = ("demucs.hdemucs", "HDemucs")

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.multiple = self.config.nfft // 4

    @property
    def least(self) -> int:
        """Samples that the network needs; a network of spectrograms alone reflects half a window."""
        return super().least if hasattr(self.net, "tencoder") else self.config.nfft // 2 + 1

    def separate(self, wav_BCL: torch.Tensor) -> torch.Tensor:
        """
        Shape:
            (batch, channels, time) -> (batch, n_src, channels, time)

        Raises:
            UserError: in training, of a network with a Wiener filter.
        """
        if self.training and torch.is_grad_enabled() and not self.config.cac and self.config.end_iters >= 0:
            raise UserError("without cac, a Wiener filter follows, which cannot be trained; wiener_iters -1 omits it")
        return super().separate(wav_BCL)

    def last_layers(self) -> list[tuple[str, int]]:
        """Names of the layers whose outputs lie source by source, and their channels per source.

        Raises:
            UserError: where a norm follows them, whose groups would change.
        """
        if self.config.norm_starts == 0:
            raise UserError("a network that norms its last layer (norm_starts 0) keeps the order of its sources")
        last = self.net.decoder[-1]
        parts = [f".layers.{index}" for index in range(len(last.layers))] if hasattr(last, "layers") else [""]
        prefix, width = f"net.decoder.{self.config.depth - 1}", self.in_channels * (1 + self.config.cac)
        layers = [(f"{prefix}{part}.conv_tr", width) for part in parts]
        if hasattr(self.net, "tdecoder"):
            layers.append((f"net.tdecoder.{len(self.net.tdecoder) - 1}.conv_tr", self.in_channels))
        return layers


class HTDemucs(HDemucs):
    """Hybrid Transformer Demucs. It takes any length as it is; the cost of attention grows with its square.

    Args: those of :class:`~asteroid_bsrnn.models.demucs.config.HTDemucsConfig`.

    References:
        [1] Rouard, Massa and Défossez, "Hybrid Transformers for Music Source Separation", ICASSP 2023.
    """

    Config: ClassVar[Any] = HTDemucsConfig
    package = ("demucs.htdemucs", "HTDemucs")
    extra = {"use_train_segment": False}


def length_without_padding(config: DemucsConfig, length: int) -> int:
    """Samples that a network without padding is given for ``length`` of its output."""
    length *= 2 if config.resample else 1
    for _ in range(config.depth):
        length = max(1, math.ceil((length - config.kernel_size) / config.stride) + 1) + 2 * config.context
    for _ in range(config.depth):
        length = (length - 1) * config.stride + config.kernel_size
    return math.ceil(length / 2) if config.resample else length


@contextmanager
def _recomputed(stages: Sequence[nn.Module]) -> Iterator[None]:
    """Stages compute what is inside them again in the backward pass."""
    for stage in stages:
        stage.forward = partial(checkpoint, stage.forward, use_reentrant=False)
    try:
        yield
    finally:
        for stage in stages:
            del stage.forward
