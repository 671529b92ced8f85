"""What an audio file says about itself."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class AudioInfo:
    """Facts about a file, as far as they are known before all of it is decoded.

    Args:
        path: the file.
        sample_rate: in Hz.
        channels: how many.
        frames: samples per channel; 0 if nothing says. What ffmpeg reads states its duration only roughly.
        tags: title, artist, album, date, genre, tracknumber, comment, copyright, as far as given.
        decoder: ``"libsndfile"`` or ``"ffmpeg"``.
        subtype: how samples are stored, in libsndfile's words.
        layout: mask of WAVE_FORMAT_EXTENSIBLE for more than two channels, which come in its order; 0 if unknown.
        remarks: what was wrong with its header though all of the sound is there.
    """

    path: str
    sample_rate: int
    channels: int
    frames: int
    tags: dict[str, str] = field(default_factory=dict, compare=False)
    decoder: str = "libsndfile"
    subtype: str = ""
    layout: int = 0
    remarks: tuple[str, ...] = field(default=(), compare=False)
