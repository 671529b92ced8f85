"""Each repair: the fault is there without it, gone with it; healthy installations and second calls are left alone."""

import importlib
import subprocess
import sys
from itertools import permutations

import pytest
import torch

import asteroid_bsrnn
from asteroid_bsrnn import host
from asteroid_bsrnn.common.on_import import when_imported


def run(code):
    """Run ``code`` in a fresh interpreter."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


@pytest.mark.skipif(torch.version.cuda is not None, reason="a CUDA build of torch may load PyPI's torchaudio")
def test_torchaudio_repair_is_needed_and_recovers_a_failed_import():
    broken = run("import asteroid")
    assert broken.returncode != 0, "asteroid imports by itself: torchaudio_extension can go"
    done = run(
        "try:\n    import asteroid\nexcept OSError:\n    pass\n"
        "import asteroid_bsrnn, asteroid, torchaudio, torch, asteroid.engine\n"
        "asteroid_bsrnn.host.repair()\n"
        "assert torchaudio.transforms.Resample(44100, 16000)(torch.zeros(1, 4410)).shape == (1, 1600)\n"
        "try:\n    torchaudio.functional.forced_align(torch.zeros(1, 4, 3), torch.ones(1, 2, dtype=torch.int32))\n"
        "except RuntimeError as error:\n    assert 'did not load' in str(error)\nelse:\n    raise SystemExit('no error')"
    )
    assert done.returncode == 0, done.stderr


def test_a_missing_torchaudio_is_left_to_the_host():
    done = run(
        "import sys; sys.modules['torchaudio'] = None\n"
        "from asteroid_bsrnn import host\nassert not host.torchaudio_extension()\nimport asteroid"
    )
    assert done.returncode == 0, done.stderr


def test_pkg_resources_repair_is_needed_without_pkg_resources():
    hide = (
        "import sys, importlib.abc\n"
        "class Hide(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'pkg_resources': raise ModuleNotFoundError(name=name)\n"
        "import importlib.util as u; find = u.find_spec\n"
        "u.find_spec = lambda n, p=None: None if n == 'pkg_resources' else find(n, p)\n"
        "sys.meta_path.insert(0, Hide())\n"
    )
    assert run(hide + "import torchmetrics").returncode != 0, "torchmetrics imports by itself: the repair can go"
    done = run(hide + "import asteroid_bsrnn, sys, asteroid.engine; assert 'pkg_resources' not in sys.modules")
    assert done.returncode == 0, done.stderr


def test_safe_globals_repair_is_needed_and_admits_values_only(tmp_path):
    import numpy as np

    path = tmp_path / "old.pth"
    torch.save({"version": torch.__version__, "score": np.float64(1.5)}, path)
    bare = run(f"import torch; torch.load({str(path)!r}, weights_only=True)")
    assert "TorchVersion" in bare.stderr, "torch reads the host's files by itself: safe_globals can go"
    assert torch.load(path, weights_only=True)["score"] == 1.5
    torch.save({"hostile": print}, path)
    with pytest.raises(Exception, match="print"):
        torch.load(path, weights_only=True)


def test_numpy_1_module_names_load_as_well(tmp_path):
    import zipfile

    import numpy as np

    new, old = tmp_path / "new.pth", tmp_path / "old.pth"
    torch.save({"score": np.float64(2.5)}, new)
    with zipfile.ZipFile(new) as source, zipfile.ZipFile(old, "w") as target:
        for item in source.infolist():
            content = source.read(item)
            target.writestr(item.filename, content.replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n"))
    assert old.read_bytes() != new.read_bytes()
    assert torch.load(old, weights_only=True)["score"] == 2.5


def test_system_repair_is_needed_and_lists_of_names_pass():
    bare = run(
        "import sys, types; sys.modules['torch_stoi'] = None\n"
        "from asteroid.engine.system import System; System.config_to_hparams({'data': {'sources': ['a', 'b']}})"
    )
    assert "too many dimensions" in bare.stderr, "the host copes with lists of names: system_configuration can go"
    from asteroid.engine.system import System

    conf = {"data": {"sources": ["vocals", "drums"], "sizes": [1, 2], "none": None}}
    assert System.config_to_hparams(conf)["data_sources"] == "['vocals', 'drums']"
    assert conf["data"]["sources"] == ["vocals", "drums"]


def test_a_trainer_without_logger_validates():
    import pytorch_lightning as pl
    from asteroid.engine.system import System
    from torch.utils.data import DataLoader

    net = torch.nn.Linear(2, 2)
    loader = DataLoader([(torch.ones(2), torch.ones(2))] * 2, batch_size=1)
    system = System(net, torch.optim.SGD(net.parameters(), 0.1), torch.nn.functional.mse_loss, loader, loader)
    trainer = pl.Trainer(
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        accelerator="cpu",
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(system)
    assert trainer.current_epoch == 1


def test_window_repair_is_needed_and_reconstructs():
    from asteroid.dsp.overlap_add import LambdaOverlapAdd
    from scipy.signal import get_window

    with pytest.raises(ValueError):
        get_window("hanning", 8)  # scipy knows the old name again: infer_window can go
    ola = LambdaOverlapAdd(lambda x: x.unsqueeze(1), 1, 64, 32, "hanning", reorder_chunks=False)
    wav = torch.randn(1, 1, 640)
    assert torch.allclose(ola(wav)[..., 64:-64], wav[..., 64:-64], atol=1e-5)


def test_silence_through_the_hosts_separate():
    from asteroid.models import ConvTasNet

    model = ConvTasNet(2, n_filters=16, bn_chan=8, hid_chan=8, skip_chan=8, n_blocks=1, n_repeats=1).eval()
    silent = model.separate(torch.zeros(1, 1, 800))
    assert torch.isfinite(silent).all() and not silent.any()
    loud = torch.full((1, 1, 800), float("nan"))
    assert model.separate(loud).isnan().any(), "NaN in a recording must not be hidden"


def test_a_module_that_the_host_lacks_is_reported_as_missing():
    when_imported("asteroid_bsrnn.no_such_module", lambda module: None)
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        importlib.import_module("asteroid_bsrnn.no_such_module")
    assert not any(getattr(finder, "name", "") == "asteroid_bsrnn.no_such_module" for finder in sys.meta_path)


def test_a_module_is_patched_once_however_often_it_is_asked_for(tmp_path, monkeypatch):
    (tmp_path / "patched_once.py").write_text("patches = []")
    monkeypatch.syspath_prepend(tmp_path)

    def patch(module):
        module.patches.append("patched")

    for _ in range(2):
        when_imported("patched_once", patch)
    assert sum(getattr(finder, "name", "") == "patched_once" for finder in sys.meta_path) == 1
    module = importlib.import_module("patched_once")
    when_imported("patched_once", patch)
    assert module.patches == ["patched"]
    when_imported("patched_once", lambda module: module.patches.append("another"))
    assert module.patches == ["patched", "another"]
    monkeypatch.delitem(sys.modules, "patched_once")


def test_repairs_report_what_they_did():
    assert asteroid_bsrnn.host.repair() == [
        "system_configuration",
        "infer_window",
        "silent_separate",
        "waiting_permutations",
        "slow_norm",
        "slow_masks",
        "slow_products",
    ]
    assert not host.torchaudio_extension() and not host.safe_globals() and not host.pkg_resources_for_torchmetrics()


@pytest.mark.parametrize("n_src", [1, 2, 3])
def test_best_permutation_is_the_least_of_all(n_src):
    from asteroid.losses import PITLossWrapper

    losses = torch.randn(40, n_src, n_src)
    least, order = PITLossWrapper.find_best_perm(losses)
    every = torch.stack([losses[:, list(perm), range(n_src)].mean(-1) for perm in permutations(range(n_src))], 1)
    torch.testing.assert_close(least, every.amin(1))
    chosen = losses.gather(1, order[:, None]).squeeze(1).mean(-1)  # the estimate that each target was given
    torch.testing.assert_close(chosen, least)
    worst, _ = PITLossWrapper.find_best_perm(losses, perm_reduce=lambda pairs: pairs.amax(-1))
    assert (worst >= least - 1e-6).all()


def outputs_and_gradients(function, inputs, parameters):
    """Output, and gradients of inputs and parameters."""
    out = function(*inputs)
    weighted = (out * torch.linspace(-1, 1, out.numel()).view_as(out)).sum()
    return [out, *torch.autograd.grad(weighted, [*inputs, *parameters])]


def assert_same(ours, theirs):
    """To 1e-6 of the largest."""
    for got, expected in zip(ours, theirs, strict=True):
        assert (got - expected).abs().max() <= 1e-6 * expected.abs().max().clamp_min(1)


@pytest.mark.parametrize("shape", [(2, 5, 40), (1, 5, 3, 7)])
def test_the_norm_is_still_the_hosts(shape):
    from asteroid.masknn.norms import GlobLN, z_norm

    torch.manual_seed(0)
    layer, x = GlobLN(shape[1]), torch.randn(shape, requires_grad=True)
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter)

    def theirs(x):
        return layer.apply_gain_and_bias(z_norm(x, list(range(1, x.ndim))))

    assert GlobLN.forward.__module__ == "asteroid_bsrnn.common.asteroid_layers"
    parameters = list(layer.parameters())
    assert_same(outputs_and_gradients(layer, [x], parameters), outputs_and_gradients(theirs, [x], parameters))


@pytest.mark.parametrize("in_chan", [6, 7, 16])
@pytest.mark.parametrize("bias", [True, False])
def test_the_masks_of_sudormrf_are_still_the_hosts(in_chan, bias):
    from asteroid.masknn.convolutional import SuDORMRF

    torch.manual_seed(0)
    net = SuDORMRF(in_chan, n_src=2, bn_chan=4, num_blocks=1, upsampling_depth=2)
    if not bias:
        net.m.bias = None

    def theirs(x):
        return net.output_act(net.m(net.reshape_before_masks(net.sm(net.l1(net.ln(x)))).unsqueeze(1)))

    x, parameters = torch.randn(2, in_chan, 8, requires_grad=True), list(net.parameters())
    assert_same(outputs_and_gradients(net, [x], parameters), outputs_and_gradients(theirs, [x], parameters))


def test_slow_layers_are_mended_by_import_alone_and_names_stay():
    done = run(
        "import asteroid_bsrnn\nfrom asteroid.models import SuDORMRFNet\nnet = SuDORMRFNet(2, num_blocks=1)\n"
        "assert net.masker.m.weight.shape == (2, 1, 513, 1) and 'masker.m.weight' in net.state_dict()\n"
        "assert type(net.masker).forward.__name__ == 'masks_of_sudormrf'"
    )
    assert done.returncode == 0, done.stderr


def test_networks_of_the_host_stay_as_they_are_where_that_is_asked_for():
    """Bit for bit: what a process gives that has never heard of this package."""
    step = (
        "import torch\nfrom asteroid.models import ConvTasNet, SuDORMRFNet\ntorch.manual_seed(0)\n"
        "nets = ConvTasNet(2, n_filters=64, n_blocks=2, n_repeats=1), SuDORMRFNet(2, num_blocks=1)\n"
        "for net in nets:\n    out = net(torch.randn(1, 4000))\n    out.square().sum().backward()\n"
        "    print(out.double().sum().item().hex(), [p.grad.double().sum().item().hex() for p in net.parameters() if p.grad is not None])\n"
    )
    ours = run(
        "import os\nos.environ['ASTEROID_BSRNN_PLAIN'] = '1'\nimport asteroid_bsrnn\n"
        "from asteroid_bsrnn.common import products\nassert products.PLAIN\n" + step
    )
    theirs = run("import sys\nsys.modules['torchaudio'] = None\n" + step)
    assert ours.returncode == theirs.returncode == 0, ours.stderr + theirs.stderr
    assert ours.stdout == theirs.stdout != ""


def test_networks_of_the_host_are_built_of_quick_layers_with_the_same_names_and_weights():
    done = run(
        "import asteroid_bsrnn, torch\nfrom torch import nn\nfrom asteroid.models import ConvTasNet, DPRNNTasNet, SuDORMRFNet\n"
        "from asteroid_bsrnn.common.products import Conv1d, Linear\n"
        "small = ConvTasNet(2, n_filters=8, bn_chan=4, hid_chan=4, skip_chan=4, n_blocks=1, n_repeats=1)\n"
        "for net in (small, DPRNNTasNet(2), SuDORMRFNet(2, num_blocks=1)):\n"
        "    for module in net.masker.modules():\n"
        "        assert type(module) not in (nn.Conv1d, nn.Linear), type(net)\n"
        "assert 'masker.TCN.0.shared_block.0.weight' in small.state_dict()\n"
        "assert type(small.masker.TCN[0].shared_block[0]) is Conv1d and nn.Conv1d is not Conv1d\n"
    )
    assert done.returncode == 0, done.stderr
