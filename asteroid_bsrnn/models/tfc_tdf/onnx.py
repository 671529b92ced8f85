"""ConvTDFNet out of an ONNX file: the graph is read as data and walked, nothing is executed.

Conv and BatchNormalization pairs were fused on export; those of transposed convolutions were not. Linear layers are
MatMul with the transposed weight. Initialisers are in no useful order, so each is found by the node that reads it.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...common.errors import UserError

EPS = 1e-5  # of batch norms
_TYPES = {1: "<f4", 10: "<f2", 11: "<f8"}  # TensorProto.DataType of floating-point numbers
_NORM = ("weight", "bias", "running_mean", "running_var")
_WRONG = (AttributeError, IndexError, KeyError, TypeError, ValueError)  # what reading other bytes ends in


def read_onnx(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Weights by the names of KUIELab's class, and what the graph's input says (``dim_f``, ``dim_t``).

    Raises:
        UserError: if the file is damaged or its graph is no ConvTDFNet.
    """
    try:
        graph = list(fields(only(list(fields(Path(path).read_bytes())), 7)))
        tensors = dict(tensor(value) for number, value in graph if number == 5)
        nodes = [node(value) for number, value in graph if number == 1]
        dims = input_dims(only(graph, 11))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from None
    except _WRONG:
        raise UserError(f"{path} is damaged, or no ONNX file with its weights inside") from None
    try:
        return named(list(layers(nodes, tensors))), {"dim_f": dims[2], "dim_t": dims[3]}
    except _WRONG:
        raise UserError(f"{path}: its graph is no ConvTDFNet, the only network that is read from ONNX files") from None


def fields(content: bytes) -> Iterator[tuple[int, Any]]:
    """(number, value) of each field of a protobuf message: whole numbers, or bytes."""
    position = 0
    value: Any
    while position < len(content):
        key, position = varint(content, position)
        kind = key & 7
        if kind == 0:
            value, position = varint(content, position)
        else:
            size, position = varint(content, position) if kind == 2 else ({1: 8, 5: 4}[kind], position)
            value, position = content[position : position + size], position + size
            if position > len(content):
                raise ValueError("truncated")
        yield key >> 3, value


def varint(content: bytes, position: int) -> tuple[int, int]:
    """A whole number of 7 bits a byte, and the position behind it."""
    value = shift = 0
    while True:
        byte = content[position]
        value, shift, position = value | (byte & 127) << shift, shift + 7, position + 1
        if byte < 128:
            return value, position


def only(message: list[tuple[int, Any]], number: int) -> Any:
    """The value of a field that stands once, or the first."""
    return next(iter(every(message, number)), None)


def every(message: list[tuple[int, Any]], number: int) -> list[Any]:
    """The values of a repeated field."""
    return [value for found, value in message if found == number]


def numbers(message: list[tuple[int, Any]], number: int) -> list[int]:
    """Whole numbers of a repeated field, packed or not."""
    found = []
    for value in every(message, number):
        if not isinstance(value, bytes):
            found.append(value)
            continue
        position = 0
        while position < len(value):
            entry, position = varint(value, position)
            found.append(entry)
    return found


def tensor(content: bytes) -> tuple[str, np.ndarray]:
    """(name, values) of a TensorProto; whole numbers, which no weight is, come as an empty array."""
    message = list(fields(content))
    name, kind, raw = only(message, 8) or b"", only(message, 2), only(message, 9)
    if kind not in _TYPES:
        return name.decode(), np.empty(0)
    if raw is None:  # then they lie in float_data
        raw, kind = b"".join(every(message, 4)), 1
    return name.decode(), np.frombuffer(raw, _TYPES[kind]).astype(np.float32).reshape(numbers(message, 1))


def node(content: bytes) -> tuple[str, list[str], str, dict[str, Any]]:
    """(operation, inputs, output, attributes) of a NodeProto; attributes are numbers, lists or tensors."""
    message, attributes = list(fields(content)), {}
    for attribute in (list(fields(value)) for value in every(message, 5)):
        values = only(attribute, 5)
        value = numbers(attribute, 8) or numbers(attribute, 3) if values is None else tensor(values)[1]
        attributes[only(attribute, 1).decode()] = value
    return (
        only(message, 4).decode(),
        [value.decode() for value in every(message, 1)],
        only(message, 2).decode(),
        attributes,
    )


