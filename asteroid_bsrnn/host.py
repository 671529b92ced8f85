"""Every repair that Asteroid 0.7.0 needs on today's dependencies: what, why, and when it can go.

``repair()`` runs at ``import asteroid_bsrnn``, before anything imports asteroid. Each repair first looks for its
fault, does nothing on a healthy installation, is harmless when applied twice, and works after a failed
``import asteroid`` as well. Nothing of the host is copied here; nothing of the user's is changed.
"""

import functools
import importlib
import importlib.metadata
import importlib.util
import itertools
import os
import sys
import warnings
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    import torch

from .common.on_import import when_imported

REPAIRED: list[str] = []
"""Names of the repairs whose fault was found in this process."""


def repair() -> list[str]:
    """Apply every repair whose fault is present; those of speed not with ``ASTEROID_BSRNN_PLAIN`` in the environment.

    Returns:
        Names of the repairs that were applied.
    """
    repairs = [torchaudio_extension, pkg_resources_for_torchmetrics, safe_globals]
    repairs += [system_configuration, infer_window, silent_separate, waiting_permutations]
    if not os.environ.get("ASTEROID_BSRNN_PLAIN"):
        repairs += [slow_norm, slow_masks, slow_products]
    made = [step.__name__ for step in repairs if step()]
    REPAIRED.extend(name for name in made if name not in REPAIRED)
    return made


def _forget(package: str) -> None:
    """Drop a half-imported package, so that the next import starts afresh."""
    for name in [name for name in sys.modules if name == package or name.startswith(package + ".")]:
        del sys.modules[name]


def torchaudio_extension() -> bool:
    """Let torchaudio load without its compiled extension when that extension cannot be loaded.

    Fault: PyPI's torchaudio 2.11 is built for CUDA 13; beside a CPU build of torch its ``_torchaudio.abi3.so`` does
    not load, and ``import asteroid`` (through torch_stoi) dies with OSError. Everything that Asteroid uses of
    torchaudio is pure Python. Can go when torchaudio catches the error or Asteroid no longer imports it.
    """
    try:
        import torchaudio

        return False
    except ModuleNotFoundError:
        return False  # not installed: the host copes with that
    except (OSError, RuntimeError, ImportError) as error:
        reason = str(error)
    _forget("torchaudio")
    _forget("asteroid")
    sys.modules["torchaudio._extension"] = _stub_extension(reason)
    import torchaudio  # noqa: F401

    return True


