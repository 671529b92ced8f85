"""Published models by name, against a loopback server that speaks the records API, in many layouts."""

import hashlib
import io
import json
import tarfile
import zipfile

import pytest
import torch
from asteroid.models import BaseModel
from helpers import SHARED
from loopback import serve

from asteroid_bsrnn import weights
from asteroid_bsrnn.cli import main
from asteroid_bsrnn.common.errors import UserError
from asteroid_bsrnn.convert import to_reference
from asteroid_bsrnn.models import BSRNN
from asteroid_bsrnn.models.family import FAMILIES, Family
from asteroid_bsrnn.weights import load_model, read_safetensors
from asteroid_bsrnn.weights import published as zoo
from asteroid_bsrnn.weights.published import contents

SOURCES = ("vocals", "bass", "drums", "other")
SIZE = {"feature_dim": 4, "n_repeats": 1, "mask_ratio": 1}
HYPER = {
    "feature_dim": 4,
    "num_repeat": 1,
    "fac_mask": 1,
    "n_fft": 2048,
    "n_hop": 512,
    "sample_rate": 44100,
    "nb_channels": 2,
}
WANTED = {**SIZE, "n_fft": 2048, "bands": None, "stereo": None, "n_attn_heads": 0}
TINY = {"system": "bsrnn", "wanted": WANTED, "sources": list(SOURCES), "parameters": 1, "records": [1, 2]}
PUBLISHED = {"tiny": {**TINY, "joint": False, "alike": ["vocals", "other"]}, "tiny-simo": {**TINY, "joint": True}}


@pytest.fixture(scope="module")
def originals():
    """The models behind the checkpoints, by name."""
    torch.manual_seed(0)
    singles = {source: BSRNN(sources=(source,), **SIZE).eval() for source in SOURCES}
    return {
        **singles,
        "simo": BSRNN(sources=SOURCES, **SIZE).eval(),
        "wider": BSRNN(sources=("bass",), **{**SIZE, "feature_dim": 8}).eval(),
    }


@pytest.fixture(scope="module")
def checkpoints(originals):
    """The same as files of the reference, new style."""
    made = {
        name: checkpoint(model, {**HYPER, "targets": list(model.sources)})
        for name, model in originals.items()
        if name != "wider"
    }
    return {**made, "wider": checkpoint(originals["wider"], None)}


