"""Values that people give: each works as it should or is refused in one sentence."""

import math
import pickle

import numpy as np
import pytest
import torch
from separation_models import KnownGains, noise, read, save, write

from asteroid_bsrnn.cli.main import main
from asteroid_bsrnn.separation.recordings import separate, separate_file
from asteroid_bsrnn.weights import load_model

RATE = 44100
WAV = noise(9000)


def frozen():
    wav = WAV.copy()
    wav.flags.writeable = False
    return wav


WORK = {
    "a list": (WAV.tolist(), RATE, {}), "float64": (WAV.astype("f8"), RATE, {}), "float16": (WAV.astype("f2"), RATE, {}),
    "big-endian": (WAV.astype(">f4"), RATE, {}), "big-endian float64": (WAV.astype(">f8"), RATE, {}),
    "backwards": (WAV[:, ::-1], RATE, {}), "every other sample": (WAV[:, ::2], RATE, {}), "read-only": (frozen(), RATE, {}),
    "columns first": (np.asfortranarray(WAV), RATE, {}), "transposed from (time, channels)": (np.ascontiguousarray(WAV.T).T, RATE, {}),
    "one channel": (WAV[0], RATE, {}), "numpy rate": (WAV, np.int64(RATE), {}), "float rate": (WAV, 44100.0, {}), "float32 rate": (WAV, np.float32(RATE), {}),
    "with a gradient": (torch.tensor(WAV, requires_grad=True), RATE, {}), "bfloat16": (torch.tensor(WAV).bfloat16(), RATE, {}),
    "numpy numbers": (WAV, RATE, {"segment": np.float32(0.1), "batch": np.int64(2), "overlap": np.float64(0.25), "shifts": np.int32(2)}),
    "a batch of all": (WAV, RATE, {"segment": 0.05, "batch": 10**9}), "whole, of any length": (WAV, RATE, {"scheme": "whole", "segment": math.inf}),
    "more channels than samples": (noise(3, 5), RATE, {}), "many channels": (noise(300, 100), RATE, {}),
}  # fmt: skip


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("case", WORK)
def test_arrays_and_numbers_of_any_kind_work(case):
    wav, rate, options = WORK[case]
    stems = separate(KnownGains(), wav, rate, **options)
    given = wav.detach().float().numpy() if isinstance(wav, torch.Tensor) else np.asarray(wav)
    assert tuple(stems.shape) == (2, *given.shape) and isinstance(stems, torch.Tensor) == isinstance(wav, torch.Tensor)
    assert stems.dtype == (wav.dtype if hasattr(wav, "dtype") else np.float64)
    found = stems.float().numpy() if isinstance(stems, torch.Tensor) else stems.astype("f8")
    np.testing.assert_allclose(found[0], 0.25 * given.astype("f8"), atol=1e-3)


def test_one_source_may_be_a_text(tmp_path):
    assert separate(KnownGains(), WAV, RATE, sources="drums").shape == (1, 2, 9000)
    done = separate_file(KnownGains(), write(tmp_path / "a.wav", WAV), tmp_path / "out", sources="drums")
    assert list(done["stems"]) == ["drums"]


REFUSED = {
    "(time, channels)": (WAV.T, RATE, {}, r"has shape \(channels, time\), not \(9000, 2\): transpose it \(wav.T\)"),
    "integers": ((WAV * 1000).astype("i2"), RATE, {}, "a recording is floats of shape"),
    "complex": (WAV.astype("c8"), RATE, {}, "a recording is floats of shape"),
    "a text": ("song.wav", RATE, {}, "a recording is floats of shape"),
    "none": (None, RATE, {}, "a recording is floats of shape"),
    "a fraction of a rate": (WAV, 44100.5, {}, "whole number of Hz"),
    "no rate": (WAV, 0, {}, "a number of Hz above 0"),
    "rate nan": (WAV, math.nan, {}, "a number of Hz above 0"),
    "rate as text": (WAV, "44100", {}, "a number of Hz above 0"),
    "unknown source": (WAV, RATE, {"sources": "guitar"}, "unknown source 'guitar'"),
}
for name, value in (("inf", math.inf), ("1e9", 1e9)):
    REFUSED[f"segment {name}"] = (WAV, RATE, {"segment": value}, "segment must be at most 3600 seconds")
    REFUSED[f"reference segment {name}"] = (
        WAV,
        RATE,
        {"segment": value, "scheme": "fader_reference"},
        "segment must be at most 3600",
    )
    REFUSED[f"hop {name}"] = (
        WAV,
        RATE,
        {"hop": value, "scheme": "ola"},
        "hop must be more than 0 and at most the segment",
    )
    REFUSED[f"shifts {name}"] = (WAV, RATE, {"shifts": value}, "shifts is a whole number of passes from 1 to 1000")