def _stub_extension(reason: str) -> ModuleType:
    """A module with the two names that torchaudio reads from its extension."""

    def fail_if_no_align(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def unavailable(*args: Any, **kwargs: Any) -> NoReturn:
            raise RuntimeError(
                f"{function.__name__} needs torchaudio's compiled extension, which did not load: {reason}"
            )

        return unavailable

    stub = ModuleType("torchaudio._extension")
    vars(stub).update(_IS_TORCHAUDIO_EXT_AVAILABLE=False, fail_if_no_align=fail_if_no_align)
    return stub


def pkg_resources_for_torchmetrics() -> bool:
    """Import torchmetrics with a stand-in for pkg_resources where setuptools no longer has it.

    Fault: Asteroid pins torchmetrics <= 0.11.4, which imports pkg_resources; setuptools 82 removed it. Can go when
    Asteroid allows torchmetrics 1. Where pkg_resources is there, its note of deprecation, which no user can act
    on, is not shown.
    """
    warnings.filterwarnings("ignore", message="pkg_resources is deprecated", category=UserWarning)
    if "torchmetrics" in sys.modules or importlib.util.find_spec("pkg_resources") is not None:
        return False
    stub = ModuleType("pkg_resources")
    known = {"DistributionNotFound": importlib.metadata.PackageNotFoundError}
    vars(stub).update(known, get_distribution=importlib.metadata.distribution)
    sys.modules["pkg_resources"] = stub
    try:
        importlib.import_module("torchmetrics")
    except ModuleNotFoundError:
        _forget("torchmetrics")
        return False
    finally:
        del sys.modules["pkg_resources"]
    return True


def safe_globals() -> bool:
    """Let ``torch.load(weights_only=True)`` read the plain values in Asteroid's published files.

    Fault: since torch 2.6 it refuses ``TorchVersion`` (every file that ``serialize`` of the host wrote) and numpy
    float64 scalars (files with scores), so ``from_pretrained`` of any file fails. These types only hold a value;
    everything else stays refused. Can go when the host writes plain values and the old files are gone.
    """
    import numpy as np
    import torch

    known = torch.serialization.get_safe_globals()
    scalar = importlib.import_module(
        "numpy.core.multiarray" if np.__version__ < "2" else "numpy._core.multiarray"
    ).scalar
    wanted: list[Any] = [torch.torch_version.TorchVersion, np.dtype, type(np.dtype("float64"))]
    wanted += [(scalar, "numpy.core.multiarray.scalar"), (scalar, "numpy._core.multiarray.scalar")]
    missing = [entry for entry in wanted if entry not in known]
    torch.serialization.add_safe_globals(missing)
    return bool(missing)


def system_configuration() -> bool:
    """Let ``System`` take lists of names in its configuration, and a trainer without a logger.

    Faults: ``config_to_hparams`` makes a tensor of every list and fails on strings (``sources: [vocals, drums]``);
    ``on_validation_epoch_end`` fails under ``Trainer(logger=False)``. Lists of anything but numbers become one
    string; without a logger nothing is logged. Can go when the host does so. Applied when the host's engine is
    imported, because importing it takes two seconds that separation does not need.
    """
    return when_imported("asteroid.engine.system", _mend_system)


def _mend_system(module: ModuleType) -> None:
    system = module.System
    to_hparams, validation_end = system.config_to_hparams, system.on_validation_epoch_end

    def config_to_hparams(dic: dict[str, Any]) -> Any:
        return to_hparams(_without_name_lists(dic))

    @functools.wraps(validation_end)
    def on_validation_epoch_end(self: Any) -> Any:
        return validation_end(self) if self.trainer.logger is not None else None

    system.config_to_hparams = staticmethod(config_to_hparams)
    system.on_validation_epoch_end = on_validation_epoch_end


def _without_name_lists(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_name_lists(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)) and not all(isinstance(entry, (int, float)) for entry in value):
        return str(list(value))
    return value


def infer_window() -> bool:
    """Let ``asteroid-infer --ola-window`` work with its own default.

    Fault: the default window of the host's command line is "hanning", a name that scipy dropped. It is translated
    where ``LambdaOverlapAdd`` receives it. Can go when the host's default is "hann".
    """
    return when_imported("asteroid.dsp.overlap_add", _mend_window)


def _mend_window(module: ModuleType) -> None:
    original = module.LambdaOverlapAdd.__init__

    @functools.wraps(original)
    def __init__(
        self: Any,
        nnet: Any,
        n_src: int | None,
        window_size: int,
        hop_size: int | None = None,
        window: str = "hann",
        **kwargs: Any,
    ) -> None:
        original(self, nnet, n_src, window_size, hop_size, "hann" if window == "hanning" else window, **kwargs)

    module.LambdaOverlapAdd.__init__ = __init__


def silent_separate() -> bool:
    """Let ``separate`` of the host answer silence with silence.

    Fault: it scales the estimates by the level of the mixture over theirs, which is 0/0 = NaN for silence. Can go
    when the host guards that division.
    """
    return when_imported("asteroid.separate", _mend_separate)


def _mend_separate(module: ModuleType) -> None:
    original = module.torch_separate

    @functools.wraps(original)
    def torch_separate(model: Any, wav: Any, **kwargs: Any) -> Any:
        estimates = original(model, wav, **kwargs)
        return estimates if wav.any() else estimates.nan_to_num(nan=0.0)

    vars(module)["torch_separate"] = torch_separate


def waiting_permutations() -> bool:
    """Let ``PITLossWrapper`` find the best permutation without waiting for the GPU.

    Fault: with up to three sources it reads the index of the best permutation of every example back to the host, and
    copies the table of permutations to the device at every call. The same values and the same orders come out of
    operations on the device. Can go when the host indexes the table by the whole tensor and keeps it on the device.
    """
    return when_imported("asteroid.losses.pit_wrapper", _mend_permutations)


def _mend_permutations(module: ModuleType) -> None:
    module.PITLossWrapper.find_best_perm_factorial = staticmethod(_best_permutation)


def _best_permutation(
    pair_wise_losses: "torch.Tensor", perm_reduce: Callable | None = None, **kwargs: Any
) -> "tuple[torch.Tensor, torch.Tensor]":
    """Least loss (batch,) and for each target the estimate that belongs to it (batch, n_src), by trying all.

    Args:
        pair_wise_losses (torch.Tensor): (batch, n_src, n_src), estimates along axis 1.
        perm_reduce (callable, optional): (batch, n_src!, n_src) -> (batch, n_src!); None: the mean.
        **kwargs: for ``perm_reduce``.
    """
    import torch

    orders = list(itertools.permutations(range(pair_wise_losses.shape[-1])))
    rows = [[pair_wise_losses[:, est, target] for target, est in enumerate(order)] for order in orders]
    pairs = torch.stack([torch.stack(row, dim=-1) for row in rows], dim=1)
    least, best = (pairs.mean(-1) if perm_reduce is None else perm_reduce(pairs, **kwargs)).min(dim=1)
    places = zip(*orders)  # for each target, its estimate in every order
    chosen = [sum(est * (best == number) for number, est in enumerate(place)) for place in places]
    return least, torch.stack(chosen, dim=1)


def slow_norm() -> bool:
    """Let ``GlobLN`` normalise in one operation.

    Fault: eight passes over the features where PyTorch's group norm, of one group the same function, needs two: four to
    seven times the time of the layer, a third of a training step of Conv-TasNet. Names and weights stay. Can go when
    the host calls ``group_norm``.
    """
    return when_imported("asteroid.masknn.norms", _mend_norm)


def _mend_norm(module: ModuleType) -> None:
    module.GlobLN.forward = _layers().global_norm


def slow_masks() -> bool:
    """Let the masks of ``SuDORMRF`` be matrix products.

    Fault: they come from a convolution of one channel with filters as high as the features, for which processors have
    no quick way: four fifths of a training step. Names and weights stay. Can go when the host writes it as a product.
    """
    return when_imported("asteroid.masknn.convolutional", _mend_masks)


def _mend_masks(module: ModuleType) -> None:
    module.SuDORMRF.forward = _layers().masks_of_sudormrf


def slow_products() -> bool:
    """Let convolutions and linear layers of networks take the quickest of PyTorch's ways (:mod:`asteroid_bsrnn.common.products`).

    Fault: PyTorch's choice of library, half as fast as the other on AMD's processors, in 1x1 convolutions on one thread,
    and its dilated depthwise ones everywhere: two fifths of a training step of Conv-TasNet. Networks are built of
    subclasses with the same names and weights; only a network that is pickled whole needs this package to be read. Can
    go when PyTorch chooses better.
    """
    parts = ("_local", "convolutional", "recurrent")
    return all(when_imported(f"asteroid.masknn.{name}", _mend_products) for name in parts)


def _mend_products(module: Any) -> None:
    products = importlib.import_module(".common.products", __package__)
    quick = {name: getattr(products, name) for name in ("Conv1d", "Linear")}
    module.nn = SimpleNamespace(**{**vars(module.nn), **quick})


def _layers() -> ModuleType:
    """What takes the place of slow layers; imported with torch, not before."""
    return importlib.import_module(".common.asteroid_layers", __package__)
