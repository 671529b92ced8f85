"""Several single-source models, or one model of several sources, as one separator with named stems."""
import torch

from .base import SeparationModel, as_batch
from .bsrnn.network import BSRNN


class StemSeparator(SeparationModel):
    """Members that each estimate some sources of the same mixture; members with equal STFT settings share one STFT.

    Args:
        members (sequence of BSRNN or dict): the models, or their constructor arguments. Kept in float32.
        sources (sequence of str, optional): which sources in which order; None is all, in the members' order.

    Raises:
        ValueError: for no members, a source that two members estimate or none, or different sample rates.
    """

    def __init__(self, members, sources=None):
        members = [_as_model(member) for member in members]
        if not members:
            raise ValueError("a StemSeparator needs at least one member")
        rates = {member.sample_rate for member in members}
        if len(rates) > 1:
            raise ValueError(f"the members have different sample rates: {', '.join(map(str, sorted(rates)))} Hz")
        super().__init__(members[0].sample_rate, members[0].in_channels)
        names = [source for member in members for source in member.sources]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"more than one member estimates {', '.join(twice)}")
        self.networks = torch.nn.ModuleList(members).float()
        self.sources = tuple(names)
        self.sources = self._chosen(sources)
        transforms = {}
        for member in members:
            member.stft = transforms.setdefault((member.n_fft, member.n_hop), member.stft)

    @property
    def members(self):
        """Constructor arguments of the members, in plain values."""
        return [member.get_model_args() for member in self.networks]

    @property
    def n_src(self):
        """Number of sources."""
        return len(self.sources)

    def _chosen(self, sources):
        if sources is None:
            return self.sources
        chosen = (sources,) if isinstance(sources, str) else tuple(sources)
        unknown = [name for name in chosen if name not in self.sources]
        if unknown or not chosen or len(set(chosen)) < len(chosen):
            wrong = f"unknown source {unknown[0]!r}" if unknown else f"sources must be different names, got {chosen}"
            raise ValueError(f"{wrong}: this separator has {', '.join(self.sources)}")
        return chosen

    def forward(self, wav, sources=None):
        """Separate; members without a wanted source are not run.

        Args:
            wav (torch.Tensor): mixture.
            sources (sequence of str, optional): a subset of :attr:`sources`, in the wanted order.

        Shape:
            - wav: (batch, channels, time), (batch, time) or (time,), mono where no channel axis is given
            - returns: (batch, n_src, channels, time), (batch, n_src, time) or (n_src, time)
        """
        sources = self._chosen(sources)
        wav_BCL = as_batch(wav)
        stems, spectra = {}, {}
        for member in self.networks:
            wanted = [name for name in member.sources if name in sources]
            if not wanted:
                continue
            if member.stft not in spectra:
                spectra[member.stft] = member.stft(wav_BCL)
            est_BSCFT = member.separate_spectrum(spectra[member.stft])
            index = [member.sources.index(name) for name in wanted]
            wav_BSCL = member.stft.inverse(est_BSCFT[:, index], wav.shape[-1]).to(wav.dtype)
            stems.update(zip(wanted, wav_BSCL.unbind(1)))
        out_BSCL = torch.stack([stems[name] for name in sources], dim=1)
        if wav.ndim == 3:
            return out_BSCL
        return out_BSCL[:, :, 0] if wav.ndim == 2 else out_BSCL[0, :, 0]


def _as_model(member):
    if isinstance(member, BSRNN):
        return member
    if isinstance(member, dict):
        return BSRNN(**member)
    raise ValueError(f"members are BSRNN models or their arguments, got {type(member).__name__}")
