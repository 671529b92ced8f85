"""Several models as one by data: bags with weights, models that read what others leave, a mixer, a shared residual."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch

from ..common.errors import UserError
from .base import as_batch, as_model, as_ranked, run_batch
from .layers.checks import as_lists, number
from .stems import StemSeparator, member_entry, network_of

Entry = torch.nn.Module | Mapping[str, Any]


class SeparationSystem(StemSeparator):
    """Members whose estimates are averaged, mixed and completed. A member may be a ``StemSeparator`` or a system itself.

    The estimate of a source is the mean of its members', by weight. Then the mixer, if there is one, makes new estimates
    of all of them and the mixture; then the residual, what the mixture has beyond the sum of all, is given to sources in
    the stated shares.

    Args:
        members: the models, or their constructor arguments with ``model_name``. Kept in float32.
        sources: which sources in which order; None is all, in the members' order.
        less: for each member None, or the sources whose estimates by earlier members are taken off the mixture that it reads.
        weights: for each member a row of weights, one for each of ``sources``; None: all equal.
        mixer: a :class:`~.tfc_tdf.mixer.Mixer` or its constructor arguments.
        residual: share of the residual by source.
        plans: for each member None, or how a whole recording is cut for it alone: keywords of
            :func:`asteroid_bsrnn.separation.segments.apply_segments`. A ``Separator`` follows them; a call of the model does not.

    Raises:
        UserError: for members that do not fit each other, a source without a weight, or entries that name what is not there.

    Examples:
        >>> bag = {"weights": [[1, 1, 0, 0], [1, 0, 1, 1]]}  # of two models of four sources
        >>> system = {"less": [None, ["vocals"]]}  # the second model reads the mixture less the first one's vocals
    """

    def __init__(
        self,
        members: Sequence[Entry],
        sources: None | str | Sequence[str] = None,
        less: Sequence[Sequence[str] | None] | None = None,
        weights: Sequence[Sequence[float]] | None = None,
        mixer: Entry | None = None,
        residual: Mapping[str, float] | None = None,
        plans: Sequence[Mapping[str, Any] | None] | None = None,
    ) -> None:
        super().__init__(members, sources)
        self.less = None if less is None else self._checked_less(less)
        self.weights = None if weights is None else self._checked_weights(weights)
        self.residual = None if residual is None else self._checked_shares(residual)
        self.plans = None if plans is None else self._checked_plans(plans)
        self.mixing: Any = None if mixer is None else self._checked_mixer(network_of(mixer))

    def _sources_of(self, views: Sequence[Any]) -> tuple[str, ...]:
        """Names in the order in which they first occur; several members may have the same."""
        return tuple(dict.fromkeys(name for view in views for name in self._named(view)))

    @property
    def mixer(self) -> dict[str, Any] | None:
        """Constructor arguments of the mixer, in plain values."""
        return None if self.mixing is None else member_entry(self.mixing)

    def _checked_less(self, less: Sequence[Sequence[str] | None]) -> list[list[str] | None]:
        if len(less) != len(self.networks):
            raise UserError(f"less needs an entry for each of {len(self.networks)} members, got {len(less)}")
        known = set()
        for member, names in zip(self.networks, less):
            missing = [name for name in names or () if name not in known]
            if missing:
                raise UserError(f"less: no earlier member estimates {missing[0]!r}")
            known |= set(as_model(member).sources)
        return [None if not names else list(names) for names in less]

    def _checked_weights(self, weights: Sequence[Sequence[float]]) -> list[list[float]]:
        rows = [list(row) for row in weights]
        if len(rows) != len(self.networks) or any(len(row) != self.n_src for row in rows):
            raise UserError(f"weights must be {len(self.networks)} rows of {self.n_src} numbers, got {rows}")
        for value in (value for row in rows for value in row):
            number("each of weights", value, least=0)
        for place, name in enumerate(self.sources):
            having = [row for row, member in zip(rows, self.networks) if name in as_model(member).sources]
            if not sum(row[place] for row in having) > 0:
                raise UserError(f"weights: {name} has none")
        return rows

    def _checked_shares(self, residual: Mapping[str, float]) -> dict[str, float]:
        for name, share in residual.items():
            self._chosen(name)
            number(f"residual: {name}", share, least=0)
        return dict(residual)

    def _checked_plans(self, plans: Sequence[Mapping[str, Any] | None]) -> list[dict[str, Any] | None]:
        if len(plans) != len(self.networks):
            raise UserError(f"plans needs an entry for each of {len(self.networks)} members, got {len(plans)}")
        return [None if not plan else dict(plan) for plan in plans]

    def _checked_mixer(self, mixer: Any) -> Any:
        if sorted(mixer.sources) != sorted(self.sources):
            raise UserError(f"the mixer is of {', '.join(mixer.sources)}, the members of {', '.join(self.sources)}")
        return mixer.float()

    def forward(self, wav: torch.Tensor, sources: Sequence[str] | None = None) -> torch.Tensor:
        """Separate; members that no wanted source needs are not run.

        Args:
            wav: mixture.
            sources: a subset of :attr:`sources`, in the wanted order.

        Shape:
            - wav: (batch, channels, time), (batch, time) or (time,), mono where no channel axis is given
            - returns: (batch, n_src, channels, time), (batch, n_src, time) or (n_src, time)
        """
        chosen = self._chosen(sources)
        wav_BCL = as_batch(wav)
        everything = self.mixing is not None or self.residual
        stems = self._averages(wav_BCL, self.sources if everything else chosen)
        if self.mixing is not None:
            est_BSCL = torch.stack([stems[name] for name in self.mixing.sources], dim=1)
            stems = dict(zip(self.mixing.sources, self.mixing.mix(est_BSCL, wav_BCL).unbind(1)))
        if self.residual:
            rest_BCL = wav_BCL - sum(stems.values())
            stems = {name: stem + self.residual.get(name, 0) * rest_BCL for name, stem in stems.items()}
        return as_ranked(wav, torch.stack([stems[name] for name in chosen], dim=1))

    def _averages(self, wav_BCL: torch.Tensor, wanted: Sequence[str]) -> dict[str, torch.Tensor]:
        """Weighted mean over members of each wanted source."""
        sums: dict[str, torch.Tensor] = {}
        totals: dict[str, float] = {}
        for index in self._needed(wanted):
            names, less = as_model(self.networks[index]).sources, self.less[index] if self.less else None
            reads_BCL = wav_BCL - sum(sums[name] / totals[name] for name in less) if less else wav_BCL
            est_BSCL = self.run_member(index, reads_BCL).to(wav_BCL.dtype)
            for name, est_BCL in zip(names, est_BSCL.unbind(1)):
                weight = self._weight(index, name)
                if weight:
                    sums[name] = sums.get(name, 0) + weight * est_BCL
                    totals[name] = totals.get(name, 0) + weight
        return {name: sums[name] / totals[name] for name in wanted}

    def run_member(self, index: int, wav_BCL: torch.Tensor) -> torch.Tensor:
        """(batch, n_src, channels, time) of one member; replaced where :attr:`plans` are followed."""
        return run_batch(self.networks[index], wav_BCL)

    def open_stream(self) -> None:
        """Members read what others leave, which nobody has lined up for streams."""
        return None

    def _weight(self, index: int, name: str) -> float:
        if name not in self.sources:
            return 0
        return self.weights[index][self.sources.index(name)] if self.weights else 1

    def _needed(self, wanted: Iterable[str]) -> list[int]:
        """Members that the wanted sources need, themselves or for what is taken off before; in order."""
        wanted, needed = set(wanted), []
        for index in reversed(range(len(self.networks))):
            names = as_model(self.networks[index]).sources
            if any(name in wanted and self._weight(index, name) for name in names):
                needed.append(index)
                wanted |= set((self.less[index] if self.less else None) or ())
        return needed[::-1]

    def get_model_args(self) -> dict[str, Any]:
        """Every constructor argument, in plain values."""
        return {name: as_lists(value) for name, value in super().get_model_args().items()}
