"""The contract of a model, written once: what the rest of the package asks of it, and nothing else.

A tensor's suffix names its axes: B batch, S sources, C channels, L samples.
"""

import dataclasses
import inspect
from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar

import torch
from asteroid.models import BaseModel

from ..dsp.stft import STFT
from .layers.channel_groups import in_groups
from .layers.recompute import how_many, recomputed


class SeparationModel(BaseModel):
    """Asteroid ``BaseModel`` with what training, separation, cost and files need to know of it.

    A family derives from :class:`MusicModel` or :class:`SpeechModel` and sets :attr:`Config`. Whatever is no
    ``SeparationModel`` gets the defaults of this class through :func:`as_model`.

    Args:
        sample_rate: in Hz.
        in_channels: channels of the waveforms that it was made for.

    Attributes:
        Config: frozen dataclass of the constructor arguments, which checks them; plain values.
        sources: names of what is estimated, in order; None where the order means nothing.
        n_src: number of estimates.
        channels: how many channels it reads at once; None takes any number, each by itself or all.
        segment: samples of the segments that it was made for.
        multiple: lengths are best a multiple of this many samples.
        level_equivariant: whether ``model(g * wav) == g * model(wav)`` for every gain ``g``.
        activation_checkpointing: recompute inner parts in the backward pass instead of keeping them: all (True), or a
            share of them between 0 and 1, the first ones; None where a model cannot.
        auxiliary_modules: names of parts that only the training loss needs; they are not counted.
    """

    __jit_unused_properties__ = ["sample_rate", "channels"]
    Config: ClassVar[Any] = None
    sources: tuple[str, ...] | None = None
    n_src: int = 1
    segment: int | None = None
    multiple: int | None = None
    level_equivariant: bool = False
    activation_checkpointing: bool | float | None = None
    auxiliary_modules: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "Config" in vars(cls) and cls.Config is not None:
            cls.__signature__ = inspect.signature(cls.Config)

    @property
    def channels(self) -> int | None:
        """Channels that are read at once; None takes any number."""
        return self.in_channels

    def estimates(self, wav: torch.Tensor) -> Any:
        """What the loss takes: waveforms (the default), or waveforms and spectra."""
        return self(wav)

    def shared_key(self) -> Hashable | None:
        """Models whose keys are equal (and not None) can share :meth:`analyse`."""
        return None

    def analyse(self, wav_BCL: torch.Tensor) -> torch.Tensor:
        """The part of the work that models of one :meth:`shared_key` have in common, e.g. an STFT."""
        return wav_BCL

    def separate_analysed(self, analysed: torch.Tensor, length: int) -> torch.Tensor:
        """(batch, n_src, channels, length) of what :meth:`analyse` gave."""
        return run_batch(self, analysed)

    def spectral_core(self) -> tuple[STFT, Callable[[torch.Tensor], torch.Tensor]] | None:
        """Where the model is an STFT, a network and the inverse: the STFT and the network; None of any other.

        Shape:
            the network: (batch, channels, bins, frames), complex -> (batch, n_src, channels, bins, frames), complex
        """
        return None

    def open_stream(self) -> Any:
        """The model for one recording that comes in blocks (``push``, ``finish``, ``latency``); None if it needs the whole."""
        return None

    def recomputable(self) -> list[torch.nn.Module]:
        """Inner parts that can be computed again in the backward pass, in the order in which they run."""
        return []

    def run_part(self, part: torch.nn.Module, *inputs: Any) -> Any:
        """``part(*inputs)``; its inside is computed again in the backward pass where :attr:`activation_checkpointing` says so."""
        parts = self.recomputable()
        again = any(part is one for one in parts[: how_many(self.activation_checkpointing, len(parts))])
        return recomputed(part, *inputs) if again else part(*inputs)

    def recorded(self) -> AbstractContextManager[Any]:
        """What a graph of the model is recorded in: for a family whose code must be told that it runs without values."""
        return nullcontext()

    def get_model_args(self) -> dict[str, Any]:
        """Every constructor argument with its value, in plain types: enough to build the same model again."""
        if self.Config is not None:
            return {field.name: getattr(self.config, field.name) for field in dataclasses.fields(self.config)}
        names = inspect.signature(type(self).__init__).parameters
        return {name: getattr(self, name) for name in names if name != "self"}

    def keep_arguments(self) -> None:
        """Set each constructor argument as an attribute too, as models of version 0.1.0 have them."""
        names = {field.name for field in dataclasses.fields(self.config)} - {"sources", "sample_rate", "in_channels"}
        self.__dict__.update({name: getattr(self.config, name) for name in names})

    def serialize(self) -> dict[str, Any]:
        """As the host's, with version numbers as plain strings: ``torch.load(weights_only=True)`` reads the file."""
        conf = super().serialize()
        versions = conf["infos"]["software_versions"]
        conf["infos"]["software_versions"] = {name: str(version) for name, version in versions.items()}
        return conf


