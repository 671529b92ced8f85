"""What a device can compute in is tried, not guessed; nothing is changed by the trial."""

import pytest
import torch

from asteroid_bsrnn.common import precision
from asteroid_bsrnn.common.errors import UserError
from asteroid_bsrnn.common.precision import choose_precision, supports
from asteroid_bsrnn.training.autocast import Precision


@pytest.mark.processor
@pytest.mark.parametrize("name", ["bf16", "fp16"])
def test_the_answer_is_that_of_the_layers(name):
    """A longer recurrent layer runs where ``supports`` says so, near its result in fp32, and is refused elsewhere."""
    torch.manual_seed(0)
    layer, x = torch.nn.LSTM(40, 30, bidirectional=True), torch.randn(50, 3, 40)
    if not supports(name, "cpu"):
        with pytest.raises(UserError, match=f"^training.precision {name} cannot be had on device 'cpu' here: use fp32"):
            Precision(name, "cpu")
        with pytest.raises(RuntimeError), torch.autocast("cpu", precision.PRECISIONS[name]):
            layer(x)
        return
    with Precision(name, "cpu").autocast():
        rough = layer(x)[0]
    assert rough.dtype == precision.PRECISIONS[name]
    assert (rough.float() - layer(x)[0]).norm() < 0.02 * layer(x)[0].norm()


@pytest.mark.processor
def test_auto_is_something_that_is_there():
    assert supports(choose_precision("auto", "cpu"), "cpu") and supports("fp32", "cpu")


def test_auto_wants_it_there_and_fast(monkeypatch):
    for there, fast, chosen in ((True, True, "bf16"), (True, False, "fp32"), (False, True, "fp32")):
        monkeypatch.setattr(precision, "supports", lambda name, device: there)
        monkeypatch.setattr(precision, "_is_faster", lambda name, device: fast)
        assert choose_precision("auto", "cpu") == chosen


def test_what_is_there_instead_is_said(monkeypatch):
    monkeypatch.setattr(precision, "supports", lambda name, device: name != "fp16")
    with pytest.raises(UserError, match="^precision fp16 cannot be had on device 'cuda:1' here: use fp32 or bf16$"):
        choose_precision("fp16", torch.device("cuda:1"))


def test_a_layer_that_stays_in_fp32_does_not_count(monkeypatch):
    """Autocast leaves a type that it does not know at fp32, with a warning only."""
    monkeypatch.setitem(precision.PRECISIONS, "fp64", torch.float64)
    assert not supports("fp64", "cpu")


def test_the_trial_draws_no_random_numbers():
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    with torch.inference_mode():
        supports.__wrapped__("bf16", "cpu")
        precision._is_faster.__wrapped__("bf16", "cpu")
    assert torch.equal(torch.rand(2), expected)
