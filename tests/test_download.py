"""Downloads resume, are verified, fail in one sentence, and leave nothing half-done."""

import errno
import hashlib
import io
import os
import socket
import tarfile
import threading
import zipfile

import pytest
from loopback import serve

from asteroid_bsrnn.common.download import fetch, http, unpack, zenodo_record
from asteroid_bsrnn.common.errors import UserError

CHUNK = http.CHUNK
CONTENT = bytes(range(256)) * 4000
MD5 = "md5:" + hashlib.md5(CONTENT).hexdigest()
SHA = "sha256:" + hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server():
    with serve() as loopback:
        yield loopback


def get(url, path, **kwargs):
    return fetch(url, path, progress=False, pause=0.01, **kwargs)


def names(folder):
    return sorted(entry.name for entry in folder.iterdir())


@pytest.mark.parametrize("checksum", [None, MD5, SHA])
def test_a_file_arrives_whole_and_alone(server, tmp_path, checksum):
    path = get(server.add("/a.bin", CONTENT), tmp_path / "sub" / "a.bin", checksum=checksum, size=len(CONTENT))
    assert path.read_bytes() == CONTENT
    assert names(tmp_path / "sub") == ["a.bin"]


def test_a_file_in_place_is_not_fetched_again(server, tmp_path):
    url = server.add("/a.bin", CONTENT)
    (tmp_path / "a.bin").write_bytes(CONTENT)
    get(url, tmp_path / "a.bin", checksum=MD5)
    get(url, tmp_path / "a.bin", size=len(CONTENT))
    assert server.requests == []
    (tmp_path / "a.bin").write_bytes(b"old")
    assert get(url, tmp_path / "a.bin", checksum=MD5).read_bytes() == CONTENT


def test_a_broken_transfer_goes_on_where_it_stopped(server, tmp_path):
    url = server.add("/a.bin", CONTENT)
    server.breaks["/a.bin"] = [5 * CHUNK, 3 * CHUNK]
    assert get(url, tmp_path / "a.bin", checksum=MD5).read_bytes() == CONTENT
    assert server.ranges_asked() == [f"bytes={5 * CHUNK}-", f"bytes={8 * CHUNK}-"]


def test_a_later_call_resumes_the_partial_file(server, tmp_path):
    url = server.add("/a.bin", CONTENT)
    server.breaks["/a.bin"] = [CHUNK] * 4
    with pytest.raises(UserError, match=r"broke off 2 times.*131072 bytes are kept"):
        get(url, tmp_path / "a.bin", attempts=2)
    assert names(tmp_path) == ["a.bin.part", "a.bin.part.json"]
    server.breaks["/a.bin"] = []
    assert get(url, tmp_path / "a.bin").read_bytes() == CONTENT
    assert server.ranges_asked()[-1] == "bytes=131072-"
    assert names(tmp_path) == ["a.bin"]


def test_progress_resets_the_count_of_failures(server, tmp_path, monkeypatch):
    monkeypatch.setattr(http, "PROGRESS", 100_000)
    url = server.add("/a.bin", CONTENT)
    server.breaks["/a.bin"] = [2 * CHUNK] * 6
    assert get(url, tmp_path / "a.bin", attempts=2).read_bytes() == CONTENT


def test_a_changed_file_is_not_glued_to_the_old_part(server, tmp_path):
    url = server.add("/a.bin", CONTENT)
    server.breaks["/a.bin"] = [CHUNK]
    with pytest.raises(UserError):
        get(url, tmp_path / "a.bin", attempts=1)
    other = CONTENT[::-1]
    server.add("/a.bin", other)
    assert get(url, tmp_path / "a.bin").read_bytes() == other


def test_without_validator_or_checksum_a_part_is_not_trusted(server, tmp_path):
    url = server.add("/a.bin", CONTENT)
    server.etags["/a.bin"] = None
    (tmp_path / "a.bin.part").write_bytes(b"something else")
    assert get(url, tmp_path / "a.bin").read_bytes() == CONTENT
    assert server.ranges_asked() == []


def test_a_server_without_ranges_starts_over(server, tmp_path):
    url = server.add("/a.bin", CONTENT)
    server.ranges, server.breaks["/a.bin"] = False, [CHUNK]
    assert get(url, tmp_path / "a.bin", checksum=MD5).read_bytes() == CONTENT


