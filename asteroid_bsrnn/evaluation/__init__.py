"""Scores of an experiment or of any folder, in files that the report and museval read."""

from .music_tracks import evaluate_music
from .music_folder import evaluate_folder
from ..experiment.records import file_digest
from .speech_utterances import evaluate_speech
from .speech_folder import evaluate_speech_folder
from .summary import report_lines

__all__ = [
    "evaluate_folder",
    "evaluate_music",
    "evaluate_speech",
    "evaluate_speech_folder",
    "file_digest",
    "report_lines",
]
