"""Published models of any family by name: loopback servers play release pages, plain hosts and the hub."""

import hashlib
import io
import json
import re
import zipfile

import huggingface_hub
import pytest
import torch
from asteroid.models import BaseModel
from asteroid.utils import hub_utils
from foreign_family import Gains, family
from loopback import serve

from asteroid_bsrnn.cli.main import main
from asteroid_bsrnn.common.errors import UserError
from asteroid_bsrnn.models import Demucs, register_model
from asteroid_bsrnn.models.family import FAMILIES
from asteroid_bsrnn.separation import separate
from asteroid_bsrnn.separation.segments import apply_segments
from asteroid_bsrnn.weights import load_model, published

VOLUME = torch.tensor([0.5, -0.25])
SETTINGS = {"exponent": 2}
BASE = {"system": "gains", "model": "Gains", "sources": ["a", "b"], "data": "noise", "licence": "CC0-1.0"}


def checkpoint(volume=VOLUME):
    buffer = io.BytesIO()
    torch.save({"state_dict": {"volume": volume}}, buffer)
    return buffer.getvalue()


def sha256(content):
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def server():
    with serve() as loopback:
        yield loopback


@pytest.fixture
def shelf(tmp_path, monkeypatch, server):
    """Write entries down for a family that a plug-in brings."""
    monkeypatch.setenv("ASTEROID_BSRNN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("asteroid_bsrnn.common.download.http.TIMEOUT", (2, 5))
    monkeypatch.setattr("asteroid_bsrnn.common.download.http.time.sleep", lambda seconds: None)
    register_model(Gains)

    def put(**entries):
        (tmp_path / "published.yml").write_text(
            json.dumps({name: {**BASE, **entry} for name, entry in entries.items()})
        )
        monkeypatch.setitem(FAMILIES.entries, "gains", family(tmp_path / "published.yml"))

    return put


def assert_is(model, power=2, sources=("a", "b"), gain=VOLUME):
    assert type(model) is Gains and tuple(model.sources) == sources and not model.training
    assert model.config.power == power and torch.equal(model.gain, gain)


def cached(tmp_path, folder):
    return sorted(path.name for path in (tmp_path / "cache" / folder).rglob("*") if path.is_file())


def release(server, path, content):
    """As release pages do: a redirect to the store."""
    server.answers[path] = (302, {"Location": server.add("/store" + path, content)}, b"")
    return server.url + path


def test_a_file_of_a_release_page_is_fetched_checked_and_converted_once(shelf, server, tmp_path):
    content = checkpoint()
    url = release(server, "/releases/download/v1/x.ckpt", content)
    shelf(tiny={"address": [url], "size": len(content), "sha256": sha256(content), "settings": SETTINGS})
    assert_is(load_model("tiny"))
    asked = len(server.requests)
    assert_is(BaseModel.from_pretrained("tiny").eval())
    assert len(server.requests) == asked
    assert len(cached(tmp_path, "checkpoints")) == 1 and cached(tmp_path, "downloads") == []
    assert published.manifest("tiny")["licence"] == "CC0-1.0"
    assert published.load_conf("tiny")["infos"]["card"]["url"] == url


def test_a_broken_transfer_is_tried_again(shelf, server):
    content = checkpoint()
    shelf(tiny={"address": server.add("/x.ckpt", content), "sha256": sha256(content), "settings": SETTINGS})
    server.breaks["/x.ckpt"] = [100]
    assert_is(load_model("tiny"))
    assert server.gets("/x.ckpt") == 2


def test_the_configuration_is_fetched_where_the_settings_are_not_known(shelf, server):
    config = server.add("/x.yaml", b"net: {exponent: 3, sources: !!python/tuple [left, right]}")
    shelf(tiny={"address": [server.add("/x.ckpt", checkpoint())], "config_address": config})
    assert_is(load_model("tiny"), 3, ("left", "right"))
    with pytest.raises(UserError, match="tiny is a published model, whose settings are known"):
        load_model("tiny", SETTINGS)


def test_md5_and_a_wrong_size(shelf, server, tmp_path):
    content = checkpoint()
    md5 = hashlib.md5(content).hexdigest()
    address = server.add("/x.ckpt", content)
    shelf(
        good={"address": address, "md5": md5, "settings": SETTINGS},
        bad={"address": address, "size": 7, "settings": SETTINGS},
    )
    assert_is(load_model("good"))
    with pytest.raises(UserError, match="bad: .*it has .* bytes, expected are 7"):
        load_model("bad")
    assert len(cached(tmp_path, "checkpoints")) == 1 and cached(tmp_path, "downloads") == []


def test_a_wrong_hash_is_refused_and_another_address_tried(shelf, server, tmp_path):
    wrong, right = server.add("/wrong.ckpt", checkpoint(VOLUME + 1)), server.add("/right.ckpt", checkpoint())
    entry = {"sha256": sha256(checkpoint()), "settings": SETTINGS}
    shelf(one={"address": [wrong], **entry}, both={"address": [server.url + "/gone.ckpt", wrong, right], **entry})
    with pytest.raises(UserError, match="one: .*is refused: its checksum is sha256:"):
        load_model("one")
    assert cached(tmp_path, "checkpoints") == [] and published.manifest("one") is None
    assert_is(load_model("both"))


def test_members_of_one_archive_are_two_models_and_one_download(shelf, server, tmp_path):
    buffer = io.BytesIO()
    other = VOLUME * 2
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("deep/a.ckpt", checkpoint())
        archive.writestr("deep/b.ckpt", checkpoint(other))
    address = server.add("/all.zip", buffer.getvalue())
    shelf(
        first={"address": f"{address}#deep/a.ckpt", "sha256": sha256(checkpoint()), "settings": SETTINGS},
        second={"address": f"{address}#b.ckpt", "size": len(checkpoint(other)), "settings": SETTINGS},
        third={"address": f"{address}#c.ckpt", "settings": SETTINGS},
        fourth={"address": f"{address}#a.ckpt", "sha256": "0" * 64, "settings": SETTINGS},
    )
    assert_is(load_model("first"))
    assert_is(load_model("second"), gain=other)
    assert server.gets("/all.zip") == 1
    with pytest.raises(UserError, match="third: all.zip holds deep/a.ckpt, deep/b.ckpt, not one c.ckpt"):
        load_model("third")
    with pytest.raises(UserError, match="fourth: a.ckpt is refused: its checksum is sha256:"):
        load_model("fourth")


def test_a_file_in_parts(shelf, server):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("x.ckpt", checkpoint())
        archive.writestr("readme.txt", "hello")
    whole = buffer.getvalue()
    parts = [server.add("/x.zip.001", whole[:500]), server.add("/x.zip.002", whole[500:])]
    shelf(tiny={"address": [parts], "settings": SETTINGS})
    assert_is(load_model("tiny"))


def test_a_repository_of_the_hub(shelf, server, tmp_path, monkeypatch):
    monkeypatch.setattr(hub_utils, "CACHE_DIR", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", server.url)
    template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setenv("HF_TOKEN", "")
    server.answers["/"] = (200, {}, b"")
    buffer, path = io.BytesIO(), "/org/gains/resolve/main/pytorch_model.bin"
    torch.save(Gains(sources=("a", "b"), power=2).serialize(), buffer)
    server.add(path, buffer.getvalue())
    server.etags[path], server.extra[path] = f'"{sha256(buffer.getvalue())}"', {"X-Repo-Commit": "0" * 40}
    shelf(tiny={"hub": "org/gains"})
    assert_is(load_model("tiny"), gain=torch.ones(2))
    assert_is(load_model("org/gains"), gain=torch.ones(2))


def test_an_entry_that_changed_is_fetched_again(shelf, server):
    address = server.add("/x.ckpt", checkpoint())
    shelf(tiny={"address": address, "settings": SETTINGS})
    load_model("tiny")
    shelf(tiny={"address": address, "settings": {"exponent": 1}})
    assert published.manifest("tiny") is None
    assert_is(load_model("tiny"), 1)


@pytest.mark.parametrize(
    "entry, said",
    [
        ({"note": "a folder behind a web page"}, "tiny has no public address: a folder behind a web page"),
        ({"members": ["one", "two"]}, "there is no published model 'one'"),
        ({"address": "http://127.0.0.1:9/x.ckpt"}, "tiny: .*no connection to 127.0.0.1:9; is there a network"),
        ({"adress": "x"}, "published.yml: tiny: unknown key 'adress': did you mean 'address'"),
        ({"system": None}, "published.yml: tiny: it lacks 'system'"),
    ],
)
def test_what_cannot_be_had_is_said(shelf, entry, said):
    shelf(tiny=entry)
    with pytest.raises(UserError, match=said):
        load_model("tiny")


def test_a_system_of_several_by_one_name(shelf, server):
    """A bag with weights, a member that reads what another leaves, a share of the residual: as its entry says."""
    other = torch.tensor([2.0, 1.0])
    shelf(
        one={"address": server.add("/1.ckpt", checkpoint()), "settings": SETTINGS},
        two={"address": server.add("/2.ckpt", checkpoint(other)), "settings": SETTINGS},
        bag={"members": ["one", "two"], "weights": [[1, 0], [3, 1]]},
        chain={"members": ["one", "two"], "less": [None, ["a"]], "weights": [[1, 0], [0, 1]], "residual": {"b": 0.5}},
    )
    one, two, wav = load_model("one"), load_model("two"), torch.randn(1, 2, 100)
    with torch.no_grad():
        a, b = one(wav).unbind(1)
        c, d = two(wav).unbind(1)
        torch.testing.assert_close(load_model("bag")(wav), torch.stack([(a + 3 * c) / 4, d], 1))
        rest = two(wav - a)[:, 1]
        expected = torch.stack([a, rest + 0.5 * (wav - a - rest)], 1)
        torch.testing.assert_close(load_model("chain")(wav), expected)
        torch.testing.assert_close(BaseModel.from_pretrained("chain").eval()(wav), expected)


def test_a_blend_with_demucs_v2(shelf, server, tmp_path, capsys):
    """Its weights are a plain dictionary; the entries are those of KUIELab's system, with other names in its first half."""
    pytest.importorskip("demucs.demucs")
    shape = {"rewrite": True, "gelu": False, "norm_starts": 9, "dconv_mode": 0, "normalize": False, "lstm_layers": 2}
    other = Demucs(sources=["b", "a"], channels=4, depth=2, context_padding=False, **shape).eval()
    names = {key: re.sub(r"(coder\.\d)\.3\.", r"\1.2.", key.removeprefix("net.")) for key in other.state_dict()}
    buffer = io.BytesIO()
    torch.save({names[key]: value for key, value in other.state_dict().items()}, buffer)
    plan = {"scheme": "ola", "segment": 0.5, "overlap": 0.5, "window": "triang", "standardise": "channels"}
    v2 = {"system": "demucs", "model": "Demucs", "sources": ["b", "a"], "settings": {"sources": ["b", "a"]}}
    shelf(
        one={"address": server.add("/1.ckpt", checkpoint()), "settings": SETTINGS},
        first={"members": ["one"]},
        v2={"address": server.add("/demucs-e07c671f.th", buffer.getvalue()), **v2},
        blend={"members": ["first", "v2"], "weights": [[0.7, 0.9], [0.3, 0.1]], "plans": [None, plan]},
    )
    assert main(["download", "blend"]) == 0 and server.gets("/demucs-e07c671f.th") == 1
    one, wav = load_model("one"), 0.1 * torch.randn(2, 50000) + 0.05
    with torch.no_grad():
        a, b = one(wav[None])[0]
    d, c = apply_segments(other, wav, 44100, **plan)
    found = separate("blend", wav, 44100, scheme="whole")
    torch.testing.assert_close(found, torch.stack([0.7 * a + 0.3 * c, 0.9 * b + 0.1 * d]), atol=1e-6, rtol=1e-5)
    assert server.gets("/1.ckpt") == server.gets("/demucs-e07c671f.th") == 1


def test_two_families_with_one_name(shelf):
    shelf(obsrnn={})
    with pytest.raises(UserError, match="another family has a published model 'obsrnn'"):
        published.names()


def test_the_commands(shelf, server, tmp_path, capsys):
    content = checkpoint()
    score = {"metric": "SDR of nothing", "values": {"a": 9.5}, "source": "a paper"}
    shelf(
        tiny={"address": server.add("/x.ckpt", content), "settings": SETTINGS, "size": 2_000_000, "scores": [score]},
        hidden={"note": "nobody can fetch it"},
        small={"address": server.add("/y.ckpt", content), "settings": SETTINGS},
        bag={"members": ["small"], "weights": [[1, 1]]},
    )
    assert main(["models"]) == 0
    said = capsys.readouterr().out
    for words in (
        "tiny: gains",
        "2 MB",
        "CC0-1.0",
        "noise",
        "a 9.5 (SDR of nothing; a paper)",
        "no public address",
        "its members small",
    ):
        assert words in said, words
    assert main(["models", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["tiny"]["scores"] == [score] and rows["tiny"]["megabytes"] == 2 and not rows["hidden"]["public"]
    assert main(["download", "bag"]) == 0
    assert "nobody states a checksum" in capsys.readouterr().out and published.manifest("small")
    assert main(["download", "small", "-o", str(tmp_path / "small.safetensors")]) == 0
    assert_is(load_model(tmp_path / "small.safetensors"))
    assert main(["download", "bag", "-o", str(tmp_path / "bag.pth")]) == 2
    assert main(["download", "hidden"]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == "error: hidden has no public address: nobody can fetch it"


def test_every_entry_of_every_family_is_complete():
    entries = published.entries()
    systems = {adapter.system: adapter.model.__name__ for known in FAMILIES.values() for adapter in known.adapters}
    for name, entry in entries.items():
        assert entry.system in {*systems, "asteroid"} and entry.data and entry.licence, name
        assert entry.system == "asteroid" or entry.model == systems[entry.system] or entry.members, name
        assert set(entry.members) <= set(entries), name
        assert all(address.startswith("https://") for parts in entry.address for address in parts), name
        assert all(score["metric"] and score["source"] and score["values"] for score in entry.scores), name
        if entry.weights:
            assert [len(row) for row in entry.weights] == [len(entry.sources)] * len(entry.members), name
