"""Hub ids through the real huggingface_hub client, against servers on loopback that speak the hub's protocol."""

import hashlib

import huggingface_hub
import pytest
import torch
from asteroid.models import BaseModel, ConvTasNet
from asteroid.utils import hub_utils
from loopback import serve

from asteroid_bsrnn.common.errors import UserError
from asteroid_bsrnn.weights import hub, load_model, save_safetensors

COMMIT = "0123456789abcdef0123456789abcdef01234567"
TAG_COMMIT = "f" * 40


class Hub:
    """A hub (redirects, commits, entity tags) with a second server that holds the large files, as the real one has."""

    def __init__(self, front, store):
        self.front, self.store = front, store

    def add(self, repo, name, content, revision="main", commit=COMMIT, sha256=None):
        """A large file: the hub states its SHA-256 and redirects to the store."""
        sha256 = sha256 or hashlib.sha256(content).hexdigest()
        location = self.store.add(f"/blobs/{repo}/{revision}/{name}", content)
        headers = {
            "X-Repo-Commit": commit,
            "X-Linked-Etag": f'"{sha256}"',
            "X-Linked-Size": str(len(content)),
            "Location": location,
        }
        self.front.answers[f"/{repo}/resolve/{revision}/{name}"] = (302, headers, b"")
        return f"/blobs/{repo}/{revision}/{name}"

    def add_small(self, repo, name, content):
        """A file in git itself: answered at once, its tag is git's hash of the blob."""
        self.front.files[f"/{repo}/resolve/main/{name}"] = content
        self.front.etags[f"/{repo}/resolve/main/{name}"] = (
            f'"{hashlib.sha1(b"blob %d" % len(content) + bytes(1) + content).hexdigest()}"'
        )
        self.front.extra[f"/{repo}/resolve/main/{name}"] = {"X-Repo-Commit": COMMIT}

    def error(self, repo, name, code, status=404, revision="main"):
        self.front.answers[f"/{repo}/resolve/{revision}/{name}"] = (
            status,
            {"X-Error-Code": code, "X-Repo-Commit": COMMIT},
            b"",
        )


@pytest.fixture
def repo(tmp_path, monkeypatch):
    monkeypatch.setattr(hub_utils, "CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_TOKEN", "")
    with serve() as front, serve() as store:
        front.answers["/"] = (200, {}, b"")
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", front.url)
        monkeypatch.setattr(
            huggingface_hub.constants,
            "HUGGINGFACE_CO_URL_TEMPLATE",
            front.url + "/{repo_id}/resolve/{revision}/{filename}",
        )
        yield Hub(front, store)


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return ConvTasNet(
        n_src=2, n_filters=8, kernel_size=4, n_repeats=1, n_blocks=1, bn_chan=4, hid_chan=4, skip_chan=4
    ).eval()


@pytest.fixture
def files(net, tmp_path):
    torch.save(net.serialize(), tmp_path / "x.bin")
    save_safetensors(net.serialize(), tmp_path / "x.safetensors", {"licence": "mit"})
    return {"bin": (tmp_path / "x.bin").read_bytes(), "safetensors": (tmp_path / "x.safetensors").read_bytes()}


def assert_same(model, net):
    assert all(torch.equal(value, net.state_dict()[name]) for name, value in model.state_dict().items())


def blobs(tmp_path):
    return [path for path in (tmp_path / "cache").rglob("*") if path.is_file() and path.parent.name == "blobs"]


def test_id_and_address_on_the_hub(repo, files, net):
    repo.add("org/net", "pytorch_model.bin", files["bin"])
    assert_same(load_model("org/net"), net)
    assert_same(BaseModel.from_pretrained("org/net"), net)
    assert_same(load_model("https://huggingface.co/org/net"), net)
    assert len([1 for method, _, _ in repo.store.requests if method == "GET"]) == 1  # the rest came from the cache


def test_a_revision(repo, files, net):
    repo.add("org/net", "pytorch_model.bin", files["bin"], revision="v1", commit=TAG_COMMIT)
    assert_same(load_model("org/net@v1"), net)


def test_a_repository_with_safetensors_alone(repo, files, net):
    repo.error("org/net", "pytorch_model.bin", "EntryNotFound")
    repo.add("org/net", "model.safetensors", files["safetensors"])
    assert_same(load_model("org/net"), net)
    assert_same(BaseModel.from_pretrained("org/net"), net)


