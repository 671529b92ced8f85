"""Products of oneDNN: as near to the truth as PyTorch's own, gradients of both orders too; modules and weights unchanged."""

import io
import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from asteroid_bsrnn.common import products
from benchmarks.gpu import zoo

RATIO = 6  # errors against double precision, of PyTorch's own; measured: up to 3


@pytest.fixture
def every_size(monkeypatch):
    """Products of oneDNN whatever their size and the processor."""
    monkeypatch.setattr(products, "LEAST_PRODUCTS", 0)
    monkeypatch.setattr(products, "LEAST_ROWS", 0)
    monkeypatch.setattr(products, "LEAST_VALUES", 0)
    monkeypatch.setattr(products, "onednn_leads", lambda: True)


def test_dilated_depthwise_convolutions_go_the_other_way_on_any_processor(monkeypatch):
    monkeypatch.setattr(products, "onednn_leads", lambda: False)
    monkeypatch.setattr(products, "dilated", lambda *_: "taken")
    layer = products.Conv1d(64, 64, 3, padding=8, dilation=8, groups=64)
    assert layer(torch.randn(2, 64, 600)) == "taken"
    assert layer(torch.randn(2, 64, 60)) != "taken", "too small"
    assert layer.double()(torch.randn(2, 64, 600).double()) != "taken"


class Calls(TorchDispatchMode):
    """Counts dilated convolutions of width 1, which nobody else makes."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten.convolution.default:
            self.count += args[1].shape[2:].numel() == 1 and max(args[5]) == 2
        return func(*args, **(kwargs or {}))


def products_made(run):
    with Calls() as calls:
        run()
    return calls.count


def everything(function, inputs):
    """Output, gradients, gradients of the gradients' squares."""
    inputs = [x.clone().requires_grad_() for x in inputs]
    out = function(*inputs)
    weighted = (out.tanh() * torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)).sum()
    first = torch.autograd.grad(weighted, inputs, create_graph=True)
    second = torch.autograd.grad(sum(grad.square().sum() for grad in first), inputs)
    return [x.detach() for x in (out, *first, *second)]


def errors(found, truth):
    return [float((x - y).abs().max() / y.abs().max()) for x, y in zip(found, truth, strict=True)]


def check(quick, plain, inputs):
    truth = everything(plain, [x.double() for x in inputs])
    ours, theirs = errors(everything(quick, inputs), truth), errors(everything(plain, inputs), truth)
    for own, other in zip(ours, theirs):
        assert own <= RATIO * other + 1e-7


@pytest.mark.parametrize("shape", [(6,), (1, 6), (5, 6), (2, 3, 6), (600, 6), (2, 300, 200)], ids=str)
@pytest.mark.parametrize("bias", [True, False])
def test_linear_is_as_exact_as_pytorchs_with_gradients_of_both_orders(shape, bias, every_size):
    torch.manual_seed(0)
    inputs = [torch.randn(shape), torch.randn(40, shape[-1]), *([torch.randn(40)] if bias else [])]
    check(products.linear, F.linear, inputs)


@pytest.mark.parametrize("shape", [(6, 7), (1, 6, 7), (3, 6, 7), (2, 6, 3, 7), (2, 200, 300)], ids=str)
@pytest.mark.parametrize("bias", [True, False])
def test_pointwise_is_as_exact_as_pytorchs_with_gradients_of_both_orders(shape, bias, every_size):
    torch.manual_seed(0)
    n_in, width = (shape[0], (1,)) if len(shape) == 2 else (shape[1], (1,) * (len(shape) - 2))
    inputs = [torch.randn(shape), torch.randn(40, n_in, *width), *([torch.randn(40)] if bias else [])]
    check(products.pointwise, F.conv2d if len(shape) == 4 else F.conv1d, inputs)


@pytest.mark.parametrize("taps, padding, dilation", [(3, 4, 4), (3, 8, 4), (5, 0, 2), (2, 3, 2), (3, 60, 60)])
@pytest.mark.parametrize("bias", [True, False])
def test_dilated_is_as_exact_as_pytorchs_with_gradients_of_both_orders(taps, padding, dilation, bias):
    torch.manual_seed(0)
    inputs = [torch.randn(2, 6, 50), torch.randn(6, 1, taps), *([torch.randn(6)] if bias else [])]

    def ours(x, weight, bias=None):
        return products.dilated(x, weight, bias, padding, dilation)

    def theirs(x, weight, bias=None):
        return F.conv1d(x, weight, bias, padding=padding, dilation=dilation, groups=6)

    check(ours, theirs, inputs)


def test_any_layout_of_input_and_weight_will_do(every_size):
    x, weight = torch.randn(6, 3, 80).transpose(0, 2), torch.randn(6, 40).T
    torch.testing.assert_close(products.linear(x, weight), F.linear(x, weight))
    torch.testing.assert_close(products.linear(x[:, :1].expand(-1, 5, -1), weight[::2, ::2].repeat(1, 2)[:, :6]),
                               F.linear(x[:, :1].expand(-1, 5, -1), weight[::2, ::2].repeat(1, 2)[:, :6]))  # fmt: skip


