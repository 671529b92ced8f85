"""A bidirectional LSTM as two of one direction on slices of the rows: the shape that cuDNN's persistent kernel takes.

That kernel (``CUDNN_RNN_ALGO_PERSIST_STATIC``) wants fp16, one layer, one direction, sizes that 128 divides, and a batch that
8 divides and that is at most 128 (aten/src/ATen/native/cudnn/RNN.cpp of PyTorch); the ordinary one serves everything else
above 192 hidden features. Needs torch alone.
"""

import torch
from torch import nn
from torch.nn import functional as F

ROWS = 128


class SlicedLSTM(nn.Module):
    """The same function as ``whole``, a bidirectional time-major ``nn.LSTM`` of one layer, with copies of its weights.

    Args:
        whole: the layer.
        rows: most rows of a slice, a multiple of 8.

    Shape:
        (sequence, rows, features) -> (sequence, rows, 2 * hidden)
    """

    def __init__(self, whole: nn.LSTM, rows: int = ROWS) -> None:
        super().__init__()
        self.rows = rows
        self.forwards, self.backwards = (nn.LSTM(whole.input_size, whole.hidden_size) for _ in range(2))
        with torch.no_grad():
            for part, suffix in ((self.forwards, ""), (self.backwards, "_reverse")):
                for name, value in part.named_parameters():
                    value.copy_(getattr(whole, name + suffix))
        self.to(whole.weight_ih_l0.device, whole.weight_ih_l0.dtype)

    def forward(self, x_SRN: torch.Tensor) -> torch.Tensor:
        """See the class."""
        n_rows = x_SRN.shape[1]
        both = (self._run(self.forwards, x_SRN), self._run(self.backwards, x_SRN.flip(0)).flip(0))
        return torch.cat(both, dim=-1)[:, :n_rows]

    def _run(self, part: nn.LSTM, x_SRN: torch.Tensor) -> torch.Tensor:
        filled = F.pad(x_SRN, (0, 0, 0, -x_SRN.shape[1] % 8))
        slices = [part(piece.contiguous())[0] for piece in filled.split(self.rows, dim=1)]
        return torch.cat(slices, dim=1)
