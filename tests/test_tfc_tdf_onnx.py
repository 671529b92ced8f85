"""ConvTDFNet out of ONNX files, which are walked and never executed."""

import pytest
import torch
from helpers import SHARED
from test_tfc_tdf_foreign import FILES, check, error, needs_shared, reference

from asteroid_bsrnn.common.errors import UserError
from asteroid_bsrnn.models import ConvTDFNet
from asteroid_bsrnn.models.tfc_tdf.adapters import KUIELabConvTDFNet
from asteroid_bsrnn.models.tfc_tdf.onnx import read_onnx

ADAPTER = KUIELabConvTDFNet()
SETTINGS = {"n_fft": 256, "hop_length": 64}


def varint(value):
    head, rest = value & 127, value >> 7
    return bytes([head | 128]) + varint(rest) if rest else bytes([head])


def field(number, value):
    """A protobuf field: a whole number, text or bytes."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def tensor(name, values, packed=False):
    values = values.detach().float().contiguous()
    dims = (
        field(1, b"".join(map(varint, values.shape))) if packed else b"".join(field(1, size) for size in values.shape)
    )
    return dims + field(2, 1) + field(8, name) + field(4 if packed else 9, values.numpy().tobytes())


class Graph:
    """Writes the file that an exporter would, in the forms that exporters choose from."""

    def __init__(self, fuse, packed):
        self.fuse, self.packed, self.nodes, self.tensors, self.count = fuse, packed, [], [], 0

    def add(self, operation, *inputs, strides=None):
        self.count += 1
        output = f"out{self.count}"
        content = b"".join(field(1, name) for name in inputs) + field(2, output) + field(4, operation)
        if strides:
            content += field(5, field(1, "strides") + field(8, strides) + field(8, strides))
        self.nodes.append(content)
        return output

    def constant(self, values):
        self.count += 1
        self.tensors.append(tensor(f"t{self.count}", values, self.packed))
        return f"t{self.count}"

    def norm(self, x, norm):
        values = (norm.weight, norm.bias, norm.running_mean, norm.running_var)
        return self.add("BatchNormalization", x, *map(self.constant, values))

    def conv(self, x, layers):
        conv, norm = layers[0], layers[1] if len(layers) > 1 else None
        weight, bias = conv.weight, conv.bias
        fused = self.fuse and norm is not None and isinstance(conv, torch.nn.Conv2d)
        if fused:
            scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
            weight, bias = weight * scale[:, None, None, None], (bias - norm.running_mean) * scale + norm.bias
        operation = "Conv" if isinstance(conv, torch.nn.Conv2d) else "ConvTranspose"
        x = self.add(operation, x, self.constant(weight), self.constant(bias), strides=conv.stride[0])
        if norm is None:
            return x
        return self.add("Relu", x if fused else self.norm(x, norm))

    def linear(self, x, linear, norm):
        weight = self.constant(linear.weight.T if self.fuse else linear.weight)
        weight = weight if self.fuse else self.add("Transpose", weight)
        x = self.add("MatMul", x, weight)
        if linear.bias is not None:
            x = self.add("Add", self.add("Identity", self.constant(linear.bias)), x)
        return self.add("Relu", self.norm(x, norm))

    def block(self, x, block):
        for conv in block.tfc.H:
            x = self.conv(x, conv)
        if block.tdf is None:
            return x
        y = x
        for index in range(0, len(block.tdf), 3):
            y = self.linear(y, block.tdf[index], block.tdf[index + 1])
        return self.add("Add", x, y)

    def write(self, model, path):
        x, skips = self.add("Transpose", self.conv("input", model.first_conv)), []
        for block, down in zip(model.encoding_blocks, model.ds):
            skips.append(self.block(x, block))
            x = self.conv(skips[-1], down)
        x = self.block(x, model.bottleneck_block)
        for up, block in zip(model.us, model.decoding_blocks):
            x = self.block(self.add("Mul", self.conv(x, up), skips.pop()), block)
        self.conv(self.add("Transpose", x), model.final_conv)
        dims = [field(2, "batch"), field(1, 4), field(1, model.config.dim_f), field(1, model.config.dim_t)]
        shape = field(2, b"".join(field(1, dim) for dim in dims))
        graph = [field(1, content) for content in self.nodes] + [
            field(5, content) for content in reversed(self.tensors)
        ]
        path.write_bytes(
            field(1, 7) + field(7, b"".join(graph) + field(11, field(1, "input") + field(2, field(1, shape))))
        )
        return path


@pytest.mark.parametrize("args", [{}, {"bottleneck": 0, "bias": True}, {"bottleneck": None}, {"n_levels": 0}], ids=str)
@pytest.mark.parametrize("fuse, packed", [(True, False), (False, True)])
def test_a_network_comes_back_from_the_graph(args, fuse, packed, tmp_path):
    torch.manual_seed(0)
    model = ConvTDFNet(
        **{"n_fft": 64, "n_hop": 16, "dim_f": 32, "dim_t": 8, "n_levels": 2, "n_convs": 2, "growth": 4} | args
    )
    for buffer in model.eval().buffers():
        if buffer.is_floating_point():
            buffer.uniform_(0.5, 1.5)
    state, settings = ADAPTER.read(Graph(fuse, packed).write(model, tmp_path / "x.onnx"))
    again = ADAPTER.build(state, {**settings, "n_fft": 64, "hop_length": 16, "target_name": "vocals"})
    assert again.get_model_args() == model.get_model_args() | (
        {"bias": False} if args.get("bottleneck", 0) is None else {}
    )
    wav = torch.randn(1, 2, 500)
    with torch.no_grad():
        assert error(again(wav), model(wav)) < 1e-5


@needs_shared
def test_the_file_of_the_original_exporter():
    state, settings = read_onnx(FILES / "kuielab_vocals.onnx")
    assert ADAPTER.recognises(state) and settings == {"dim_f": 96, "dim_t": 16}
    with pytest.raises(UserError, match="'n_fft'"):
        ADAPTER.build(state, settings)
    wanted = reference("kuielab")
    model = check(ADAPTER, state, {**settings, **SETTINGS}, wanted, ("s1",))
    with torch.no_grad():
        assert error(model.estimate(wanted["spec_in"]), wanted["spec_out"]) < 1e-5


@pytest.mark.skipif(not SHARED, reason="no shared data")
def test_damaged_files_are_refused(tmp_path):
    whole = (FILES / "kuielab_vocals.onnx").read_bytes()
    other = field(7, field(1, field(4, "Gemm")))
    for content in (b"", b"\x80" * 20, whole[: len(whole) // 2], whole[100:], b"\x08\x07", other):
        (tmp_path / "x.onnx").write_bytes(content)
        with pytest.raises(UserError, match="damaged|no ConvTDFNet"):
            read_onnx(tmp_path / "x.onnx")
    with pytest.raises(UserError, match="cannot read"):
        read_onnx(tmp_path / "missing.onnx")
    (tmp_path / "x.onnx").write_bytes(whole.replace(b"BatchNormalization", b"LayerNormalization"))
    with pytest.raises(UserError, match="no ConvTDFNet"):
        read_onnx(tmp_path / "x.onnx")