class MusicModel(SeparationModel):
    """Model of named stems. A subclass writes :meth:`separate`; ranks and channel counts are handled here.

    Args:
        config: with ``sources``, ``sample_rate`` and ``in_channels``, already checked.
    """

    activation_checkpointing: bool | float | None = False
    sources: tuple[str, ...]

    def __init__(self, config: Any) -> None:
        super().__init__(config.sample_rate, config.in_channels)
        self.config = config
        self.sources = tuple(config.sources)
        self.n_src = len(self.sources)

    def separate(self, wav_BCL: torch.Tensor) -> torch.Tensor:
        """Separate waveforms of exactly :attr:`channels` channels (any number where that is None).

        Shape:
            (batch, channels, time) -> (batch, n_src, channels, time), any length from one sample on.
        """
        raise TypeError(f"{type(self).__name__} does not say how it separates: it needs a method 'separate'")

    def forward(self, wav: torch.Tensor) -> torch.Tensor:
        """Separate.

        Shape:
            - wav: (batch, channels, time), (batch, time) or (time,), mono where no channel axis is given
            - returns: (batch, n_src, channels, time), (batch, n_src, time) or (n_src, time)
        """
        return as_ranked(wav, in_groups(self.separate, as_batch(wav), self.channels))


class AdoptedModel:
    """Any Module with the contract's defaults: a user's network, or one of Asteroid's.

    Whatever attribute of the contract the module has is taken; it is the module that is trained, stored and called.

    Args:
        module: waveforms in, waveforms out, with ``sample_rate``.
    """

    def __init__(self, module: torch.nn.Module) -> None:
        self.module = module

    def __getattr__(self, name: str) -> Any:
        if hasattr(self.module, name):
            return getattr(self.module, name)
        if name == "channels":
            return getattr(self.module, "in_channels", None)
        default = getattr(SeparationModel, name)
        return default.__get__(self) if inspect.isfunction(default) else default

    def __call__(self, wav: torch.Tensor) -> Any:
        return self.module(wav)


def as_model(module: torch.nn.Module) -> Any:
    """What the package asks of a model, of any Module: itself where it keeps the contract, else an adopted one."""
    return module if isinstance(module, SeparationModel) else AdoptedModel(module)


def run_batch(
    module: torch.nn.Module, wav_BCL: torch.Tensor, groups: list[list[int]] | None = None, **options: Any
) -> torch.Tensor:
    """Any model on a batch of any number of channels, whatever the rank that it returns.

    Args:
        module: the model.
        wav_BCL: mixtures.
        groups: channels that it hears together, where it reads a fixed number; consecutive ones if None.
        **options: for its ``forward``.

    Shape:
        (batch, channels, time) -> (batch, n_src, channels, time)

    Raises:
        ValueError: if what it returns are no estimates of the mixture.
    """
    return in_groups(lambda part: _four_axes(part, module(part, **options)), wav_BCL, as_model(module).channels, groups)


