"""The two systems: what a training step and a validated recording are, for music and for speech.

Both are Asteroid ``System``\\ s, so a plain ``pytorch_lightning.Trainer`` trains them too; :func:`.training.fit` adds
exact resume, faults and energy.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from asteroid.engine.system import System
from asteroid.losses import PITLossWrapper, pairwise_neg_sisdr

from ..common.precision import full_precision, widened
from ..data.music.augment import remix_batch
from ..metrics import Metric, usdr
from ..metrics import get as get_metric
from ..models.base import as_model
from ..separation.segments import apply_segments
from ..separation.whole_song import mono_mix_level

Tensor = torch.Tensor
Batch = Sequence[Tensor]  # mixture, sources


class RecordingSystem(System):
    """System that is validated one whole recording at a time.

    A subclass defines ``common_step`` and :meth:`score`, and ``counted_step`` where ``counts_examples`` may be true. Models
    may run under autocast; losses and scores never do.

    Attributes:
        complete: whether every recording has every source; else one that is silent is not scored.
        metric: which score a recording has beside its loss.
    """

    complete: bool = True
    metric: Metric | None = None
    scheduler: Any

    @property
    def default_monitor(self) -> str:
        """The score that a plain Trainer watches."""
        return f"val_{self.metric.name if self.metric else 'loss'}"

    def score(self, mixture: Tensor, sources: Tensor) -> dict[str, float]:
        """Scores of one recording, ``val_loss`` among them."""
        raise TypeError(f"{type(self).__name__} does not say how it scores: it needs a method 'score'")

    def begin_epoch(self, epoch: int) -> None:
        """Tell a loss whose terms change over the epochs which one begins (the first is 1)."""
        if hasattr(self.loss_func, "set_epoch"):
            self.loss_func.set_epoch(epoch)

    def begin_step(self, steps_done: int) -> None:
        """Tell a loss whose terms change over the optimizer steps how many were taken."""
        if hasattr(self.loss_func, "set_step"):
            self.loss_func.set_step(steps_done)

    def on_train_epoch_start(self) -> None:
        """The same under Lightning's own trainer."""
        self.begin_epoch(self.current_epoch + 1)

    def on_train_batch_start(self, *_: Any) -> None:
        """The same under Lightning's own trainer."""
        self.begin_step(self.global_step)

    def configure_optimizers(self) -> Any:
        """For a plain Trainer: a plateau scheduler watches the score if larger is better for it, else the loss."""
        schedulers = self.scheduler if isinstance(self.scheduler, (list, tuple)) else [self.scheduler]
        if self.scheduler is not None:
            self.scheduler = [self._monitored(entry) for entry in schedulers]
        return super().configure_optimizers()

    def _monitored(self, entry: Any) -> Any:
        scheduler = entry["scheduler"] if isinstance(entry, dict) else entry
        if not isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
            return entry
        watched = {"monitor": self.default_monitor if scheduler.mode == "max" else "val_loss", "interval": "epoch"}
        return {**watched, **(entry if isinstance(entry, dict) else {"scheduler": entry})}

    def estimates(self, mixture: Tensor) -> Any:
        """What the loss takes: the model's waveforms, and what else it gives to train on."""
        return as_model(self.model).estimates(mixture)

    def loss(self, estimates: Any, targets: Tensor) -> Tensor:
        """``loss_func`` outside autocast, in the precision of the targets at least."""
        with full_precision(targets.device):
            return self.loss_func(widened(estimates), targets)

    def step_totals(self, batch: Batch, batch_nb: int, keep_all: bool = False) -> tuple[Tensor, Tensor]:
        """Loss of a micro-batch as a sum and the number that it shall be divided by.

        The mean over an effective batch is the sum of these sums over the sum of these numbers, however it was split. A
        loss that leaves examples out counts the others (``loss_func.totals``); any other is a mean, which counts once.

        Args:
            keep_all: leave nothing out; asked for where nothing in the effective batch counted.
        """
        if not self.counts_examples:
            return self.common_step(batch, batch_nb, train=True), torch.ones((), dtype=torch.float64)
        return self.counted_step(batch, keep_all)

    @property
    def counts_examples(self) -> bool:
        """Whether the loss leaves examples out, so that its mean must be taken over the effective batch."""
        return False

    def validation_step(self, batch: Batch, batch_nb: int) -> None:
        """Log the scores of a batch of recordings of equal length."""
        for mixture, sources in zip(*batch):
            self.log_dict(self.score(mixture, sources), on_epoch=True, on_step=False, prog_bar=True, batch_size=1)


