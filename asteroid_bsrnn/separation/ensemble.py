"""Models made ready for any recording: every number of channels, device and precision, ensembles and shifts."""

import contextlib
import functools
import inspect
import numbers
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch

from ..audio.channel_order import groups as channel_groups
from ..audio.resample import resample_blocks
from ..common.errors import UserError, first_line
from ..common.precision import PRECISIONS, choose_precision, layers_in, use_tf32
from ..models.base import as_model, run_batch
from ..weights import catalogue, load_model
from .columns import separate_columns
from .memory_limits import MemoryLimits
from .own_plans import follow_plans
from .segments import make_plan, stream_segments
from .speakers import SpeakerMemory, best_order, explain
from .streams import SeparatorStream
from .values import among

_SHORTEST = 0.1  # s; shorter segments are padded for the models of the host that need more than their window
_LARGEST_SHIFT = 0.5  # s
CARD_BATCH = 8  # segments per pass: a card waits for more than one
_MOST_SHIFTS = 1000
Forward = Callable[..., torch.Tensor]  # segments, layout -> estimates, as Separator.__call__


class Separator:
    """One or several models as one function from segments to estimates.

    Args:
        models (Module, str or list): modules are moved to the device and put in evaluation mode; anything else is
            given to :func:`asteroid_bsrnn.weights.load_model`. Music models have ``sources``, in this order; other
            models give sources in any order (speech), called s1, s2, ...: these are matched from segment to segment,
            from channel to channel and from model to model, and scaled so that together they explain the mixture
            (their own level means nothing).
        weights (list of float, optional): of the models in the average; equal if None.
        device (str): ``"auto"`` (a GPU if there is one), ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``.
        precision (str, optional): ``"fp32"`` (without TensorFloat-32, for the whole process), or the type in which
            recurrent, linear and convolution layers compute: ``"bf16"`` or ``"fp16"``; everything between them stays in
            fp32. ``"auto"``: bf16 where it is there and fast. None: auto on a CUDA device, else fp32.
        shifts (int): average the results for so many delays of up to half a second.
        sources (list of str, optional): only these of a music model; members of a ``StemSeparator`` without any of them
            are not run.

    Attributes:
        sources (tuple of str): names of the estimates.
        sample_rate (int): of the models, in Hz.
        precision (str): what is computed in; never ``"auto"``.
        ordered (bool): whether the order of the sources means something.
        inference (dict): how its publishers separate recordings, where all models are published ones that are run alike;
            what a call leaves open.

    Raises:
        UserError: if a model does not separate, the models do not fit each other, the device is not there or
            cannot compute in that precision.
    """

    device: torch.device
    shifts: int
    precision: str
    dtype: torch.dtype | None
    models: list[torch.nn.Module]
    weights: list[float]
    sample_rate: int
    ordered: bool
    sources: tuple[str, ...]
    orders: list[list[int]]
    inference: dict[str, Any]

    def __init__(
        self,
        models: Any,
        weights: Sequence[float] | None = None,
        device: str = "auto",
        precision: str | None = None,
        shifts: int = 1,
        sources: Sequence[str] | None = None,
    ) -> None:
        models = list(models) if isinstance(models, (list, tuple)) else [models]
        if not models:
            raise UserError("no model given")
        if not isinstance(shifts, numbers.Integral) or not 1 <= shifts <= _MOST_SHIFTS:
            raise UserError(f"shifts is a whole number of passes from 1 to {_MOST_SHIFTS}, not {shifts}")
        self.device, self.shifts = choose_device(device), shifts
        on_card = self.device.type == "cuda"
        self.precision = choose_precision(precision or ("auto" if on_card else "fp32"), self.device)
        if on_card and self.precision == "fp32":
            use_tf32(False)
        self.dtype = PRECISIONS[self.precision]
        self.inference = _published_inference(models)
        models = [model if isinstance(model, torch.nn.Module) else load_model(model) for model in models]
        self.models = [follow_plans(model.to(self.device).eval()) for model in models]
        self.weights = _shares(weights, len(models))
        self.sample_rate = _rate(models[0])
        self.ordered = as_model(models[0]).sources is not None
        names = [self._names(model) for model in self.models]
        wanted = among(names[0], sources)
        self.sources = wanted if self.ordered else names[0]  # without an order all are needed to match them
        for model, found in zip(models, names):
            if set(found) != set(names[0]) or (as_model(model).sources is not None) != self.ordered:
                raise UserError(f"models of one ensemble need the same sources, not {names[0]} and {found}")
            if _rate(model) != self.sample_rate:
                raise UserError(
                    f"models of one ensemble need the same rate, not {self.sample_rate} and {_rate(model)} Hz"
                )
        self.orders = [[found.index(name) for name in self.sources] for found in names]
        self.limits: MemoryLimits = MemoryLimits(self.models, self.sample_rate, self.ordered)

    @property
    def usual_batch(self) -> int:
        """Segments per pass where nothing else is asked for; fewer are taken where they do not fit."""
        return CARD_BATCH if self.device.type == "cuda" else 1

    def _names(self, model: torch.nn.Module) -> tuple[str, ...]:
        """Names of the sources of a model, after a try on a little noise."""
        n_chan = as_model(model).channels or 1
        wav = torch.randn(1, n_chan, _rate(model) // 4, generator=torch.Generator().manual_seed(0))
        try:
            n_src = self._run(model, wav.to(self.device)).shape[1]
        except (RuntimeError, ValueError, TypeError, AttributeError, IndexError) as error:
            hint = f" (with precision {str(self.dtype)[6:]}: try fp32)" if self.dtype else ""
            raise UserError(f"{type(model).__name__} does not separate waveforms: {first_line(error)}{hint}") from None
        names = as_model(model).sources
        if names is None:
            return tuple(f"s{index + 1}" for index in range(n_src))
        if len(names) != n_src or len(set(names)) != n_src:
            raise UserError(f"{type(model).__name__} has the sources {tuple(names)} and returns {n_src}")
        return tuple(names)

    def how(self, **inference: Any) -> tuple[bool, dict[str, Any]]:
        """How a recording is separated: as asked for, or as the publishers do where nothing was asked for.

        Args:
            **inference: ``standardise`` and keywords of :func:`~asteroid_bsrnn.separation.segments.make_plan`; None is the
                same as not given. One of the plan's keywords replaces all that the publishers chose for it.

        Returns:
            Whether the recording is standardised first, and keywords for the plan.
        """
        given = {name: value for name, value in inference.items() if value is not None}
        own = dict(self.inference)
        standardise = own.pop("standardise", False)
        return bool(given.pop("standardise", standardise)), given or own

    def stream(
        self,
        blocks: Iterable[torch.Tensor],
        sample_rate: int,
        batch: int = 1,
        layout: int = 0,
        forward: Forward | None = None,
        **inference: Any,
    ) -> Iterator[torch.Tensor]:
        """Separate a stream in constant memory.

        Args:
            blocks (iterable of Tensor): consecutive parts of the recording, (channels, time).
            sample_rate (int): of the recording, in Hz.
            batch (int): segments per pass.
            layout (int): mask of WAVE_FORMAT_EXTENSIBLE, 0 if unknown. A stereo model gets left and right of front, side
                and back as pairs, and centre, LFE and the like each alone; without a mask, pairs as they come.
            forward (callable, optional): what computes instead of this object, with its arguments and results.
            **inference: keywords of :func:`~asteroid_bsrnn.separation.segments.make_plan`.

        Yields:
            Tensor: consecutive parts of the estimates, (n_src, channels, time), at the rate of the recording; together
            at most a few samples longer than it.
        """
        plan = make_plan(self.sample_rate, **inference)
        there = resample_blocks(blocks, sample_rate, self.sample_rate)
        memory = None if self.ordered else SpeakerMemory(self.sample_rate)
        separate = functools.partial(forward or self.segments, layout=layout)
        yield from resample_blocks(stream_segments(separate, there, plan, batch, memory), self.sample_rate, sample_rate)

    def open_stream(self, sample_rate: float) -> SeparatorStream:
        """For a recording that comes in blocks, of models that hear no future; see :class:`.streams.SeparatorStream`."""
        return SeparatorStream(self, sample_rate)

    def lowered(self) -> contextlib.ExitStack:
        """In this context the models compute in the separator's precision."""
        stack = contextlib.ExitStack()
        for model in self.models:
            stack.enter_context(layers_in(self.dtype, model, self.device.type))
        return stack

    def __call__(self, wav: Any, layout: int = 0) -> Any:
        """Separate segments, as :meth:`segments` does; or columns (a dict) of recordings of any length and rate.

        With columns the class serves Ray Data's ``map_batches`` as it is, see
        :func:`~asteroid_bsrnn.separation.columns.separate_columns`.
        """
        return separate_columns(self, wav) if isinstance(wav, Mapping) else self.segments(wav, layout)

    def segments(self, wav: torch.Tensor, layout: int = 0) -> torch.Tensor:
        """Separate segments; silent ones give exact zeros. ``layout`` is that of :meth:`stream`.

        What does not fit the memory is halved, see :class:`~asteroid_bsrnn.separation.memory_limits.MemoryLimits`.

        Shape:
            (batch, channels, time) -> (batch, n_src, channels, time), on the device of ``wav``.
        """
        estimates = wav.new_zeros(wav.shape[0], len(self.sources), *wav.shape[1:])
        audible = wav.flatten(1).any(dim=1)
        if audible.any():
            average = functools.partial(self._average, layout=layout)
            estimates[audible] = self.limits.run(average, wav[audible])
        return estimates

    def _average(self, wav: torch.Tensor, layout: int) -> torch.Tensor:
        total: Any = 0
        reference: torch.Tensor | None = None
        for model, weight, order in zip(self.models, self.weights, self.orders):
            for shift in range(self.shifts):
                estimate = self._shifted(model, wav, shift, order, layout)
                if not self.ordered:
                    reference = estimate if reference is None else reference
                    estimate = torch.stack([e[best_order(e, r)] for e, r in zip(estimate, reference)])
                total = total + weight / self.shifts * estimate
        if not torch.isfinite(total).all():
            raise UserError("the model returned values that are not finite: try --precision fp32")
        return total

    def _shifted(
        self, model: torch.nn.Module, wav: torch.Tensor, shift: int, order: list[int], layout: int
    ) -> torch.Tensor:
        """Estimates for the segments behind so much silence, without it again."""
        delay = round(shift * _LARGEST_SHIFT * self.sample_rate / self.shifts)
        missing = max(0, round(_SHORTEST * self.sample_rate) - wav.shape[-1] - delay)
        padded = torch.nn.functional.pad(wav, (delay, missing)).to(self.device)
        groups = channel_groups(wav.shape[1], layout) if as_model(model).channels == 2 else None
        estimate = self._chosen(model, padded, order, groups)
        estimate = estimate[..., delay : delay + wav.shape[-1]].to(wav.device)
        return estimate if self.ordered else explain(wav, estimate)

    def _chosen(self, model: torch.nn.Module, wav: torch.Tensor, order: list[int], groups: Any = None) -> torch.Tensor:
        """The wanted sources, of a model that can skip the others or of any."""
        if "sources" in inspect.signature(model.forward).parameters:
            return self._run(model, wav, groups, sources=self.sources)
        return self._run(model, wav, groups)[:, order]

    def _run(self, model: torch.nn.Module, wav: torch.Tensor, groups: Any = None, **options: Any) -> torch.Tensor:
        """(batch, channels, time) -> (batch, n_src, channels, time), whatever the rank that the model returns."""
        with torch.inference_mode(), layers_in(self.dtype, model, self.device.type):
            return run_batch(model, wav, groups, **options).float().clone()


def choose_device(name: str) -> torch.device:
    """The torch device called ``name``; ``"auto"`` is a GPU if there is one.

    Raises:
        UserError: if it is not there.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"device {name!r} cannot be used here: {first_line(error)}") from None
    return device


def _published_inference(models: Sequence[Any]) -> dict[str, Any]:
    """The inference of published models, where all are named and alike."""
    found = [
        dict(catalogue.find(model).inference) if isinstance(model, str) and catalogue.is_known(model) else {}
        for model in models
    ]
    return found[0] if all(each == found[0] for each in found) else {}


def _rate(model: torch.nn.Module) -> int:
    rate = getattr(model, "sample_rate", None)
    if not isinstance(rate, (int, float)) or rate <= 0:
        raise UserError(f"{type(model).__name__} does not separate waveforms: it has no sample rate")
    return int(rate)


def _shares(given: Sequence[float] | None, n_models: int) -> list[float]:
    weights = [1.0] * n_models if given is None else list(given)
    if len(weights) != n_models:
        raise UserError(f"{n_models} model(s) need as many weights, not {len(weights)}")
    if min(weights) < 0 or not 0 < sum(weights) < float("inf"):
        raise UserError(f"weights of models must be numbers from 0 on, not all 0, not {weights}")
    return [weight / sum(weights) for weight in weights]