def test_a_repository_of_another_implementation_has_one_file_of_weights(repo, files, net):
    for name in ("pytorch_model.bin", "model.safetensors"):
        repo.error("org/net", name, "EntryNotFound")
    repo.add("org/net", "955717e8.safetensors", files["safetensors"])
    listed = [{"rfilename": name} for name in ("README.md", "955717e8.safetensors", "net.yaml")]
    repo.front.add("/api/models/org/net", {"id": "org/net", "siblings": listed})
    assert_same(load_model("org/net"), net)
    repo.front.add("/api/models/org/net", {"id": "org/net", "siblings": [*listed, {"rfilename": "b.ckpt"}]})
    with pytest.raises(
        UserError, match="holds no model: .*; it has 955717e8.safetensors, b.ckpt: give the address of one"
    ):
        load_model("org/net")


def test_a_small_file_kept_in_git(repo, files, net):
    repo.add_small("org/net", "pytorch_model.bin", files["bin"])
    assert_same(load_model("org/net"), net)


def test_a_broken_download_is_continued_with_a_range(repo, files, net, monkeypatch):
    path = repo.add("org/net", "pytorch_model.bin", files["bin"])
    monkeypatch.setattr(huggingface_hub.constants, "DOWNLOAD_CHUNK_SIZE", 1024)
    repo.store.breaks[path] = [4096]
    assert_same(load_model("org/net"), net)
    assert repo.store.ranges_asked() == ["bytes=4096-"]


def test_content_with_another_hash_is_refused_and_removed(repo, files, tmp_path):
    changed = bytearray(files["bin"])
    changed[-1] ^= 1
    repo.add("org/net", "pytorch_model.bin", bytes(changed), sha256=hashlib.sha256(files["bin"]).hexdigest())
    with pytest.raises(UserError, match="its hash is not the .* that the hub stated; it was removed"):
        load_model("org/net")
    assert blobs(tmp_path) == []


def test_content_of_another_length_is_refused(repo, files, tmp_path):
    path = repo.add("org/net", "pytorch_model.bin", files["bin"])
    repo.store.files[path] = files["bin"] + b"more"
    with pytest.raises(UserError, match="from the hub: Consistency check failed"):
        load_model("org/net")
    assert blobs(tmp_path) == []


def test_a_cached_file_that_went_bad_is_refused_once_and_fetched_again(repo, files, net, tmp_path):
    repo.add("org/net", "pytorch_model.bin", files["bin"])
    load_model("org/net")
    blobs(tmp_path)[0].write_bytes(files["bin"][:-1] + b"?")
    with pytest.raises(UserError, match="its hash is not"):
        load_model("org/net")
    assert_same(load_model("org/net"), net)


@pytest.mark.parametrize(
    "code, status, hub_id, message",
    [
        ("RepoNotFound", 401, "org/net", "no file and no public hub repository 'org/net'"),
        ("RevisionNotFound", 404, "org/net@main", "'org/net' has no revision 'main'"),
        ("GatedRepo", 403, "org/net", "needs an access token"),
        ("EntryNotFound", 404, "org/net", "holds no model: expected is pytorch_model.bin or model.safetensors"),
    ],
)
def test_refusals_of_the_hub(repo, code, status, hub_id, message):
    for name in hub.FILES:
        repo.error("org/net", name, code, status)
    with pytest.raises(UserError, match=message):
        load_model(hub_id)


def test_without_network_the_cache_serves_and_the_rest_is_refused_at_once(repo, files, net, monkeypatch):
    repo.add("org/net", "pytorch_model.bin", files["bin"])
    load_model("org/net")
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(hub, "_client_download", _without_requests(hub._client_download))
    assert_same(load_model("org/net"), net)
    with pytest.raises(
        UserError, match="no connection to http://127.0.0.1:9 and nothing in the cache; is there a network"
    ):
        load_model("org/other")


def _without_requests(download):
    def offline_only(repo_id, name, revision, offline):
        assert offline
        return download(repo_id, name, revision, offline)

    return offline_only


@pytest.mark.parametrize("hub_id", ["org-/--x", "a..b/c"])
def test_what_the_client_does_not_take_for_an_id(repo, hub_id):
    with pytest.raises(UserError, match="is no hub id|no public hub repository"):
        load_model(hub_id)