def input_dims(content: bytes) -> list[int]:
    """Sizes of a ValueInfoProto, 0 where one is free."""
    for number in (2, 1, 2):  # its type, the type's tensor, the tensor's shape
        content = only(list(fields(content)), number)
    return [only(list(fields(dim)), 1) or 0 for dim in every(list(fields(content)), 1)]


def layers(nodes: list, tensors: Mapping[str, np.ndarray]) -> Iterator[tuple[str, dict, int]]:
    """(operation, weights, stride) of each layer in the order of the graph; "MatMul" gives a linear layer's weights."""
    tensors = dict(tensors)
    for operation, inputs, output, attributes in nodes:
        given = [tensors[name] for name in inputs if name in tensors]
        if operation == "Constant":
            tensors[output] = attributes.get("value", np.empty(0))
        elif operation in ("Identity", "Transpose") and given:
            tensors[output] = given[0] if operation == "Identity" else given[0].transpose(attributes.get("perm"))
        elif operation in ("Conv", "ConvTranspose"):
            yield operation, dict(zip(("weight", "bias"), given)), attributes.get("strides", [1])[0]
        elif operation == "MatMul":
            yield operation, {"weight": given[0].T}, 1
        elif operation == "BatchNormalization":
            yield operation, dict(zip(_NORM, given)), 1
        elif operation == "Add" and given:
            yield operation, {"bias": given[0]}, 1
        elif operation not in ("Relu", "Transpose", "Add", "Mul"):
            raise UserError(f"it has a node {operation}")


def named(found: list[tuple[str, dict, int]]) -> dict[str, torch.Tensor]:
    """Weights by name; norms that were fused become the identity."""
    n_levels = sum(operation == "ConvTranspose" for operation, *_ in found)
    last = max(index for index, (operation, *_) in enumerate(found) if operation == "Conv")
    place, weights = Place(n_levels), {}
    for index, (operation, values, stride) in enumerate(found):
        if operation == "Add":
            weights[f"{place.layer}.bias"] = values["bias"]
            continue
        name = place.norm() if operation == "BatchNormalization" else place.next(operation, stride, index == last)
        weights.update({f"{name}.{key}": value for key, value in values.items()})
        if operation == "Conv" and name != "final_conv.0":
            width = np.ones(len(values["weight"]), np.float32)
            identity = zip(_NORM, (width, 0 * width, 0 * width, (1 - EPS) * width))
            weights.update({f"{place.norm()}.{key}": value for key, value in identity})
    return {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in weights.items()}


class Place:
    """Where in the network a walk along its layers is."""

    def __init__(self, n_levels: int) -> None:
        self.n_levels, self.down, self.up = n_levels, 0, 0
        self.layer, self.block, self.n_convs, self.n_linears = "", "", 0, 0

    def next(self, operation: str, stride: int, is_last: bool) -> str:
        """Name of the next convolution or linear layer."""
        if not self.layer:
            self.layer = "first_conv.0"
            self._enter()
        elif is_last:
            self.layer = "final_conv.0"
        elif operation == "ConvTranspose":
            self.layer = f"us.{self.up}.0"
            self._enter(f"decoding_blocks.{self.up}")
            self.up += 1
        elif operation == "MatMul":
            self.layer, self.n_linears = f"{self.block}.tdf.{3 * self.n_linears}", self.n_linears + 1
        elif stride == 2:
            self.layer, self.down = f"ds.{self.down}.0", self.down + 1
            self._enter()
        else:
            self.layer, self.n_convs = f"{self.block}.tfc.H.{self.n_convs}.0", self.n_convs + 1
        return self.layer

    def norm(self) -> str:
        """Name of the norm behind the present layer."""
        stem, index = self.layer.rsplit(".", 1)
        return f"{stem}.{int(index) + 1}"

    def _enter(self, block: str = "") -> None:
        on_the_way_down = f"encoding_blocks.{self.down}" if self.down < self.n_levels else "bottleneck_block"
        self.block, self.n_convs, self.n_linears = block or on_the_way_down, 0, 0
