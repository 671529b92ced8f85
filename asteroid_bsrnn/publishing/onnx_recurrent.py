"""Recurrent layers as the one operation that ONNX has for them, for any length.

PyTorch's exporter takes an LSTM apart into its steps, or into a loop in the runtime's own language, both many times slower.

Letters of shapes: S steps, B batch, I inputs, H hidden, D directions, G gates.
"""

import importlib
from collections.abc import Callable, Sequence
from typing import Any

import torch

_GATES = {"LSTM": [0, 3, 1, 2], "GRU": [1, 0, 2]}
"""Where ONNX's gates lie in PyTorch's weights."""


@torch.library.custom_op("asteroid_bsrnn::lstm_layer", mutates_args=())
def lstm_layer(x_SBI: torch.Tensor, start: Sequence[torch.Tensor], weights: Sequence[torch.Tensor]) -> torch.Tensor:
    """One layer in one direction or both: (steps, batch, inputs) -> (steps, batch, directions * hidden).

    Args:
        x_SBI: input.
        start: hidden and cell state before the first step, (directions, batch, hidden) each.
        weights: of each direction in turn, PyTorch's four.
    """
    return torch.lstm(x_SBI, list(start), list(weights), True, 1, 0.0, False, len(weights) == 8, False)[0]


@torch.library.custom_op("asteroid_bsrnn::gru_layer", mutates_args=())
def gru_layer(x_SBI: torch.Tensor, start: Sequence[torch.Tensor], weights: Sequence[torch.Tensor]) -> torch.Tensor:
    """As :func:`lstm_layer`, with a single state."""
    return torch.gru(x_SBI, start[0], list(weights), True, 1, 0.0, False, len(weights) == 8, False)[0]


@lstm_layer.register_fake
@gru_layer.register_fake
def _(x_SBI: torch.Tensor, start: Sequence[torch.Tensor], weights: Sequence[torch.Tensor]) -> torch.Tensor:
    return x_SBI.new_empty(*x_SBI.shape[:2], len(weights) // 4 * weights[1].shape[1])


def stacked(layer: Callable[..., torch.Tensor]) -> Callable[..., tuple[torch.Tensor, ...]]:
    """``torch.lstm`` or ``torch.gru`` in evaluation, made of layers; states after the last step are not given."""

    def run(
        x: torch.Tensor,
        start: Any,
        weights: Sequence[torch.Tensor],
        has_biases: bool,
        num_layers: int,
        dropout: float,
        train: bool,
        bidirectional: bool,
        batch_first: bool,
    ) -> tuple[torch.Tensor, ...]:
        if not has_biases or len(weights) != 4 * num_layers * (1 + bidirectional):
            raise TypeError("recurrent layers without biases or with projections have no form here")
        states = start if isinstance(start, (list, tuple)) else [start]
        n_dirs = 1 + bidirectional
        x_SBI = x.transpose(0, 1) if batch_first else x
        for index in range(num_layers):
            own = weights[4 * n_dirs * index : 4 * n_dirs * (index + 1)]
            x_SBI = layer(x_SBI, [state[n_dirs * index : n_dirs * (index + 1)] for state in states], list(own))
        return (x_SBI.transpose(0, 1) if batch_first else x_SBI, *states)

    return run


def translations() -> dict[Any, Callable[..., Any]]:
    """What becomes of both layers in ONNX."""
    ops = torch.ops.asteroid_bsrnn
    return {ops.lstm_layer.default: _translated("LSTM"), ops.gru_layer.default: _translated("GRU")}


def _translated(name: str) -> Callable[..., Any]:
    order, options = _GATES[name], {} if name == "LSTM" else {"linear_before_reset": 1}
    opset = importlib.import_module("onnxscript").opset20

    def reordered(weight: Any, hidden: int) -> Any:
        return opset.Concat(*(opset.Slice(weight, [g * hidden], [(g + 1) * hidden], [0]) for g in order), axis=0)

    def run(x_SBI: Any, start: Sequence[Any], weights: Sequence[Any]) -> Any:
        hidden, directions = (
            int(weights[1].shape[1]),
            [weights[first : first + 4] for first in range(0, len(weights), 4)],
        )
        parts = [[opset.Unsqueeze(reordered(weight, hidden), [0]) for weight in own] for own in directions]
        inputs, recurrent, *biases = (_joined(opset, list(column), 0) for column in zip(*parts))
        states = dict(zip(("initial_h", "initial_c"), start))
        both = "bidirectional" if len(directions) == 2 else "forward"
        y_SDBH = getattr(opset, name)(
            x_SBI, inputs, recurrent, _joined(opset, biases, 1), hidden_size=hidden, direction=both, **states, **options
        )[0]
        return opset.Reshape(opset.Transpose(y_SDBH, perm=[0, 2, 1, 3]), [0, 0, hidden * len(directions)])

    return run


def _joined(opset: Any, parts: list[Any], axis: int) -> Any:
    return parts[0] if len(parts) == 1 else opset.Concat(*parts, axis=axis)