def test_large_products_alone_go_the_other_way(monkeypatch):
    monkeypatch.setattr(products, "onednn_leads", lambda: True)
    large, wide, small = torch.randn(128, 256), torch.randn(256, 256), torch.randn(128, 16)
    assert products_made(lambda: products.linear(large, wide)) == 1
    assert products_made(lambda: products.linear(small, wide[:, :16])) == 0
    assert products_made(lambda: products.linear(torch.randn(32, 512), torch.randn(512, 512))) == 0
    monkeypatch.setattr(products, "onednn_leads", lambda: False)
    assert products_made(lambda: products.linear(large, wide)) == 0
    assert torch.equal(products.linear(large, wide), F.linear(large, wide))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_precisions_are_left_alone(dtype, every_size):
    x, weight = torch.randn(4, 6, dtype=dtype), torch.randn(5, 6, dtype=dtype)
    assert torch.equal(products.linear(x, weight), F.linear(x, weight))
    assert products_made(lambda: products.linear(x, weight)) == 0


def test_autocast_traces_exports_and_other_tensors_are_left_alone(every_size):
    layer, x = products.Linear(6, 5), torch.randn(4, 6)
    with torch.autocast("cpu", torch.bfloat16):
        assert products_made(lambda: layer(x)) == 0 and layer(x).dtype == torch.bfloat16
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        assert "conv" not in str(torch.jit.trace(layer, x).inlined_graph)
    assert "conv" not in str(torch.export.export(layer, (x,)).graph)
    assert products_made(lambda: layer.to("meta")(x.to("meta"))) == 0


@pytest.mark.parametrize("found, leads", [
    ({"cpu_name": "AMD EPYC", "avx512_f": True}, True),
    ({"cpu_name": "AMD EPYC", "avx512_f": False}, False),
    ({"cpu_name": "Intel(R) Xeon(R)", "avx512_f": True}, False),
    ({}, False),
])  # fmt: skip
def test_only_amd_with_avx512_is_known_to_gain(found, leads, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: found, raising=False)
    monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: True)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    assert products.onednn_leads.__wrapped__() is leads


def test_nothing_goes_the_other_way_where_plain_numbers_are_asked_for(every_size, monkeypatch):
    assert products_made(lambda: products.linear(torch.randn(64, 8), torch.randn(8, 8))) == 1
    monkeypatch.setattr(products, "PLAIN", True)
    assert products_made(lambda: products.linear(torch.randn(64, 8), torch.randn(8, 8))) == 0


LAYERS = {
    "linear": (products.Linear, nn.Linear, (6, 5), {}),
    "no bias": (products.Linear, nn.Linear, (6, 5), {"bias": False}),
    "pointwise": (products.Conv1d, nn.Conv1d, (6, 5, 1), {}),
    "strided": (products.Conv1d, nn.Conv1d, (6, 5, 1), {"stride": 2}),
    "padded": (products.Conv1d, nn.Conv1d, (6, 5, 1), {"padding": 1}),
    "grouped": (products.Conv1d, nn.Conv1d, (6, 6, 1), {"groups": 6}),
    "dilated": (products.Conv1d, nn.Conv1d, (6, 6, 3), {"groups": 6, "dilation": 2, "padding": 2}),
    "dilated, strided": (products.Conv1d, nn.Conv1d, (6, 6, 3), {"groups": 6, "dilation": 2, "stride": 2}),
    "dilated, circular": (
        products.Conv1d,
        nn.Conv1d,
        (6, 6, 3),
        {"groups": 6, "dilation": 2, "padding": 2, "padding_mode": "circular"},
    ),
    "dilated, more out": (products.Conv1d, nn.Conv1d, (6, 12, 3), {"groups": 6, "dilation": 2}),
    "dilated, same": (products.Conv1d, nn.Conv1d, (6, 6, 3), {"groups": 6, "dilation": 2, "padding": "same"}),
    "three taps": (products.Conv1d, nn.Conv1d, (6, 5, 3), {"padding": "same", "padding_mode": "circular"}),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers_have_the_weights_names_and_draws_of_pytorchs(name, every_size):
    ours, theirs, sizes, options = LAYERS[name]
    layers, draws = [], []
    for cls in (ours, theirs):
        torch.manual_seed(0)
        layers.append(cls(*sizes, **options))
        draws.append(torch.rand(1))
    states = [layer.state_dict() for layer in layers]
    assert repr(layers[0]) == repr(layers[1]) and draws[0] == draws[1] and list(states[0]) == list(states[1])
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    x = torch.randn(2, 8, 6) if theirs is nn.Linear else torch.randn(2, 6, 8)
    torch.testing.assert_close(layers[0](x), layers[1](x))
    torch.testing.assert_close(layers[0](x[0]), layers[1](x[0]))
    stream = io.BytesIO()
    torch.save(layers[0], stream)
    stream.seek(0)
    torch.testing.assert_close(torch.load(stream, weights_only=False)(x), layers[1](x))


WITHOUT = ("BSRNN, dilated", "PResUNet")


@pytest.mark.parametrize("name", [name for name in zoo.names() if name not in zoo.DEMUCS])
def test_networks_keep_their_losses_and_gradients(name, every_size, monkeypatch):
    model = zoo.build(name)
    with Calls() as calls:
        quick = [zoo.step(name, model, "cpu"), *zoo.gradients(model).values()]
    monkeypatch.setattr(products, "onednn_leads", lambda: False)
    with Calls() as others:
        plain = [zoo.step(name, model, "cpu"), *zoo.gradients(model).values()]
    assert others.count == 0 and (calls.count > 0) == (name not in WITHOUT)
    largest = max(float(gradient.abs().max()) for gradient in plain[1:])
    assert (quick[0] - plain[0]).abs() <= 1e-5 * plain[0].abs()
    for own, other in zip(quick[1:], plain[1:], strict=True):
        assert (own - other).abs().max() <= 1e-4 * largest
