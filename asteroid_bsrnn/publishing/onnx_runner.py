"""What an exported file needs to separate recordings: onnxruntime, an STFT, and this package's segments.

python -m asteroid_bsrnn.publishing.onnx_runner MODEL.onnx SONG -o DIR
"""

import argparse
import json
import os
from typing import Any

import torch

from ..common.errors import UserError
from ..dsp.stft import STFT
from ..separation.recordings import Separator, separate_file
from ..separation.segments import apply_segments
from .onnx_export import KEY


class OnnxModel(torch.nn.Module):
    """A file of ``asteroid-bsrnn export`` as a model; ``Separator(OnnxModel(path))`` takes any recording.

    Args:
        path: of the file.
        threads: that onnxruntime uses; None is its own choice.
    """

    def __init__(self, path: str | os.PathLike, threads: int | None = None) -> None:
        super().__init__()
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or 0
        self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        known = self.session.get_modelmeta().custom_metadata_map
        if KEY not in known:
            raise UserError(f"{path} is no file of 'asteroid-bsrnn export': it does not say what goes in and out")
        self.about = json.loads(known[KEY])
        self.sources = tuple(self.about["sources"]) if self.about["sources"] else None
        self.sample_rate, self.in_channels = self.about["sample_rate"], self.about["channels"]
        self.stft = STFT(**self.about["stft"]) if self.about["stft"] else None

    @property
    def inference(self) -> dict[str, Any]:
        """Keywords of segments that fit: the file's own length, where it is made for one."""
        return {"segment": self.about["length"] / self.sample_rate} if self.about["length"] else {}

    def forward(self, wav_BCL: torch.Tensor) -> torch.Tensor:
        """Separate; what is longer than the file's own length goes in segments.

        Shape:
            (batch, channels, time) -> (batch, n_src, channels, time)
        """
        length, fixed = wav_BCL.shape[-1], self.about["length"]
        if fixed and length > fixed:
            options = {**self.inference, "match_sources": self.sources is None}
            return torch.stack([apply_segments(self, item_CL, self.sample_rate, **options) for item_CL in wav_BCL])
        wav_BCL = torch.nn.functional.pad(wav_BCL, (0, fixed - length if fixed else 0))
        return torch.cat([self._one(item_BCL) for item_BCL in wav_BCL.split(1)])[..., :length]

    def _one(self, wav_BCL: torch.Tensor) -> torch.Tensor:
        if self.stft is None:
            return self._run(wav_BCL)
        est_BSCFT2 = self._run(torch.view_as_real(self.stft(wav_BCL)))
        return self.stft.inverse(torch.view_as_complex(est_BSCFT2), wav_BCL.shape[-1])

    def _run(self, given: torch.Tensor) -> torch.Tensor:
        name = self.session.get_inputs()[0].name
        return torch.from_numpy(self.session.run(None, {name: given.contiguous().numpy()})[0])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Separate a song by an ONNX file.")
    parser.add_argument("model", help="file that asteroid-bsrnn export wrote")
    parser.add_argument("song")
    parser.add_argument("-o", "--out", default=".", help="folder of the stems")
    args = parser.parse_args()
    network = OnnxModel(args.model)
    done = separate_file(Separator(network, device="cpu"), args.song, args.out, **network.inference)
    for stem, file in done["stems"].items():
        print(stem, file)
