"""Every public format of Table I, from file to estimate: by name of file, command and ``from_foreign``."""

import json
import os

import numpy as np
import pytest
import soundfile
import torch
import yaml
from helpers import SHARED

from asteroid_bsrnn.cli.main import main
from asteroid_bsrnn.convert import from_foreign
from asteroid_bsrnn.weights import load_model

GOLDEN = SHARED / "golden" if SHARED else None
FILES = GOLDEN / "table1_checkpoints" if SHARED else None
pytestmark = pytest.mark.skipif(not SHARED, reason="no shared data")

FOUR = ("drums", "bass", "other", "vocals")
UVR = {
    "audio": {"chunk_size": 3968, "dim_f": 192, "dim_t": 32, "hop_length": 128, "n_fft": 512, "num_channels": 2},
    "model": {"act": "gelu", "norm": "InstanceNorm"},
    "training": {"instruments": ["Vocals", "Instrumental"], "target_instrument": None},
    "inference": {"num_overlap": 8},
}
ONNX = {"n_fft": 256, "hop_length": 64, "target_name": "vocals"}
NUMBERED = ("s1", "s2", "s3", "s4")  # where nothing names the sources
ROFORMER = ("bass", "drums", "other", "vocals")
TABLE = [  # file, configuration, reference, class, sources, tolerance
    (
        "msst_bs_roformer_ep_17_sdr_9.6568.ckpt",
        "msst_bs_roformer.yaml",
        "msst_bs_roformer",
        "BSRoFormer",
        ROFORMER,
        1e-5,
    ),
    ("msst_bs_roformer_float16.ckpt", "msst_bs_roformer.yaml", "msst_bs_roformer", "BSRoFormer", ROFORMER, 4e-3),
    (
        "msst_bs_roformer_wrapped_state_dict.ckpt",
        "msst_bs_roformer.yaml",
        "msst_bs_roformer",
        "BSRoFormer",
        ROFORMER,
        1e-5,
    ),
    (
        "msst_bs_roformer_training.ckpt",
        "msst_bs_roformer_training.yaml",
        "msst_bs_roformer_training",
        "BSRoFormer",
        ("vocals",),
        1e-5,
    ),
    (
        "msst_mel_band_roformer.ckpt",
        "msst_mel_band_roformer.yaml",
        "msst_mel_band_roformer",
        "MelBandRoFormer",
        ("vocals",),
        1e-5,
    ),
    (
        "msst_mdx23c_ep_168_sdr_7.0207.ckpt",
        "msst_mdx23c.yaml",
        "msst_mdx23c",
        "TFCTDFv3",
        ("vocals", "bass", "drums", "other"),
        1e-5,
    ),
    ("uvr_mdx_c.ckpt", "uvr_mdx_c.yaml", "uvr_mdx_c", "TFCTDFv3", ("Vocals", "Instrumental"), 1e-5),
    ("sdx23_mdx_AB_ema.ckpt", UVR, "uvr_mdx_c", "TFCTDFv3", ("Vocals", "Instrumental"), 1e-5),
    ("msst_scnet.ckpt", "msst_scnet.yaml", "msst_scnet", "SCNet", FOUR, 1e-5),
    ("scnet_authors_checkpoint.th", "scnet_authors.yaml", "scnet_authors", "SCNet", FOUR, 1e-5),
    ("dttnet_epoch=19-step=4000.ckpt", "dttnet_model.yaml", "dttnet_lightning", "DTTNet", ("vocals",), 1e-5),
    ("kuielab_epoch=2360.ckpt", None, "kuielab", "ConvTDFNet", ("vocals",), 1e-5),
    ("kuielab_vocals.onnx", ONNX, "kuielab", "ConvTDFNet", ("vocals",), 1e-5),
    ("kuielab_mixer_submission.ckpt", None, "kuielab_mixer", "Mixer", NUMBERED, 1e-5),
    ("kuielab_mixer_lightning_abridged.ckpt", None, "kuielab_mixer", "Mixer", NUMBERED, 1e-5),
    ("presunet_epoch=49-val_loss=0.0902_trimed.ckpt", None, "presunet_vocals", "PResUNet", ("vocals",), 1e-5),
    (
        "presunet_epoch=33-val_loss=0.4293_trimed.ckpt",
        None,
        "presunet_other",
        "PResUNet",
        ("bass", "drums", "other"),
        1e-5,
    ),
    ("demucs_hub/aaaa1111.safetensors", None, "demucs_hub/aaaa1111", "HDemucs", FOUR, 1e-5),
    ("demucs_hub/bbbb2222.safetensors", None, "demucs_hub/bbbb2222", None, FOUR, 1e-5),
    ("demucs_hub/cccc3333.safetensors", None, "demucs_hub/cccc3333", None, FOUR, 1e-5),
    ("demucs_hub/dddd4444.safetensors", None, "demucs_hub/dddd4444", "HTDemucs", FOUR, 1e-5),
    ("demucs_hub/eeee5555.safetensors", None, "demucs_hub/eeee5555", None, FOUR, 4e-3),
    ("demucs_local/aaaa1111-07efc80e.th", None, "demucs_local/aaaa1111", "HDemucs", FOUR, 1e-5),
    (
        "demucs_local/torchaudio_hdemucs_style.pt",
        None,
        "demucs_hub/aaaa1111",
        "HDemucs",
        ("s1", "s2", "s3", "s4"),
        1e-5,
    ),
]
CASES = [pytest.param(*case, id=case[0]) for case in TABLE if SHARED and (FILES / case[0]).exists()]


def config_file(config, folder):
    """A path of a configuration that the table names or holds."""
    if isinstance(config, dict):
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        return str(folder / "config.yaml")
    return config and str(FILES / config)