class MusicSystem(RecordingSystem):
    """Trains on chunks; validates whole songs with the segments that ``config["inference"]`` describes.

    Args:
        model: a :class:`~asteroid_bsrnn.models.base.SeparationModel`, or any Module with ``sample_rate``.
        loss_func: ``loss(model.estimates(mixture), targets)``. One with a method ``match_stft(model)`` is told the model
            (a spectral loss without an STFT of its own takes the model's).
        config: section ``inference`` is given to :func:`asteroid_bsrnn.separation.segments.apply_segments`.

    Shape:
        - training batch: mixture ``(batch, channels, time)``, sources ``(batch, n_src, channels, time)``
        - song: mixture ``(channels, time)``, sources ``(n_src, channels, time)``
    """

    metric = get_metric("usdr")

    def __init__(
        self,
        model: torch.nn.Module,
        optimizer: Any,
        loss_func: Callable[..., Tensor],
        train_loader: Any,
        val_loader: Any = None,
        scheduler: Any = None,
        config: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(model, optimizer, loss_func, train_loader, val_loader, scheduler, config)
        if hasattr(loss_func, "match_stft"):
            loss_func.match_stft(model)

    def common_step(self, batch: Batch, batch_nb: int, train: bool = True) -> Tensor:
        """Loss of a batch."""
        mixture, sources = self.remixed(*batch) if train and self.remix else batch
        return self.loss(self.estimates(mixture), sources)

    @property
    def remix(self) -> bool:
        """Whether ``config["training"]["remix_batch"]`` asks for new mixtures within the batch."""
        return bool((self.config.get("training") or {}).get("remix_batch"))

    def remixed(self, mixture: Tensor, sources: Tensor) -> Batch:
        """New mixtures of the sources of a batch, and of what else is in its mixtures."""
        rest = mixture - sources.sum(1)
        parts = remix_batch(torch.cat([sources, rest[:, None]], dim=1))
        return parts.sum(1), parts[:, :-1]

    @torch.no_grad()
    def score(self, mixture: Tensor, sources: Tensor) -> dict[str, float]:
        """Loss and uSDR of one song.

        Returns:
            ``val_loss``, the median over the song's segments (the lower one of an even count, as in the
            published code); :attr:`default_monitor` in dB over the whole song, the mean over sources; for several sources
            also that of each, with its name behind. Sources that the song lacks have no score.
        """
        estimates, losses = self.separate(mixture, sources)
        finite = bool(estimates.isfinite().all())  # a model that diverges scores NaN, which is never the best
        with full_precision(sources.device):
            per_source = usdr(estimates[None], sources[None])[0] if finite else torch.full((len(sources),), torch.nan)
        there = [self.complete or bool(source.any()) for source in sources]
        scores = {"val_loss": float(torch.stack(losses).median())}
        if any(there):
            scores[self.default_monitor] = float(per_source[there].mean())
        if len(per_source) > 1:
            names = as_model(self.model).sources or range(len(per_source))
            scores.update(
                {
                    f"{self.default_monitor}_{name}": float(score)
                    for name, score, is_here in zip(names, per_source, there)
                    if is_here
                }
            )
        return scores

    def separate(self, mixture: Tensor, sources: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Separate a song in segments and take the loss of each segment against the same stretch of the sources.

        The references travel through the segment scheduler as further channels, so that they are cut as the song is.

        Returns:
            Estimates ``(n_src, channels, time)``, and a loss for each segment.
        """
        n_src, references = sources.shape[0], sources.flatten(0, 1)
        losses: list[Tensor] = []

        def forward(segments: Tensor) -> Tensor:
            targets, segment = segments[:, : len(references)].unflatten(1, (n_src, -1)), segments[:, len(references) :]
            output = self.estimates(segment)
            waveforms, spectra = output if isinstance(output, tuple) else (output, None)
            for item in range(len(segments)):
                one = slice(item, item + 1)
                estimate = waveforms[one] if spectra is None else (waveforms[one], spectra[one])
                losses.append(self.loss(estimate, targets[one]).double().cpu())
            return torch.cat([waveforms.flatten(1, 2).to(segment), segment], dim=1)[:, None]

        rate, scheme = int(self.model.sample_rate), dict(self.config.get("inference") or {})
        mean, std = mono_mix_level(mixture) if scheme.pop("standardise", False) else (0, 1)
        song = (torch.cat([references, mixture]) - mean) / std
        result = apply_segments(forward, song, rate, **scheme)[0, : len(references)] * std + mean
        return result.unflatten(0, (n_src, -1)), losses


class SpeechSystem(RecordingSystem):
    """Permutation-invariant training of speech separation; validates whole utterances.

    Args:
        model: ``model(wav)`` -> (batch, n_src, time). One that defines ``training_loss(wav, sources)`` (uPIT on masks,
            deep clustering) is trained with that; one that defines ``estimates(wav)`` gives the loss what that returns.
        loss_func: ``loss(est_targets, targets)``, as Asteroid's ``PITLossWrapper``.

    Shape:
        - training batch: mixture ``(batch, time)``, sources ``(batch, n_src, time)``
        - utterance: mixture ``(time,)``, sources ``(n_src, time)``
    """

    metric = get_metric("si_sdr")

    def common_step(self, batch: Batch, batch_nb: int, train: bool = True) -> Tensor:
        """Loss of a batch."""
        mixture, sources = batch
        if hasattr(self.model, "training_loss"):
            return self.model.training_loss(mixture, sources)
        return self.loss(self.estimates(mixture), sources)

    @property
    def counts_examples(self) -> bool:
        """Whether the loss leaves examples out, so that its mean must be taken over the effective batch."""
        return hasattr(self.loss_func, "totals") and not hasattr(self.model, "training_loss")

    def counted_step(self, batch: Batch, keep_all: bool) -> tuple[Tensor, Tensor]:
        """Sum of the loss over the examples that count, and their number."""
        mixture, sources = batch
        estimates = self.estimates(mixture)
        with full_precision(sources.device):
            return self.loss_func.totals(widened(estimates), sources, keep_all)

    @torch.no_grad()
    def score(self, mixture: Tensor, sources: Tensor) -> dict[str, float]:
        """``val_loss`` and the SI-SDR (dB, best permutation) of one utterance."""
        mixture, sources = mixture[None], sources[None]
        estimates = self.model(mixture)
        own = hasattr(self.model, "training_loss")
        loss = self.model.training_loss(mixture, sources) if own else self.loss(estimates, sources)
        with full_precision(sources.device):
            negative = PITLossWrapper(pairwise_neg_sisdr, pit_from="pw_mtx")(estimates.to(sources), sources)
        return {"val_loss": float(loss), self.default_monitor: -float(negative)}


MONITORS = {"loss": "min"}
"""What ``training.monitor`` may name, and whether it is better smaller or larger."""
for _metric in (MusicSystem.metric, SpeechSystem.metric):
    MONITORS[_metric.name] = "max" if _metric.better == "higher" else "min"
