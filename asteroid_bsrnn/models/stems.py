"""Several models that each estimate some sources, or one model of several, as one separator with named stems."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch

from ..common.errors import UserError
from .base import SeparationModel, as_batch, as_model, as_ranked, run_batch
from .layers.checks import as_lists, source_names
from .names import MODELS, named_arguments
from .side_by_side import SideBySide

DEFAULT = "BSRNN"  # what a member without a name is: files of version 0.1.0


class StemSeparator(SeparationModel):
    """Members that each estimate some sources of the same mixture.

    Members with equal :meth:`~.base.SeparationModel.shared_key` share one analysis (an STFT). A member that gives its
    sources no names (one of Asteroid's models) is told them by ``sources`` in its entry.

    Args:
        members: the models, or their constructor arguments with ``model_name`` (BSRNN without). Kept in float32.
        sources: which sources in which order; None is all, in the members' order.

    Raises:
        ValueError: for no members, a source that two members estimate or none, or different sample rates.
    """

    sources: tuple[str, ...]

    def __init__(
        self,
        members: Sequence[torch.nn.Module | Mapping[str, Any]],
        sources: None | str | Sequence[str] = None,
    ) -> None:
        networks = [network_of(member) for member in members]
        if not networks:
            raise UserError(f"a {type(self).__name__} needs at least one member")
        views = [as_model(network) for network in networks]
        rates = {int(view.sample_rate) for view in views}
        if len(rates) > 1:
            raise UserError(f"the members have different sample rates: {', '.join(map(str, sorted(rates)))} Hz")
        channels = {view.channels for view in views} - {None}
        super().__init__(views[0].sample_rate, max(channels, default=2))
        self._channels = channels.pop() if len(channels) == 1 else None
        self.sources = self._sources_of(views)
        self.sources = self._chosen(sources)
        self.n_src = len(self.sources)
        self.networks = torch.nn.ModuleList(networks).float()
        self.level_equivariant = all(view.level_equivariant for view in views)
        self.segment = max((view.segment for view in views if view.segment), default=None)

    @property
    def channels(self) -> int | None:
        """Channels that the members read at once; None for any number, and where they differ (each is then given its own)."""
        return self._channels

    @property
    def members(self) -> list[dict[str, Any]]:
        """Constructor arguments of the members, in plain values."""
        return [member_entry(member) for member in self.networks]

    @property
    def activation_checkpointing(self) -> bool | float:
        """What the members recompute instead of keeping, of all the most; setting it sets all that can."""
        return max(as_model(member).activation_checkpointing or False for member in self.networks)

    @activation_checkpointing.setter
    def activation_checkpointing(self, value: bool | float) -> None:
        member: Any
        for member in self.networks:
            if hasattr(member, "activation_checkpointing"):
                member.activation_checkpointing = value

    def open_stream(self) -> SideBySide | None:
        """All members side by side, where every one of them can stream."""
        streams = [as_model(member).open_stream() for member in self.networks]
        return None if None in streams else SideBySide(streams, self._in_order)

    def _in_order(self, estimates: list[torch.Tensor]) -> torch.Tensor:
        names = [name for member in self.networks for name in as_model(member).sources]
        return torch.cat(estimates, dim=1)[:, [names.index(name) for name in self.sources]]

    @staticmethod
    def _named(view: Any) -> tuple[str, ...]:
        if view.sources is None:
            raise UserError(f"a {type(view).__name__} without source names is told them by 'sources' in its entry")
        return view.sources

    def _sources_of(self, views: Sequence[Any]) -> tuple[str, ...]:
        """Names of all sources; each is one member's."""
        names = [source for view in views for source in self._named(view)]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise UserError(f"more than one member estimates {', '.join(twice)}")
        return tuple(names)

    def _chosen(self, sources: None | str | Iterable[str]) -> tuple[str, ...]:
        if sources is None:
            return self.sources
        chosen = (sources,) if isinstance(sources, str) else tuple(sources)
        unknown = [name for name in chosen if name not in self.sources]
        if unknown or not chosen or len(set(chosen)) < len(chosen):
            wrong = f"unknown source {unknown[0]!r}" if unknown else f"sources must be different names, got {chosen}"
            raise UserError(f"{wrong}: this separator has {', '.join(self.sources)}")
        return chosen

    def forward(self, wav: torch.Tensor, sources: Sequence[str] | None = None) -> torch.Tensor:
        """Separate; members without a wanted source are not run.

        Args:
            wav: mixture.
            sources: a subset of :attr:`sources`, in the wanted order.

        Shape:
            - wav: (batch, channels, time), (batch, time) or (time,), mono where no channel axis is given
            - returns: (batch, n_src, channels, time), (batch, n_src, time) or (n_src, time)
        """
        chosen = self._chosen(sources)
        wav_BCL = as_batch(wav)
        stems: dict[str, torch.Tensor] = {}
        analysed: dict[Any, torch.Tensor] = {}
        for member in self.networks:
            names = as_model(member).sources
            wanted = [name for name in names if name in chosen]
            if wanted:
                est_BSCL = _estimates(member, wav_BCL, analysed, wanted)
                stems.update(zip(wanted, est_BSCL.unbind(1)))
        return as_ranked(wav, torch.stack([stems[name] for name in chosen], dim=1))


def part_for(module: torch.nn.Module, sources: Sequence[str] | None) -> torch.nn.Module:
    """The member of a separator that estimates exactly these sources; any other module itself."""
    for member in module.networks if isinstance(module, StemSeparator) else ():
        if sources is not None and as_model(member).sources == tuple(sources):
            return member
    return module


def _estimates(
    member: torch.nn.Module, wav_BCL: torch.Tensor, analysed: dict[Any, torch.Tensor], wanted: list[str]
) -> torch.Tensor:
    """(batch, wanted sources, channels, time) of one member; ``analysed`` remembers what members share."""
    model, names = as_model(member), as_model(member).sources
    key = model.shared_key()
    if key is None:
        est_BSCL = run_batch(member, wav_BCL)
    else:
        if key not in analysed:
            analysed[key] = model.analyse(wav_BCL)
        est_BSCL = model.separate_analysed(analysed[key], wav_BCL.shape[-1])
    if est_BSCL.shape[1] != len(names):
        raise ValueError(f"{type(member).__name__} gave {est_BSCL.shape[1]} estimates for {', '.join(names)}")
    return est_BSCL[:, [names.index(name) for name in wanted]].to(wav_BCL.dtype)


def network_of(member: torch.nn.Module | Mapping[str, Any]) -> torch.nn.Module:
    """A model as it is, or built of its constructor arguments."""
    if isinstance(member, torch.nn.Module):
        return member
    if isinstance(member, Mapping):
        arguments = dict(member)
        return build_named(arguments.pop("model_name", DEFAULT), **arguments)
    raise UserError(f"members are models or their constructor arguments, got {type(member).__name__}")


def build_named(model_name: str, sources: Sequence[str] | None = None, **arguments: Any) -> torch.nn.Module:
    """A model with named sources, of a class that takes their names or of one that knows only their number.

    Raises:
        ValueError: for an unknown class, or arguments that it refuses.
    """
    cls = MODELS.get(model_name)
    known = named_arguments(cls)
    if sources is None:
        return cls(**arguments)
    names = source_names(sources)
    if "sources" in known:
        return cls(sources=names, **arguments)
    if "n_src" in known:
        arguments = {"n_src": len(names), **arguments}
    model = cls(**arguments)
    model.sources = names
    return model


def member_entry(member: Any) -> dict[str, Any]:
    """What builds the member again; a BSRNN's arguments stand alone, as in files of version 0.1.0."""
    arguments = {name: as_lists(value) for name, value in member.get_model_args().items()}
    if type(member).__name__ == DEFAULT:
        return member.get_model_args()
    sources = {} if "sources" in arguments else {"sources": list(member.sources)}
    return {"model_name": type(member).__name__, **arguments, **sources}
