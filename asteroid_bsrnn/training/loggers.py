"""What the user sees of a run: plain lines, a progress bar on a terminal, TensorBoard where it is installed."""
import sys
from contextlib import suppress

from tqdm import tqdm


class Log:
    """Prints on the first rank only; the bar appears on terminals only, so that log files stay readable.

    Args:
        folder (Path): TensorBoard's files go to ``folder/tensorboard``.
        first_rank (bool): False silences everything.
        start_step (int): later points of an interrupted run are dropped from TensorBoard.
    """

    def __init__(self, folder, first_rank=True, start_step=0):
        self.first_rank, self.bar, self.board = first_rank, None, None
        if first_rank:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError:
                return
            self.board = SummaryWriter(str(folder / "tensorboard"), purge_step=start_step or None)

    def line(self, text):
        """One line, above the bar if there is one."""
        if self.first_rank:
            tqdm.write(text, file=sys.stdout)
            sys.stdout.flush()

    def start_bar(self, title, total, done=0):
        off = True if not self.first_rank else None  # None: off where stderr is no terminal
        self.bar = tqdm(desc=title, total=total, initial=done, disable=off, leave=False, dynamic_ncols=True)

    def advance(self, loss=None):
        self.bar.update()
        if loss is not None:
            self.bar.set_postfix(loss=f"{loss:.4g}", refresh=False)

    def stop_bar(self):
        if self.bar is not None:
            self.bar.close()
            self.bar = None

    def scalars(self, values, step):
        """Points of TensorBoard's curves."""
        if self.board is not None:
            for name, value in values.items():
                self.board.add_scalar(name, value, step)

    def close(self):
        self.stop_bar()
        if self.board is not None:
            with suppress(OSError):  # a full disk, which the run has told about
                self.board.close()