def test_a_server_that_continues_elsewhere_is_not_believed(server, tmp_path):
    url = server.add("/a.bin", CONTENT)
    (tmp_path / "a.bin.part").write_bytes(CONTENT[:CHUNK])
    headers = {"Content-Range": f"bytes {2 * CHUNK}-{len(CONTENT) - 1}/{len(CONTENT)}"}
    server.answers["/a.bin"] = (206, headers, CONTENT[2 * CHUNK :])
    with pytest.raises(UserError, match="the server continued at another place"):
        get(url, tmp_path / "a.bin", checksum=MD5)
    assert names(tmp_path) == []


def test_a_complete_part_is_only_verified(server, tmp_path):
    url = server.add("/a.bin", CONTENT)
    (tmp_path / "a.bin.part").write_bytes(CONTENT)
    assert get(url, tmp_path / "a.bin", checksum=MD5).read_bytes() == CONTENT
    (tmp_path / "a.bin").unlink()
    (tmp_path / "a.bin.part").write_bytes(CONTENT + b"more")
    assert get(url, tmp_path / "a.bin", checksum=MD5).read_bytes() == CONTENT


def test_busy_servers_are_asked_again(server, tmp_path):
    url = server.add("/a.bin", CONTENT)
    server.answers["/a.bin"] = (503, {}, b"")
    with pytest.raises(UserError, match="broke off 3 times, last: the server answered 503"):
        get(url, tmp_path / "a.bin", attempts=3)
    assert server.gets("/a.bin") == 3


@pytest.mark.parametrize(
    "checksum, size, message",
    [
        ("md5:" + "0" * 32, None, "is refused: its checksum is md5:.*expected is md5:000"),
        ("sha256:" + "0" * 64, None, "is refused: its checksum is sha256:"),
        (None, 17, "is refused: it has 1024000 bytes, expected are 17"),
    ],
)
def test_other_content_than_expected_is_refused_and_removed(server, tmp_path, checksum, size, message):
    with pytest.raises(UserError, match=message):
        get(server.add("/a.bin", CONTENT), tmp_path / "a.bin", checksum=checksum, size=size)
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    "status, message", [(404, "there is no such file"), (403, "access is refused"), (401, "login"), (418, "refuses")]
)
def test_a_refusal_is_final(server, tmp_path, status, message):
    server.answers["/a.bin"] = (status, {}, b"")
    with pytest.raises(UserError, match=rf"{message} \(HTTP {status}\)"):
        get(server.url + "/a.bin", tmp_path / "a.bin")
    assert server.gets("/a.bin") == 1
    assert names(tmp_path) == []


