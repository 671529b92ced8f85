"""Writes the table of exports into docs/export.md, between its two markers: ``python tools/onnx_table.py``.

Every registered model is built at a small size and exported; a row says what came of it. Five minutes, two of them SepReformer's.
"""

import sys
import tempfile
from pathlib import Path

import torch

from asteroid_bsrnn import models
from asteroid_bsrnn.common.errors import UserError
from asteroid_bsrnn.models.family import demo_arguments
from asteroid_bsrnn.models.names import MODELS
from asteroid_bsrnn.publishing.onnx_export import export_onnx

PAGE = Path(__file__).resolve().parents[1] / "docs" / "export.md"
BEGIN, END = "<!-- exports: written by python tools/onnx_table.py -->", "<!-- exports end -->"
HEAD = "| model | the graph takes | of length |\n|---|---|---|"
_PATHS = {"n_blocks": 2, "n_filters": 16, "bn_chan": 8, "hid_size": 8}
_BANDS = {"bands": [[2, 2000], [1, 4000]], "feature_dim": 8, "n_repeats": 1, "n_fft": 512, "n_hop": 128}
SMALL = {  # where a family has no demonstration size, or a smaller one shows the same
    "BSRNN": _BANDS,
    "CausalBSRNN": _BANDS,
    "ADPRNNTasNet": {**_PATHS, "chunk_size": 20, "hop_size": 10, "n_scales": 2},
    "SDPRNNTasNet": {**_PATHS, "chunk_size": 20, "hop_size": 10, "n_scales": 2},
    "Sandglasset": {**_PATHS, "chunk_size": 16, "hop_size": 8, "n_heads": 2},
    "ASandglasset": {**_PATHS, "chunk_size": 16, "hop_size": 8, "n_scales": 2, "n_heads": 2},
    "SepReformer": {"n_filters": 16, "bn_chan": 16, "n_stages": 1, "kernel_size": 32, "stride": 16},
    "UPITBLSTM": {"hid_size": 8, "n_layers": 1},
    "DPCL": {"hid_size": 8, "n_layers": 1, "embedding_dim": 4},
    "Chimera": {"hid_size": 8, "n_layers": 1, "embedding_dim": 4},
    "Mixer": {},
}
OURS = [name for name in MODELS.names() if MODELS.get(name).__module__.startswith("asteroid_bsrnn.")]


def small(name: str) -> torch.nn.Module:
    """A model of this class, as small as it goes, always the same."""
    torch.manual_seed(0)
    if name in ("StemSeparator", "SeparationSystem"):
        members = [models.BSRNN(sources=[source], **_BANDS) for source in ("low", "high")]
        return MODELS.get(name)(members).eval()
    return MODELS.get(name)(**(SMALL.get(name) or demo_arguments(name))).eval()


def row(name: str) -> str:
    """The row of one model: what its graph takes, or why there is none."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            made = export_onnx(small(name), Path(folder) / "model.onnx")
        except UserError as error:
            return f"| {name} | not exportable: {str(error).partition(': ')[2]} | |"
    return f"| {name} | {made.layout} | {'any' if made.length is None else 'one'} |"


def written(page: str) -> str:
    """The page with the table of today."""
    before, _, rest = page.partition(BEGIN)
    table = "\n".join([HEAD, *(row(name) for name in OURS)])
    return f"{before}{BEGIN}\n{table}\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    sys.exit(0)