def _four_axes(wav_BCL: torch.Tensor, estimate: Any) -> torch.Tensor:
    """(batch, n_src, time) of one channel gets its channel axis; anything else must have four axes."""
    shape = tuple(getattr(estimate, "shape", ())) or type(estimate).__name__
    if isinstance(shape, tuple) and len(shape) == 3 and wav_BCL.shape[1] == 1:
        estimate = estimate[:, :, None]
    if not isinstance(shape, tuple) or estimate.dim() != 4 or estimate[:, 0].shape != wav_BCL.shape:
        raise ValueError(f"it returned {shape} for an input of shape {tuple(wav_BCL.shape)}")
    return estimate


def as_batch(wav: torch.Tensor) -> torch.Tensor:
    """Waveforms as (batch, channels, time).

    Raises:
        ValueError: for an empty tensor, one that is not real floating point or has more than three axes.
    """
    if not torch.is_floating_point(wav):
        raise ValueError(f"the waveform must be floating point, got {wav.dtype}")
    if not 1 <= wav.ndim <= 3:
        raise ValueError(
            f"the waveform must be (time,), (batch, time) or (batch, channels, time), got {tuple(wav.shape)}"
        )
    if 0 in wav.shape:
        raise ValueError(f"the waveform is empty: its shape is {tuple(wav.shape)}")
    return wav if wav.ndim == 3 else wav.reshape(-1, 1, wav.shape[-1])


def as_ranked(wav: torch.Tensor, est_BSCL: torch.Tensor) -> torch.Tensor:
    """Estimates without the axes that ``wav`` lacks: (batch, n_src, channels, time), (batch, n_src, time), (n_src, time)."""
    if wav.ndim == 3:
        return est_BSCL
    return est_BSCL[:, :, 0] if wav.ndim == 2 else est_BSCL[0, :, 0]


class SpeechModel(SeparationModel):
    """Separator of one-channel mixtures.

    A subclass writes ``estimate``: (batch, time) -> (batch, n_src, time).

    Args:
        config: dataclass with ``n_src`` and ``sample_rate``, already checked.
    """

    def __init__(self, config: Any) -> None:
        super().__init__(config.sample_rate)
        self.config, self.n_src = config, config.n_src

    def forward(self, wav: torch.Tensor) -> torch.Tensor:
        """Separate.

        Args:
            wav: (time,), (batch, time) or (batch, 1, time), floating point.

        Returns:
            (n_src, time) for 1-D input, else (batch, n_src, time).
        """
        return self._as_given(wav, self.estimate(as_mixtures(wav)))

    @staticmethod
    def _as_given(wav: torch.Tensor, estimates: torch.Tensor) -> torch.Tensor:
        return estimates[0] if wav.ndim == 1 else estimates


def as_mixtures(wav: torch.Tensor) -> torch.Tensor:
    """(time,), (batch, time) or (batch, 1, time) -> (batch, time).

    Raises:
        TypeError: for anything but a floating point tensor.
        ValueError: for another rank, several channels, or nothing to separate.
    """
    if not torch.is_tensor(wav) or not wav.is_floating_point():
        raise TypeError(f"a mixture is a floating point tensor, got {getattr(wav, 'dtype', type(wav).__name__)}")
    if wav.ndim not in (1, 2, 3):
        raise ValueError(f"a mixture is (time,), (batch, time) or (batch, 1, time), got shape {tuple(wav.shape)}")
    if wav.ndim == 3 and wav.shape[1] != 1:
        raise ValueError(f"a mixture has one channel, got shape {tuple(wav.shape)}")
    if wav.numel() == 0:
        raise ValueError(f"an empty mixture cannot be separated, got shape {tuple(wav.shape)}")
    return wav.reshape(1, -1) if wav.ndim == 1 else wav.reshape(wav.shape[0], -1)


def count_params(model: torch.nn.Module) -> int:
    """Trainable parameters of any module, without parts that only the training loss needs."""
    auxiliary = getattr(model, "auxiliary_modules", ())
    counted = (value for name, value in model.named_parameters() if name.split(".")[0] not in auxiliary)
    return sum(parameter.numel() for parameter in counted if parameter.requires_grad)
