"""Every repair that Asteroid 0.7.0 needs on today's dependencies: what, why, and when it can go.

``repair()`` runs at ``import asteroid_bsrnn``, before anything imports asteroid. Each repair first looks for its
fault, does nothing on a healthy installation, is harmless when applied twice, and works after a failed
``import asteroid`` as well. Nothing of the host is copied here; nothing of the user's is changed.
"""
import functools
import importlib
import importlib.metadata
import importlib.util
import sys
import types

_HOST_FAILED = "asteroid"


def repair():
    """Apply every repair whose fault is present.

    Returns:
        list of str: names of the repairs that were applied.
    """
    repairs = (torchaudio_extension, pkg_resources_for_torchmetrics, safe_globals, string_lists_in_hparams, infer_window)
    return [step.__name__ for step in repairs if step()]


def _forget(package):
    """Drop a half-imported package, so that the next import starts afresh."""
    for name in [name for name in sys.modules if name == package or name.startswith(package + ".")]:
        del sys.modules[name]


def torchaudio_extension():
    """Let torchaudio load without its compiled extension when that extension cannot be loaded.

    Fault: PyPI's torchaudio 2.11 is built for CUDA 13; beside a CPU build of torch its ``_torchaudio.abi3.so`` does
    not load, and ``import asteroid`` (through torch_stoi) dies with OSError. Everything that Asteroid uses of
    torchaudio is pure Python. Can go when torchaudio catches the error or Asteroid no longer imports it.
    """
    try:
        import torchaudio  # noqa: F401

        return False
    except ModuleNotFoundError:
        return False  # not installed: the host copes with that
    except (OSError, RuntimeError, ImportError) as error:
        reason = str(error)
    _forget("torchaudio")
    _forget(_HOST_FAILED)
    sys.modules["torchaudio._extension"] = _stub_extension(reason)
    import torchaudio  # noqa: F401, F811

    return True


def _stub_extension(reason):
    """A module with the two names that torchaudio reads from its extension."""

    def fail_if_no_align(function):
        @functools.wraps(function)
        def unavailable(*args, **kwargs):
            raise RuntimeError(f"{function.__name__} needs torchaudio's compiled extension, which did not load: {reason}")

        return unavailable

    stub = types.ModuleType("torchaudio._extension")
    stub._IS_TORCHAUDIO_EXT_AVAILABLE, stub.fail_if_no_align = False, fail_if_no_align
    return stub


def pkg_resources_for_torchmetrics():
    """Import torchmetrics with a stand-in for pkg_resources where setuptools no longer has it.

    Fault: Asteroid pins torchmetrics <= 0.11.4, which imports pkg_resources; setuptools 82 removed it. Can go when
    Asteroid allows torchmetrics 1.
    """
    if "torchmetrics" in sys.modules or importlib.util.find_spec("pkg_resources") is not None:
        return False
    stub = types.ModuleType("pkg_resources")
    stub.DistributionNotFound = importlib.metadata.PackageNotFoundError
    stub.get_distribution = importlib.metadata.distribution
    sys.modules["pkg_resources"] = stub
    try:
        importlib.import_module("torchmetrics")
    except ModuleNotFoundError:
        _forget("torchmetrics")
        return False
    finally:
        del sys.modules["pkg_resources"]
    return True


def safe_globals():
    """Let ``torch.load(weights_only=True)`` read the plain values in Asteroid's published files.

    Fault: since torch 2.6 it refuses ``TorchVersion`` (every file that ``serialize`` of the host wrote) and numpy
    float64 scalars (files with scores), so ``from_pretrained`` of any file fails. These types only hold a value;
    everything else stays refused. Can go when the host writes plain values and the old files are gone.
    """
    import numpy as np
    import torch

    known = torch.serialization.get_safe_globals()
    scalar = np.core.multiarray.scalar if np.__version__ < "2" else np._core.multiarray.scalar
    wanted = [torch.torch_version.TorchVersion, np.dtype, type(np.dtype("float64"))]
    wanted += [(scalar, "numpy.core.multiarray.scalar"), (scalar, "numpy._core.multiarray.scalar")]
    missing = [entry for entry in wanted if entry not in known]
    torch.serialization.add_safe_globals(missing)
    return bool(missing)


def string_lists_in_hparams():
    """Let ``System`` take a configuration with lists of names.

    Fault: ``config_to_hparams`` of the host makes a tensor of every list and fails on strings (``sources: [vocals,
    drums]``). Lists of anything but numbers become one string. Can go when the host does so.
    """
    from asteroid.engine.system import System

    original = System.config_to_hparams
    if getattr(original, "mends_lists", False) or not _fails(original, {"section": {"names": ["a", "b"]}}):
        return False

    def config_to_hparams(dic):
        return original(_without_name_lists(dic))

    config_to_hparams.mends_lists = True
    System.config_to_hparams = staticmethod(config_to_hparams)
    return True


def _without_name_lists(value):
    if isinstance(value, dict):
        return {key: _without_name_lists(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)) and not all(isinstance(entry, (int, float)) for entry in value):
        return str(list(value))
    return value


def _fails(function, *args):
    try:
        function(*args)
    except (ValueError, TypeError, KeyError):
        return True
    return False


def infer_window():
    """Let ``asteroid-infer --ola-window`` work with its own default.

    Fault: the default window of the host's command line is "hanning", a name that scipy dropped. The name is
    translated where ``LambdaOverlapAdd`` asks scipy for it. Can go when the host's default is "hann".
    """
    import asteroid.dsp.overlap_add as overlap_add

    original = overlap_add.LambdaOverlapAdd.__init__
    if getattr(original, "mends_window", False) or not _fails(_scipy_window, "hanning"):
        return False

    @functools.wraps(original)
    def __init__(self, nnet, n_src, window_size, hop_size=None, window="hann", **kwargs):
        original(self, nnet, n_src, window_size, hop_size, "hann" if window == "hanning" else window, **kwargs)

    __init__.mends_window = True
    overlap_add.LambdaOverlapAdd.__init__ = __init__
    return True


def _scipy_window(name):
    from scipy.signal import get_window

    return get_window(name, 8)
