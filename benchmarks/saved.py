"""What a forward pass keeps for the backward pass."""

import torch


def saved_bytes(net, *inputs):
    """Bytes that autograd saves during ``net(*inputs)``, parameters left out, each storage counted once."""
    own = {parameter.untyped_storage().data_ptr() for parameter in net.parameters()}
    kept, sizes = [], {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            sizes[storage.data_ptr()] = storage.nbytes()
            kept.append(tensor)  # as long as it lives, no other storage has its address
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        out = net(*inputs)
    del out
    return sum(sizes.values())
