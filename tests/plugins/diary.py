"""A user's plug-in: a tracker that writes one line for each point."""

from pathlib import Path

from pytorch_lightning.loggers.logger import Logger

from asteroid_bsrnn.training.loggers import register_logger


@register_logger
class Diary(Logger):
    name, version = "diary", 0

    def __init__(self, save_dir, file="diary.txt"):
        super().__init__()
        self.path = Path(save_dir) / file

    def log_metrics(self, metrics, step=None):
        with open(self.path, "a") as file:
            file.write(f"{step} {' '.join(sorted(metrics))}\n")

    def log_hyperparams(self, params, *args, **kwargs):
        """Not written."""
