"""Recurrent layers under autocast."""

import torch
from torch import nn


def cast_inputs(network: nn.Module) -> None:
    """Let every LSTM in ``network`` read the type that autocast asks for.

    On a CPU, autocast gives an LSTM weights of that type beside an input as it is, which oneDNN has no kernel for on
    processors without bf16 instructions.
    """
    for module in network.modules():
        if isinstance(module, nn.LSTM):
            module.register_forward_pre_hook(_cast)


def _cast(module: nn.Module, inputs: tuple) -> tuple | None:
    device = inputs[0].device.type
    if not torch.is_autocast_enabled(device):
        return None
    return (inputs[0].to(torch.get_autocast_dtype(device)), *inputs[1:])