def checkpoint(model, hyper_parameters, old_style=False, **more):
    state_dict = to_reference(model)
    if old_style:
        state_dict = {key.replace("maskers.0.mask.", "mask."): value for key, value in state_dict.items()}
    content = {"epoch": 3, "global_step": 100, "pytorch-lightning_version": "2.4", "state_dict": state_dict, **more}
    if hyper_parameters is not None:
        content["hyper_parameters"] = hyper_parameters
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def as_zip(members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def as_tar(members):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


class Zenodo:
    """Records with files, in either form of the API."""

    def __init__(self, server):
        self.server = server

    def add(self, record, files, licence="cc-by-4.0", entries_style=False, md5=None):
        listed = {}
        for name, content in files.items():
            url = self.server.add(f"/api/records/{record}/files/{name}/content", content)
            checksum = "md5:" + (md5 or hashlib.md5(content).hexdigest())
            link = {"content": url, "self": url.removesuffix("/content")} if entries_style else {"self": url}
            listed[name] = {"key": name, "size": len(content), "checksum": checksum, "links": link}
        metadata = {"title": "Weights", **({"license": {"id": licence}} if licence else {})}
        files = {"entries": listed} if entries_style else list(listed.values())
        self.server.add(
            f"/api/records/{record}",
            {"metadata": metadata, "files": files, "links": {"self_html": f"https://zenodo.org/records/{record}"}},
        )

    def fetched(self):
        """Names of the files that were asked for, in order."""
        return [path.split("/")[5] for method, path, _ in self.server.requests if path.endswith("/content")]


@pytest.fixture
def zenodo(tmp_path, monkeypatch):
    weights.install()
    monkeypatch.setenv("ASTEROID_BSRNN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("asteroid_bsrnn.common.download.http.TIMEOUT", (2, 5))
    (tmp_path / "published.yml").write_text(json.dumps(PUBLISHED))
    monkeypatch.setitem(FAMILIES.entries, "tests", Family("tests", models=(), published=tmp_path / "published.yml"))
    with serve() as server:
        monkeypatch.setenv("ASTEROID_BSRNN_ZENODO_API", server.url + "/api")
        yield Zenodo(server)


def assert_is(model, originals):
    """``model`` gives, per source, exactly what the original of this source gives."""
    wav = torch.randn(1, 2, 4000, generator=torch.Generator().manual_seed(1))
    assert tuple(model.sources) == SOURCES and not model.training
    with torch.no_grad():
        expected = torch.cat([originals[source](wav) for source in SOURCES], dim=1)
        assert torch.allclose(model(wav), expected, atol=1e-6)


LAYOUTS = {
    "a zip of folders": lambda made: {
        "models.zip": as_zip({f"weights/{source}/epoch=1.ckpt": made[source] for source in SOURCES})
    },
    "a tar of misleading names": lambda made: {
        "a.tar.gz": as_tar({f"{i}/last.bin": made[source] for i, source in enumerate(SOURCES)})
    },
    "loose files": lambda made: {f"{source}.ckpt": made[source] for source in SOURCES},
    "a zip for each": lambda made: {
        f"{source}.zip": as_zip({"model.ckpt": made[source], "conf.yaml": b"a: 1"}) for source in SOURCES
    },
    "zips in a zip": lambda made: {
        "all.zip": as_zip({f"{source}.zip": as_zip({"m.ckpt": made[source]}) for source in SOURCES})
    },
    "wrong names": lambda made: {f"{name}.ckpt": made[source] for name, source in zip(reversed(SOURCES), SOURCES)},
    "no suffixes, beside other things": lambda made: {
        "readme.md": b"# hello",
        "song.wav": b"RIFF",
        "notes": b"nothing of use",
        "wider": made["wider"],
        "s": made["simo"],
        **{f"{source}": made[source] for source in SOURCES},
    },
}


@pytest.mark.parametrize("layout, entries_style", [(layout, bool(index % 2)) for index, layout in enumerate(LAYOUTS)])
def test_every_layout_gives_the_model(zenodo, originals, checkpoints, layout, entries_style):
    zenodo.add(1, LAYOUTS[layout](checkpoints), entries_style=entries_style)
    assert_is(load_model("tiny"), originals)
    assert not {"readme.md", "song.wav"} & set(zenodo.fetched())


def test_old_keys_and_old_settings(zenodo, originals):
    old = {f"{name}.ckpt": checkpoint(originals[name], {**HYPER, "target": name}, old_style=True) for name in SOURCES}
    zenodo.add(1, old)
    assert_is(load_model("tiny"), originals)


def test_the_older_record_serves_what_the_newer_lacks(zenodo, originals, checkpoints):
    zenodo.add(1, {"simo.ckpt": checkpoints["simo"]})
    zenodo.add(2, {"all.zip": as_zip({f"{source}.ckpt": checkpoints[source] for source in SOURCES})})
    assert_is(load_model("tiny"), originals)
    assert zoo.manifest("tiny")["record"] == "2"


def test_one_model_for_all(zenodo, originals, checkpoints):
    zenodo.add(1, {"simo.ckpt": checkpoints["simo"], "bass.ckpt": checkpoints["bass"]})
    model = load_model("tiny-simo")
    assert type(model) is BSRNN and tuple(model.sources) == SOURCES
    assert all(torch.equal(value, originals["simo"].state_dict()[name]) for name, value in model.state_dict().items())
    assert zenodo.fetched() == ["simo.ckpt"]  # what shares words with the name comes first, and then it was complete


def test_a_second_load_needs_no_network_and_a_second_model_no_second_download(zenodo, originals, checkpoints):
    zenodo.add(1, {"all.zip": as_zip({f"{name}.ckpt": content for name, content in checkpoints.items()})})
    load_model("tiny")
    asked = len(zenodo.server.requests)
    assert_is(BaseModel.from_pretrained("tiny").eval(), originals)
    assert len(zenodo.server.requests) == asked
    load_model("tiny-simo")
    assert zenodo.fetched() == ["all.zip"]


def test_the_cache_holds_converted_weights_alone(zenodo, checkpoints, tmp_path):
    zenodo.add(1, {"all.zip": as_zip({f"{source}.ckpt": checkpoints[source] for source in SOURCES})})
    zoo.download("tiny", progress=False)
    files = {
        path.relative_to(tmp_path / "cache").parts[0] for path in (tmp_path / "cache").rglob("*") if path.is_file()
    }
    assert files == {"checkpoints", "files", "models"}
    digest = hashlib.sha256(checkpoints["bass"]).hexdigest()
    card = read_safetensors(tmp_path / "cache" / "checkpoints" / f"{digest}.safetensors")["card"]
    assert (card["sources"], card["licence"], card["converted_from"], card["member"]) == (
        ["bass"],
        "cc-by-4.0",
        digest,
        "bass.ckpt",
    )


def test_a_damaged_cache_is_refused_and_a_deleted_one_fetched_again(zenodo, originals, checkpoints, tmp_path):
    zenodo.add(1, {f"{source}.ckpt": checkpoints[source] for source in SOURCES})
    zoo.download("tiny", progress=False)
    path = next((tmp_path / "cache" / "checkpoints").iterdir())
    content = path.read_bytes()
    path.write_bytes(content[:-4] + b"????")
    with pytest.raises(UserError, match="SHA-256 differs"):
        load_model("tiny")
    path.unlink()
    assert_is(load_model("tiny"), originals)


def test_the_longest_trained_of_two_is_taken(zenodo, originals, checkpoints):
    torch.manual_seed(7)
    early = BSRNN(sources=("bass",), **SIZE)
    files = {f"{source}.ckpt": checkpoints[source] for source in SOURCES}
    zenodo.add(
        1, {"all.zip": as_zip({**files, "a.ckpt": checkpoint(early, {**HYPER, "targets": ["bass"]}, global_step=50)})}
    )
    assert_is(load_model("tiny"), originals)


def test_two_that_cannot_be_told_apart_are_refused(zenodo, checkpoints):
    torch.manual_seed(7)
    twin = checkpoint(BSRNN(sources=("bass",), **SIZE), {**HYPER, "targets": ["bass"]})
    files = {f"{source}.ckpt": checkpoints[source] for source in SOURCES}
    zenodo.add(1, {"all.zip": as_zip({**files, "twin.ckpt": twin})})
    with pytest.raises(
        UserError,
        match="two different checkpoints of bass fit, .*bass.ckpt.* and .*twin.ckpt|.*twin.ckpt.* and .*bass.ckpt",
    ):
        zoo.download("tiny")


def test_copies_of_one_checkpoint_are_no_ambiguity(zenodo, originals, checkpoints):
    files = {f"{source}.ckpt": checkpoints[source] for source in SOURCES}
    zenodo.add(1, {"all.zip": as_zip({**files, "copy/bass.ckpt": checkpoints["bass"]})})
    assert_is(load_model("tiny"), originals)


def test_without_settings_vocals_and_other_are_not_guessed(zenodo, originals):
    zenodo.add(1, {f"{source}.ckpt": checkpoint(originals[source], None) for source in SOURCES})
    zenodo.add(2, {"readme.md": b"text"})
    with (
        pytest.warns(UserWarning, match="assuming n_fft / 4"),
        pytest.raises(UserError, match="vocals or other, it does not say"),
    ):
        zoo.download("tiny")


@pytest.mark.parametrize(
    "files, message",
    [
        ({"weights.7z": b"7z\xbc\xaf\x27\x1c" + b"0" * 50}, "weights.7z: .*is no weights file"),
        ({"weights.zip": as_zip({"deep/readme": b"text", "deep/x.h5": b"\x89HDF"})}, "deep/x.h5: .*is no weights file"),
        ({"empty.zip": as_zip({})}, "1 files were looked into"),
        ({"evil.ckpt": None}, "evil.ckpt: .*would call .*system"),
        ({"asteroid.pth": "ours"}, "asteroid.pth: it is no checkpoint of the reference"),
        ({"wider.ckpt": "wider"}, r"recognised were wider.ckpt \(bass, 8 features, 1 repeats\)"),
    ],
)
def test_what_a_record_without_the_model_gets_told(zenodo, checkpoints, originals, files, message, tmp_path):
    content = {name: _content(value, checkpoints, originals, tmp_path) for name, value in files.items()}
    zenodo.add(1, content)
    zenodo.add(2, {"readme.md": b"text"})
    with pytest.raises(UserError, match="tiny was not found in Zenodo record 1, 2: .*" + message):
        zoo.download("tiny")
    assert not (tmp_path / "mark").exists()
    assert not list((tmp_path / "cache").rglob("*.unpacked"))


def _content(value, checkpoints, originals, tmp_path):
    if isinstance(value, bytes):
        return value
    if value == "wider":
        return checkpoints["wider"]
    buffer = io.BytesIO()
    torch.save(originals["bass"].serialize() if value == "ours" else _Evil(f"touch {tmp_path / 'mark'}"), buffer)
    return buffer.getvalue()


class _Evil:
    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        import os

        return os.system, (self.command,)


def test_an_archive_that_leads_outside_is_refused(zenodo, checkpoints, tmp_path):
    zenodo.add(1, {"all.zip": as_zip({"../../out.ckpt": checkpoints["bass"]})})
    with pytest.raises(UserError, match="leads outside the folder"):
        zoo.download("tiny")
    assert not list(tmp_path.rglob("out.ckpt"))


def test_a_wrong_md5_is_refused(zenodo, checkpoints, tmp_path):
    zenodo.add(1, {"bass.ckpt": checkpoints["bass"]}, md5="0" * 32)
    with pytest.raises(UserError, match="is refused: its checksum is md5:"):
        zoo.download("tiny")
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []


def test_no_such_record(zenodo):
    with pytest.raises(UserError, match="records/1: there is no such file .HTTP 404."):
        zoo.download("tiny")


def test_the_licence_is_the_one_of_the_record_or_not_stated(zenodo, checkpoints):
    zenodo.add(1, {"simo.ckpt": checkpoints["simo"]}, licence=None)
    assert zoo.download("tiny-simo")["licence"] == "not stated"
    assert zoo.load_conf("tiny-simo")["infos"]["card"]["licence"] == "not stated"


def test_unknown_names_are_answered_with_the_nearest():
    with pytest.raises(UserError, match="did you mean 'obsrnn-simo'.*known are obsrnn, obsrnn-simo, bsrnn-large"):
        zoo.download("obsrn-simo")
    with pytest.raises(UserError, match="there is no file 'obsrn' or model of this name .* did you mean 'obsrnn'"):
        load_model("obsrn")


@pytest.mark.parametrize("name", ["obsrnn", "obsrnn-simo", "bsrnn-large", "bsrnn-base"])
def test_entries_describe_models_with_the_published_number_of_parameters(name):
    entry = zoo.find(name)
    known = {key: value for key, value in entry.wanted.items() if key != "bands"}
    with torch.device("meta"):
        parts = [
            BSRNN(sources=sources, **known)
            for sources in ([entry.sources] if entry.joint else [(source,) for source in entry.sources])
        ]
    assert sum(parameter.numel() for part in parts for parameter in part.parameters()) == entry.parameters
    assert all(entry.fits(part.get_model_args()) for part in parts)
    others = [other for other, known in zoo.entries().items() if other != name and known.system == "bsrnn"]
    assert not any(zoo.find(other).fits(part.get_model_args()) for other in others for part in parts)


def test_published_scores_average_to_the_published_mean():
    entries = [entry for entry in zoo.entries().values() if entry.system == "bsrnn"]
    assert len(entries) == 4
    for entry in entries:
        for scores in (score["values"] for score in entry.scores):
            assert abs(sum(scores[source] for source in SOURCES) / 4 - scores["mean"]) <= 0.1  # all five were rounded


# the commands


def test_models_lists_everything(zenodo, checkpoints, capsys):
    assert main.main(["models"]) == 0
    said = capsys.readouterr().out
    for word in (
        "obsrnn-simo",
        "164.1 M parameters, 656 MB",
        "mean 9.79",
        "as the record states it",
        "17516442",
        "not published",
    ):
        assert word in said
    zenodo.add(1, {"simo.ckpt": checkpoints["simo"]})
    zoo.download("tiny-simo", progress=False)
    assert main.main(["models", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["tiny-simo"]["downloaded"] and rows["tiny-simo"]["licence"] == "cc-by-4.0"
    assert not rows["obsrnn"]["downloaded"] and rows["obsrnn"]["megabytes"] == 656


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_download_writes_one_file(zenodo, originals, checkpoints, tmp_path, capsys, suffix):
    zenodo.add(1, {f"{source}.ckpt": checkpoints[source] for source in SOURCES})
    out = tmp_path / f"tiny.{suffix}"
    assert main.main(["download", "tiny", "-o", str(out)]) == 0
    assert "licence: cc-by-4.0" in capsys.readouterr().out
    assert_is(load_model(out), originals)


def test_download_says_what_is_wrong(zenodo, capsys, tmp_path):
    assert main.main(["download", "tinny"]) == 2
    assert main.main(["download", "tiny", "-o", str(tmp_path / "x.txt")]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert errors[0].startswith("error: there is no published model 'tinny': did you mean 'tiny'?")
    assert errors[1].endswith("x.txt: the name must end in .safetensors or .pth")


def test_without_network_it_says_so(zenodo, monkeypatch, capsys):
    monkeypatch.setenv("ASTEROID_BSRNN_ZENODO_API", "http://127.0.0.1:9/api")
    monkeypatch.setattr("asteroid_bsrnn.common.download.http.time.sleep", lambda seconds: None)
    assert main.main(["download", "tiny"]) == 2
    assert "no connection to 127.0.0.1:9; is there a network?" in capsys.readouterr().err


def test_a_real_lightning_file_of_the_reference_is_recognised(zenodo):
    if SHARED is None:
        pytest.skip("needs the reference checkpoint of the shared folder")
    zenodo.add(1, {"vocals.ckpt": (SHARED / "golden" / "vocals.ckpt").read_bytes()})
    zenodo.add(2, {"readme.md": b"text"})
    with pytest.raises(UserError, match=r"recognised were vocals.ckpt \(vocals, \d+ features"):
        zoo.download("tiny")


def test_the_length_of_training_is_read_from_a_real_lightning_file():
    if SHARED is None:
        pytest.skip("needs the reference checkpoint of the shared folder")
    assert contents._training_length(contents.read_file(SHARED / "golden" / "vocals.ckpt")) == {
        "epoch": 0,
        "global_step": 2,
    }