REFUSED |= {
    "segment nan": (WAV, RATE, {"segment": math.nan}, "segment must be more than 0"),
    "hop nan": (WAV, RATE, {"hop": math.nan, "scheme": "ola"}, "hop must be more than 0"),
    "overlap nan": (WAV, RATE, {"overlap": math.nan}, "overlap is a fraction"),
    "segment as text": (WAV, RATE, {"segment": "10"}, "segment is a number, not '10'"),
    "half a batch": (WAV, RATE, {"batch": 2.5}, "batch is a whole number"),
    "batch inf": (WAV, RATE, {"batch": math.inf}, "batch is a whole number"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_the_others_are_refused_in_one_sentence(case):
    wav, rate, options, sentence = REFUSED[case]
    with pytest.raises(ValueError, match=sentence) as caught:
        separate(KnownGains(), wav, rate, **options)
    assert "\n" not in str(caught.value)


PARTS = {
    "offset inf": ({"offset": math.inf}, "offset must be at least 0 s"), "offset nan": ({"offset": math.nan}, "offset must be at least 0 s"),
    "offset 1e9": ({"offset": 1e9}, "ends at"), "offset as text": ({"offset": "1"}, "offset is a number of seconds"),
    "duration nan": ({"duration": math.nan}, "duration more than 0 s"), "duration 0": ({"duration": 0}, "duration more than 0 s"),
}  # fmt: skip


@pytest.mark.parametrize("case", PARTS)
def test_parts_that_are_none(tmp_path, case):
    options, sentence = PARTS[case]
    with pytest.raises(ValueError, match=sentence):
        separate_file(KnownGains(), write(tmp_path / "a.wav", WAV), tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("duration", [1e9, math.inf, np.float32(5)])
def test_a_long_duration_is_the_rest(tmp_path, duration):
    done = separate_file(
        KnownGains(), write(tmp_path / "a.wav", WAV), tmp_path / "out", offset=np.float64(0.1), duration=duration
    )
    assert done["frames"] == 9000 - 4410
    np.testing.assert_allclose(read(done["stems"]["vocals"]), 0.25 * read(tmp_path / "a.wav")[:, 4410:], atol=1e-6)


@pytest.mark.parametrize("threads", ["100000", "0", "-1"])
def test_threads_that_no_machine_has(tmp_path, capsys, threads):
    model, song = save(KnownGains(), tmp_path / "m.pth"), write(tmp_path / "a.wav", WAV)
    assert main(["separate", song, "-o", str(tmp_path / "out"), "--model", model, "--threads", threads]) == 2
    assert (
        f"--threads must be at {'most 1024' if threads == '100000' else 'least 1'}, not {threads}"
        in capsys.readouterr().err
    )


def test_a_pickle_called_safetensors_is_read_for_what_it_is(tmp_path):
    save(KnownGains(gains=(0.5, 2.0)), tmp_path / "m.safetensors")
    assert load_model(tmp_path / "m.safetensors").factor.tolist() == [0.5, 2.0]
    with open(tmp_path / "evil.safetensors", "wb") as file:
        pickle.dump({"model_name": print}, file)
    with pytest.raises(ValueError, match="is refused"):
        load_model(tmp_path / "evil.safetensors")
