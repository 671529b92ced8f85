"""Networks as ONNX files, for runtimes without PyTorch; :mod:`.onnx_runner` shows how such a file is used.

A model that is nothing but an STFT, a network and the inverse goes without its STFT: real and imaginary parts in and out.
Any other goes as a whole from waveform to waveforms, whatever transforms are inside. Where the graph holds for every
length, its last axis but that of real and imaginary parts is dynamic; elsewhere it is made for one length.

A tensor's suffix names its axes: B batch, S sources, C channels, F bins, T frames, 2 real and imaginary part, L samples.
"""

import importlib
import json
import logging
import operator
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..common.errors import UserError, first_line
from ..common.files import atomic_path
from ..common.version import __version__
from ..models.base import as_model, run_batch
from .onnx_recurrent import translations
from .real_arithmetic import Pair, RealArithmetic

OPSET = 20
TOLERANCE = 1e-4
"""Largest difference between PyTorch's output and the file's, over the largest output, with which a file is written."""
KEY = "asteroid_bsrnn"
"""Entry of the file's metadata that holds what :func:`description` says, as JSON."""
_TRIED = 2.0  # s of the noise that a graph of any length is recorded and compared with
_DEFAULT = 4.0  # s of a graph of one length, where neither the model nor the caller names one


class SpectrumNetwork(torch.nn.Module):
    """The network of a model with a :meth:`~asteroid_bsrnn.models.base.SeparationModel.spectral_core`.

    Shape:
        (batch, channels, bins, frames, 2) -> (batch, n_src, channels, bins, frames, 2)
    """

    layout, axis, names = "spectrum", 3, ("spectrum", "spectra")

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, spec_BCFT2: torch.Tensor) -> torch.Tensor:
        with as_model(self.model).recorded(), RealArithmetic():
            est_BSCFT = as_model(self.model).spectral_core()[1](Pair(*spec_BCFT2.unbind(-1)))
            return torch.stack([est_BSCFT.real, est_BSCFT.imag], dim=-1)

    def example(self, n_samples: int) -> torch.Tensor:
        """The spectrum of noise."""
        wav_BCL = _noise(self.model, n_samples)
        return torch.view_as_real(as_model(self.model).spectral_core()[0](wav_BCL)).contiguous()

    def expected(self, spec_BCFT2: torch.Tensor) -> torch.Tensor:
        """What the model itself gives."""
        est_BSCFT = as_model(self.model).spectral_core()[1](torch.view_as_complex(spec_BCFT2))
        return torch.view_as_real(est_BSCFT.resolve_conj().contiguous())


class WaveformNetwork(torch.nn.Module):
    """Any model. Shape: (batch, channels, time) -> (batch, n_src, channels, time)."""

    layout, axis, names = "waveform", 2, ("mixture", "estimates")

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, wav_BCL: torch.Tensor) -> torch.Tensor:
        with as_model(self.model).recorded(), RealArithmetic():
            return run_batch(self.model, wav_BCL)

    def example(self, n_samples: int) -> torch.Tensor:
        """Noise."""
        return _noise(self.model, n_samples)

    def expected(self, wav_BCL: torch.Tensor) -> torch.Tensor:
        """What the model itself gives."""
        return run_batch(self.model, wav_BCL)


@dataclass(frozen=True)
class Exported:
    """What was written.

    Args:
        layout: what the graph takes, "spectrum" or "waveform".
        length: samples that it is made for; None: any.
        error: largest difference from PyTorch's output, over the largest output.
    """

    layout: str
    length: int | None
    error: float


def export_onnx(model: Any, path: str | Path, seconds: float | None = None) -> Exported:
    """Write a model as an ONNX file, compared with PyTorch on noise before it appears.

    Args:
        model: any separation model, on the CPU.
        path: of the file, which ends in ``.onnx``.
        seconds: a graph for recordings of this length alone; None: for any length where that can be, else for the
            model's own segment.

    Raises:
        UserError: if the packages of the extra ``onnx`` are missing, or the model has no form in ONNX, with the reason.
    """
    _check_packages()
    if not str(path).endswith(".onnx"):
        raise UserError(f"{path}: the name of an ONNX file ends in .onnx")
    rate, own = model.sample_rate, as_model(model).segment
    fixed = round(rate * seconds) if seconds else own or round(rate * _DEFAULT)
    lengths = [fixed] if seconds else [None, fixed]
    for length in lengths:
        try:
            return _write(model.eval(), path, length)
        except (RuntimeError, ValueError, TypeError, AssertionError) as error:
            reason = reason_of(error)
    raise UserError(f"{type(model).__name__} cannot be exported to ONNX: {reason}")