def test_no_connection_is_said_in_one_sentence(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(UserError, match=rf"no connection to 127.0.0.1:{port}; is there a network\?"):
        get(f"http://127.0.0.1:{port}/a.bin", tmp_path / "a.bin")


@pytest.mark.parametrize("url", ["htp://x/a", "no address", "http://", "ftp://127.0.0.1/x"])
def test_no_address(tmp_path, url):
    with pytest.raises(UserError, match="cannot download"):
        get(url, tmp_path / "a.bin")


@pytest.mark.parametrize("checksum", ["0" * 32, "md5:abc", "sha1:" + "0" * 40, "md5:" + "g" * 32])
def test_a_malformed_checksum_is_refused_before_any_request(server, tmp_path, checksum):
    with pytest.raises(UserError, match="is not of the form"):
        get(server.add("/a.bin", CONTENT), tmp_path / "a.bin", checksum=checksum)
    assert server.requests == []


def test_too_little_room_is_noticed_before_anything_is_written(server, tmp_path, monkeypatch):
    monkeypatch.setattr(http.shutil, "disk_usage", lambda place: _Usage(10))
    with pytest.raises(UserError, match="the disk is full"):
        get(server.add("/a.bin", CONTENT), tmp_path / "a.bin")
    assert names(tmp_path) == []


class _Usage:
    def __init__(self, free):
        self.free = free


def test_a_disk_that_fills_up_keeps_the_part(server, tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(http.os, "fsync", full)
    with pytest.raises(UserError, match="the disk is full.*the download continues"):
        get(server.add("/a.bin", CONTENT), tmp_path / "a.bin")
    assert "a.bin.part" in names(tmp_path) and "a.bin" not in names(tmp_path)


@pytest.mark.skipif(os.name != "posix", reason="file locks of Unix")
def test_two_at_once_write_one_good_file(server, tmp_path):
    url = server.add("/a.bin", CONTENT)
    threads = [threading.Thread(target=get, args=(url, tmp_path / "a.bin"), kwargs={"checksum": MD5}) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "a.bin").read_bytes() == CONTENT
    assert server.gets("/a.bin") == 1
    assert names(tmp_path) == ["a.bin"]


def make_zip(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def make_tar(path, members, kind=tarfile.REGTYPE):
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size, info.type, info.linkname = len(content) if kind == tarfile.REGTYPE else 0, kind, "/etc/passwd"
            archive.addfile(info, io.BytesIO(content))
    return path


@pytest.mark.parametrize("make, suffix", [(make_zip, "zip"), (make_tar, "tar.gz")])
def test_unpacking(tmp_path, make, suffix):
    members = {"train/a/mixture.wav": b"x" * 1000, "test/b c/vocals.wav": b"y", "read me": b""}
    archive = make(tmp_path / f"songs.{suffix}", members)
    files = unpack(archive, tmp_path / "out")
    assert {str(file.relative_to(tmp_path / "out")): file.read_bytes() for file in files} == members
    assert names(tmp_path) == ["out", archive.name]


def test_unzip_adds_to_a_folder_but_never_overwrites(tmp_path):
    archive = make_zip(tmp_path / "a.zip", {"train/a": b"1"})
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_bytes(b"2")
    unpack(archive, tmp_path / "out")
    assert names(tmp_path / "out") == ["mine", "train"]
    with pytest.raises(UserError, match="already holds 'train'"):
        unpack(archive, tmp_path / "out")
    assert (tmp_path / "out" / "train" / "a").read_bytes() == b"1"


@pytest.mark.parametrize("name", ["../out.txt", "/abs.txt", "a/../../b", "..\\b", "c:/b"])
@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_members_that_lead_outside_are_refused(tmp_path, make, name):
    archive = make(tmp_path / "evil", {"good": b"1", name: b"2"})
    with pytest.raises(UserError, match="leads outside the folder"):
        unpack(archive, tmp_path / "deep" / "out")
    assert names(tmp_path) == ["evil"]


def test_links_and_devices_are_refused(tmp_path):
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):
        with pytest.raises(UserError, match="is a link or device"):
            unpack(make_tar(tmp_path / "evil.tar.gz", {"link": b""}, kind), tmp_path / "out")
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        link = zipfile.ZipInfo("link")
        link.create_system, link.external_attr = 3, 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(UserError, match="is a link or device"):
        unpack(tmp_path / "evil.zip", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_tar_that_names_a_file_and_then_a_folder_of_that_name_is_refused(tmp_path):
    with tarfile.open(tmp_path / "odd.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo("a"), io.BytesIO(b""))
        folder = tarfile.TarInfo("a")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
    with pytest.raises(UserError, match="is refused: its member 'a' is a file and then something else"):
        unpack(tmp_path / "odd.tar", tmp_path / "out")
    assert names(tmp_path) == ["odd.tar"]


@pytest.mark.parametrize("cut", [10, 200, -30])
def test_truncated_archives_leave_nothing(tmp_path, cut):
    for make in (make_zip, make_tar):
        archive = make(tmp_path / "a", {"one": os.urandom(3000), "two": os.urandom(3000)})
        archive.write_bytes(archive.read_bytes()[:cut])
        with pytest.raises(UserError, match="truncated|damaged"):
            unpack(archive, tmp_path / "out")
    assert names(tmp_path) == ["a"]


def test_a_flipped_bit_in_a_zip_is_noticed(tmp_path):
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as file:
        file.writestr("one", b"\0" * 3000)
    content = bytearray(archive.read_bytes())
    content[1500] ^= 1
    archive.write_bytes(content)
    with pytest.raises(UserError, match="damaged"):
        unpack(archive, tmp_path / "out")
    assert names(tmp_path) == ["a.zip"]


def test_an_archive_larger_than_the_disk_is_refused(tmp_path, monkeypatch):
    archive = make_zip(tmp_path / "a.zip", {"one": b"1" * 1000})
    monkeypatch.setattr("asteroid_bsrnn.common.download.archive.shutil.disk_usage", lambda place: _Usage(999))
    with pytest.raises(UserError, match="needs 1000 bytes, 999 are free"):
        unpack(archive, tmp_path / "out")


@pytest.mark.parametrize("content", [b"", b"no archive at all"])
def test_what_is_no_archive(tmp_path, content):
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(UserError, match="is no zip or tar archive"):
        unpack(tmp_path / "a.zip", tmp_path / "out")
    with pytest.raises(UserError, match="there is no such file"):
        unpack(tmp_path / "b.zip", tmp_path / "out")


FILE = {"name": "a.zip", "size": 12, "checksum": "md5:" + "1" * 32, "url": "http://x/content"}


@pytest.mark.parametrize(
    "files",
    [
        [{"key": "a.zip", "size": 12, "checksum": "md5:" + "1" * 32, "links": {"self": "http://x/content"}}],
        [
            {
                "filename": "a.zip",
                "filesize": 12,
                "checksum": "1" * 32,
                "links": {"download": "http://x/content", "self": "http://x/meta"},
            }
        ],
        {
            "entries": {
                "a.zip": {
                    "size": 12,
                    "checksum": "md5:" + "1" * 32,
                    "links": {"self": "http://x/meta", "content": "http://x/content"},
                }
            }
        },
        {
            "entries": [
                {"key": "a.zip", "size": 12, "checksum": "md5:" + "1" * 32, "links": {"content": "http://x/content"}}
            ]
        },
    ],
)
def test_every_form_of_the_records_api(server, files):
    server.add("/api/records/7", {"files": files, "metadata": {"title": "Weights", "license": {"id": "cc-by-4.0"}}})
    record = zenodo_record(7, api=server.url + "/api/")
    assert record["files"] == [FILE]
    assert (record["title"], record["licence"]) == ("Weights", "cc-by-4.0")


def test_files_behind_a_link_and_the_address_from_the_environment(server, monkeypatch):
    entry = {"key": "a.zip", "size": 12, "checksum": FILE["checksum"], "links": {"content": FILE["url"]}}
    server.add("/records/7", {"links": {"files": server.url + "/records/7/files"}, "metadata": {}})
    server.add("/records/7/files", {"entries": [entry]})
    monkeypatch.setenv("ASTEROID_BSRNN_ZENODO_API", server.url)
    assert zenodo_record(7)["files"] == [FILE]


@pytest.mark.parametrize(
    "metadata, licence",
    [
        ({}, "not stated"),
        ({"license": "mit"}, "mit"),
        ({"rights": [{"id": "cc-by-nc-4.0"}]}, "cc-by-nc-4.0"),
        ({"rights": [{"title": {"en": "Ours"}}]}, "Ours"),
        ({"license": []}, "not stated"),
    ],
)
def test_the_licence_is_what_the_record_states(server, metadata, licence):
    entry = {"key": "a", "size": 1, "checksum": FILE["checksum"], "links": {"self": "x"}}
    server.add("/records/7", {"files": [entry], "metadata": metadata})
    assert zenodo_record(7, api=server.url)["licence"] == licence


@pytest.mark.parametrize(
    "answer, message",
    [
        ({"files": []}, "lists no files"),
        ({}, "lists no files"),
        ({"files": [{"key": "a"}]}, "gives no address"),
        ({"files": [{"key": "a", "links": {"self": "x"}}]}, "a form that is not known here"),
        ([1], "a form that is not known here"),
        (b"<html>", "did not answer with JSON"),
    ],
)
def test_unreadable_answers(server, answer, message):
    server.add("/records/7", answer)
    with pytest.raises(UserError, match=message):
        zenodo_record(7, api=server.url)


def test_no_such_record(server):
    with pytest.raises(UserError, match="HTTP 404"):
        zenodo_record(8, api=server.url)