def estimate(model, wav):
    with torch.no_grad():
        return model(wav)


def error(found, wanted):
    """Largest difference over the peak; files may lack an axis of one source, and the samples beyond the last frame."""
    return float((found[..., : wanted.shape[-1]].reshape(wanted.shape) - wanted).abs().max() / wanted.abs().max())


@pytest.mark.parametrize("file, config, reference, kind, sources, tolerance", CASES)
def test_file_to_estimate(file, config, reference, kind, sources, tolerance, tmp_path, capsys):
    config = config_file(config, tmp_path)
    model, stored = load_model(FILES / file, config), np.load(FILES / f"{reference}.ref.npz")
    wanted = torch.from_numpy(stored["y_all" if "y_all" in stored else "y"])
    assert kind in (None, type(model).__name__) and not model.training
    assert tuple(model.sources) == sources
    assert all(value.dtype == torch.float32 for value in model.parameters())
    wav = torch.from_numpy(stored["x"])
    found = estimate(model, wav)
    assert error(found, wanted) < tolerance
    for out in ("out.pth", "out.safetensors"):
        command = ["convert", str(FILES / file), *(("--config", config) if config else ()), str(tmp_path / out)]
        assert main(command) == 0, capsys.readouterr().err
        again = load_model(tmp_path / out)
        assert again.get_model_args() == model.get_model_args()
        before, after = model.state_dict(), again.state_dict()
        assert before.keys() == after.keys() and all(torch.equal(value, before[name]) for name, value in after.items())
    assert torch.equal(estimate(again, wav), found)


@pytest.mark.parametrize(
    "file, config", [("msst_scnet.ckpt", "msst_scnet.yaml"), ("demucs_hub/aaaa1111.safetensors", None)]
)
def test_a_recording_is_separated_by_a_foreign_file(file, config, tmp_path, capsys):
    soundfile.write(tmp_path / "song.wav", 0.1 * np.random.default_rng(0).standard_normal((9000, 2)), 44100)
    options = ["--config", str(FILES / config)] if config else []
    command = [
        "separate",
        "--model",
        str(FILES / file),
        *options,
        str(tmp_path / "song.wav"),
        "-o",
        str(tmp_path / "out"),
    ]
    assert main([*command, "--segment", "0.15"]) == 0, capsys.readouterr().err
    assert sorted(path.stem for path in (tmp_path / "out" / "song").iterdir()) == sorted(FOUR)


@pytest.mark.parametrize(
    "file, missing",
    [
        ("kuielab_vocals.onnx", "'n_fft'"),
        ("msst_scnet.ckpt", "nfft"),
        ("scnet_authors_checkpoint.th", "nfft"),
        ("dttnet_epoch=19-step=4000.ckpt", "hop_length"),
        ("msst_bs_roformer_ep_17_sdr_9.6568.ckpt", "stft_hop_length"),
    ],
)
def test_missing_settings_are_asked_for_by_name(file, missing, tmp_path, capsys):
    assert main(["convert", str(FILES / file), str(tmp_path / "out.pth")]) == 2
    said = capsys.readouterr().err
    assert missing in said and file in said and "--config" in said and said.count("\n") == 1
    assert os.listdir(tmp_path) == []


def test_several_files_become_one_model(tmp_path, capsys):
    """Two networks of one source each, each with its own configuration."""
    (tmp_path / "vocals.yaml").write_text(yaml.safe_dump(ONNX))
    (tmp_path / "bass.yaml").write_text(yaml.safe_dump({**ONNX, "target_name": "bass"}))
    file, out = str(FILES / "kuielab_vocals.onnx"), str(tmp_path / "two.pth")
    options = ["--config", str(tmp_path / "vocals.yaml"), "--config", str(tmp_path / "bass.yaml")]
    assert main(["convert", file, file, *options, out]) == 0
    assert load_model(out).sources == ("vocals", "bass")
    assert main(["convert", file, file, "--config", str(tmp_path / "bass.yaml"), str(tmp_path / "three.pth")]) == 2
    assert "are both for 'bass'" in capsys.readouterr().err


INSTANCES = [("table1", name) for name in ("bsroformer_stereo2", "melband_60_stereo1", "tfctdf_v3_four_instancenorm")]
INSTANCES += [
    ("table1", name) for name in ("scnet_original_4", "dttnet_res2_heads3", "presunet_conv1_sub4", "convtdfnet_7blocks")
]
INSTANCES += [("table1", name) for name in ("hdemucs_cac_4", "htdemucs_4")] + [
    ("afrcnn", "afrcnn"),
    ("afrcnn", "afrcnn_sum"),
]


@pytest.mark.parametrize("folder, name", INSTANCES)
def test_from_foreign_takes_the_words_of_the_original(folder, name):
    about = json.loads((GOLDEN / folder / "index.json").read_text())[name]
    arrays = np.load(GOLDEN / folder / f"{name}.npz")
    state = {key[3:]: arrays[key] for key in arrays.files if key.startswith("sd/")}
    settings = {**about["args"], **{key: about[key] for key in ("widths",) if key in about}}
    model = from_foreign(about.get("system", folder), state, settings)
    wanted = torch.from_numpy(arrays["y"])
    assert error(estimate(model, torch.from_numpy(arrays["x"])), wanted) < 1e-5 and not model.training
    assert model.sample_rate == (8000 if folder == "afrcnn" else 44100)
    if "sources" not in settings and folder == "table1" and model.n_src > 1 and "training" not in settings:
        assert tuple(model.sources) == tuple(f"s{index + 1}" for index in range(model.n_src))