def _write(model: Any, path: str | Path, length: int | None) -> Exported:
    spectral = as_model(model).spectral_core() is not None
    network = (SpectrumNetwork if spectral else WaveformNetwork)(model)
    n_samples = length or round(_TRIED * model.sample_rate)
    with torch.no_grad(), atomic_path(path) as partial:
        program = recorded_program(network, n_samples, dynamic=length is None)
        if any(_sums_in_place(node) for node in program.model.graph):
            raise RuntimeError("it adds several values to one place, of which onnxruntime's threads lose some")
        program.model.metadata_props[KEY] = json.dumps(description(model, network.layout, length))
        program.save(partial)
        tried = [n_samples] if length else [n_samples, n_samples * 4 // 3 + 1]
        error = max(difference(network, partial, samples) for samples in tried)
        if not error <= TOLERANCE:
            raise RuntimeError("the graph gives another output than PyTorch")
    return Exported(network.layout, length, error)


def recorded_program(network: SpectrumNetwork | WaveformNetwork, n_samples: int, dynamic: bool) -> Any:
    """The ONNX program of a network, its input and output named."""
    given = network.example(n_samples)
    shapes = ({network.axis: torch.export.Dim.DYNAMIC},) if dynamic else None
    with _quiet():
        exported = torch.export.export(network, (given,), dynamic_shapes=shapes, strict=False)
        return torch.onnx.export(
            exported,
            (given,),
            dynamo=True,
            optimize=not dynamic,  # it freezes shapes; runtimes fuse operations themselves
            verbose=False,
            opset_version=OPSET,
            input_names=network.names[:1],
            output_names=network.names[1:],
            custom_translation_table={operator.floordiv: _floor_division, **translations()},
        )


def _sums_in_place(node: Any) -> bool:
    reduction = node.attributes.get("reduction")
    return node.op_type.startswith("Scatter") and reduction is not None and reduction.value != "none"


def difference(network: SpectrumNetwork | WaveformNetwork, path: str | Path, n_samples: int) -> float:
    """Largest difference between a file's output and PyTorch's for noise, over the largest output."""
    import onnxruntime

    given = network.example(n_samples)
    expected = network.expected(given)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what fails here is said in our words
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        found = torch.from_numpy(session.run(None, {network.names[0]: given.numpy()})[0])
    except Exception as error:  # its errors have no class of their own
        raise RuntimeError("onnxruntime cannot run the graph") from error
    if found.shape != expected.shape:
        raise RuntimeError(f"the graph gives {tuple(found.shape)} in the place of {tuple(expected.shape)}")
    return float((found - expected).abs().max() / expected.abs().max())


def description(model: Any, layout: str, length: int | None) -> dict[str, Any]:
    """What whoever runs the file must know; :class:`~.onnx_runner.OnnxModel` reads it."""
    view = as_model(model)
    core = view.spectral_core()
    sources = view.sources
    return {
        "model": type(model).__name__,
        "sources": list(sources) if sources else None,
        "sample_rate": int(model.sample_rate),
        "channels": _channels(model),
        "layout": layout,
        "length": length,
        "stft": core and {name: getattr(core[0], name) for name in ("n_fft", "n_hop", "win_length", "normalized")},
        "opset": OPSET,
        "version": __version__,
    }


def reason_of(error: BaseException) -> str:
    """Why a model could not be recorded, in one clause."""
    chain = [error]
    while (deeper := chain[-1].__cause__ or chain[-1].__context__) is not None:
        chain.append(deeper)
    if any("data-dependent" in str(link) or "DataDependent" in type(link).__name__ for link in chain):
        return "what it computes depends on the values that it meets, which a graph cannot"
    return first_line(error)


def _channels(model: torch.nn.Module) -> int:
    return as_model(model).channels or getattr(model, "in_channels", None) or 1


def _noise(model: torch.nn.Module, n_samples: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return 0.1 * torch.randn(1, _channels(model), n_samples, generator=generator)


def _floor_division(dividend: Any, divisor: Any) -> Any:
    """``//`` of whole numbers; ONNX's own division cuts towards zero, and so would ``-(-length // hop)``."""
    opset = importlib.import_module("onnxscript").opset20
    return opset.Div(opset.Sub(dividend, opset.Mod(dividend, divisor)), divisor)


def _check_packages() -> None:
    try:
        for name in ("onnx", "onnxruntime", "onnxscript"):
            importlib.import_module(name)
    except ImportError as error:
        raise UserError(f"export needs another package ({error}): pip install 'asteroid_bsrnn[onnx]'") from None


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what PyTorch prints about its own inside while it records."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with (
            warnings.catch_warnings(),
            open(os.devnull, "w") as nowhere,
            redirect_stdout(nowhere),
            redirect_stderr(nowhere),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
