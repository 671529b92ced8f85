"""``fetch``: one file over HTTP, resumed where it broke off, checked, and renamed into place when it is whole."""

import errno
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from tqdm import tqdm

from .. import locks
from ..errors import UserError
from . import checksum as checksums

CHUNK = 1 << 16  # bytes; at most this much is lost when a transfer breaks off
TIMEOUT = (10, 60)  # seconds to connect, seconds without a byte
PROGRESS = 1 << 20  # bytes that make an attempt count as progress
_ATTEMPTS = 3  # at a document
_PASSING = {408, 425, 429, 500, 502, 503, 504}
_REASONS = {401: "it needs a login", 403: "access is refused", 404: "there is no such file", 410: "it was removed"}


class _BrokenOff(Exception):
    """This attempt failed in a way that another may not."""


def fetch(
    url: str,
    path: str | Path,
    checksum: str | None = None,
    size: int | None = None,
    progress: bool = True,
    attempts: int = 5,
    pause: float = 1.0,
) -> Path:
    """Download ``url`` to ``path``; an earlier attempt that broke off is continued.

    What has arrived lies in ``<path>.part`` until it is complete and verified, so that a later call resumes it
    (with an HTTP range, guarded by the server's entity tag). A file already in place is kept when its checksum (or,
    without one, its size) is the expected one, and replaced otherwise.

    Args:
        url: http or https address.
        path: the file to write; its folder is created.
        checksum: ``"md5:..."`` or ``"sha256:..."``.
        size: expected size in bytes.
        progress: show a progress bar on the terminal.
        attempts: how often in a row the transfer may fail without progress before we give up.
        pause: seconds before the second attempt; doubled for each further one.

    Returns:
        ``path``.

    Raises:
        UserError: no network, a refusal by the server, a transfer that keeps breaking off (the partial file stays
            for the next call), a full disk, or content that is not what was expected (the partial file is removed).
    """
    path = Path(path)
    if checksum is not None:
        checksums.parse(checksum)
    if _is_there(path, checksum, size):
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _only_one(path):
            if not _is_there(path, checksum, size):
                transfer = _Transfer(url, path, size, resumable=checksum is not None)
                _persist(transfer, attempts, pause, progress)
                _verify(transfer, checksum)
                transfer.finish()
    except OSError as error:
        if isinstance(error, requests.RequestException):
            raise UserError(f"cannot download {url}: {error}") from None
        raise UserError(_disk_trouble(url, path, error)) from None
    return path


def get_json(url: str) -> Any:
    """Fetch a JSON document.

    Raises:
        UserError: no network, a refusal, or an answer that is not JSON.
    """
    for attempt in range(_ATTEMPTS):
        if attempt:
            time.sleep(2.0 ** (attempt - 1))
        try:
            response = requests.get(url, headers={"Accept": "application/json"}, timeout=TIMEOUT)
            _check_status(response, url)
            return response.json()
        except (requests.ConnectionError, requests.Timeout, _BrokenOff) as error:
            failure = error
        except requests.JSONDecodeError as error:
            raise UserError(f"{url} did not answer with JSON: {error}") from None
        except requests.RequestException as error:
            raise UserError(f"cannot fetch {url}: {error}") from None
    raise UserError(_gave_up(url, failure, _ATTEMPTS))


class _Transfer:
    """The partial file of one download and what is known of the whole.

    Beside ``x.part`` lies ``x.part.json`` with the address and the server's validator (entity tag or date): only a
    part of the same version is continued.
    """

    def __init__(self, url: str, path: Path, size: int | None, resumable: bool) -> None:
        self.url, self.path, self.size = url, path, size
        self.part = path.with_name(path.name + ".part")
        self.notes = path.with_name(path.name + ".part.json")
        self.validator = self._remembered()
        if self.part.exists() and not (self.validator or resumable):
            self.discard()  # nothing could tell whether the rest belongs to this part

    @property
    def done(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def _remembered(self) -> str | None:
        try:
            notes = json.loads(self.notes.read_text(encoding="utf-8"))
            return notes["validator"] if notes["url"] == self.url else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def headers(self) -> dict[str, str]:
        wanted = {"Accept-Encoding": "identity"}
        if self.done:
            wanted["Range"] = f"bytes={self.done}-"
            if self.validator:
                wanted["If-Range"] = self.validator
        return wanted

    def accept(self, response: requests.Response) -> bool:
        """Learn size and version from the headers; start afresh where the server does not continue the part.

        Returns:
            Whether a body is to be read.
        """
        if response.status_code == 416:
            stated = response.headers.get("Content-Range", "").rpartition("/")[2]
            if stated.isdigit() and int(stated) == self.done and self.size in (None, self.done):
                return False  # we have it all already
            self.discard()
            raise _BrokenOff("the part on disk is longer than the file")
        total, start = _extent(response)
        if response.status_code == 206 and start != self.done:
            self.discard()
            raise _BrokenOff("the server continued at another place")
        if response.status_code == 200:
            self.part.unlink(missing_ok=True)
        if self.size is not None and total is not None and total != self.size:
            self.discard()
            raise UserError(f"{self.url} is refused: it has {total} bytes, expected are {self.size}")
        self.total = total if total is not None else self.size
        self._check_room()
        tag = response.headers.get("ETag", "")
        self.validator = tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified")
        self.notes.write_text(json.dumps({"url": self.url, "validator": self.validator}), encoding="utf-8")
        return True

    def _check_room(self) -> None:
        free = shutil.disk_usage(self.path.parent).free
        if self.total is not None and self.total - self.done > free:
            raise OSError(errno.ENOSPC, f"{self.total - self.done} bytes are missing, {free} are free")

    def discard(self) -> None:
        self.part.unlink(missing_ok=True)
        self.notes.unlink(missing_ok=True)
        self.validator = None

    def finish(self) -> None:
        os.replace(self.part, self.path)
        self.notes.unlink(missing_ok=True)


def _persist(transfer: _Transfer, attempts: int, pause: float, progress: bool) -> None:
    """Try until everything is there, or until ``attempts`` in a row brought nothing worth naming."""
    failures, reached = 0, False
    while True:
        before = transfer.done
        try:
            return _attempt(transfer, progress)
        except (
            _BrokenOff,
            requests.exceptions.ChunkedEncodingError,
            requests.exceptions.ContentDecodingError,
            requests.ConnectionError,
            requests.Timeout,
        ) as error:
            failure = error
            reached = reached or not isinstance(error, (requests.ConnectionError, requests.Timeout))
        failures = 1 if transfer.done - before >= PROGRESS else failures + 1
        if failures >= (attempts if reached else min(attempts, 3)):
            kept = f"; {transfer.done} bytes are kept, call again to continue" if transfer.done else ""
            raise UserError(_gave_up(transfer.url, failure, failures) + kept)
        time.sleep(pause * 2 ** (failures - 1))


def _attempt(transfer: _Transfer, progress: bool) -> None:
    with requests.get(transfer.url, headers=transfer.headers(), stream=True, timeout=TIMEOUT) as response:
        if response.status_code != 416:
            _check_status(response, transfer.url)
        if not transfer.accept(response):
            return
        with open(transfer.part, "ab") as part, _bar(transfer, progress) as bar:
            for chunk in response.iter_content(CHUNK):
                part.write(chunk)
                bar.update(len(chunk))
            part.flush()
            os.fsync(part.fileno())
    if transfer.total is not None and transfer.done != transfer.total:
        raise _BrokenOff(f"it broke off after {transfer.done} of {transfer.total} bytes")


def _check_status(response: requests.Response, url: str) -> None:
    status = response.status_code
    if status in _PASSING:
        raise _BrokenOff(f"the server answered {status} {response.reason}")
    if status >= 400:
        raise UserError(f"cannot download {url}: {_REASONS.get(status, 'the server refuses')} (HTTP {status})")


def _extent(response: requests.Response) -> tuple[int | None, int]:
    """Size of the whole file (None when unknown) and the offset at which this answer starts."""
    length = response.headers.get("Content-Length")
    if response.status_code != 206:
        return (int(length) if length is not None else None), 0
    span, _, total = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
    start = span.partition("-")[0]
    return (int(total) if total.isdigit() else None), (int(start) if start.isdigit() else -1)


def _verify(transfer: _Transfer, checksum: str | None) -> None:
    size, refused = transfer.done, f"{transfer.url} is refused"
    if transfer.size not in (None, size):
        transfer.discard()
        raise UserError(f"{refused}: it has {size} bytes, expected are {transfer.size}; the download was removed")
    if checksum is not None and not checksums.matches(transfer.part, checksum):
        found = checksums.of_file(transfer.part, checksums.parse(checksum)[0])
        transfer.discard()
        raise UserError(f"{refused}: its checksum is {found}, expected is {checksum}; the download was removed")


def _is_there(path: Path, checksum: str | None, size: int | None) -> bool:
    if not path.is_file() or (checksum is None and size is None):
        return False
    return size in (None, path.stat().st_size) and (checksum is None or checksums.matches(path, checksum))


def _gave_up(url: str, failure: Exception, attempts: int) -> str:
    host, unreachable = urlsplit(url).netloc, (requests.ConnectionError, requests.Timeout)
    if isinstance(failure, unreachable) and not isinstance(failure, requests.ReadTimeout):
        return f"cannot download {url}: no connection to {host}; is there a network?"
    return f"cannot download {url}: {host} broke off {attempts} times, last: {failure}"


def _disk_trouble(url: str, path: Path, error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            f"no room for {path}: the disk is full ({error.strerror}); free some and call again, the download continues"
        )
    return f"cannot write {path} (from {url}): {error.strerror or error}"


def _bar(transfer: _Transfer, progress: bool) -> tqdm:
    hidden: Any = None if progress else True  # None: where there is no terminal
    return tqdm(
        desc=transfer.path.name, total=transfer.total, initial=transfer.done, unit="B", unit_scale=True, disable=hidden
    )


@contextmanager
def _only_one(path: Path) -> Iterator[None]:
    """Keep a second process from writing the same part; it waits, then finds the file."""
    if locks.fcntl is None:
        yield
        return
    lock = path.with_name(path.name + ".lock")
    handle = None
    while handle is None:
        handle = open(lock, "w")
        locks.hold(handle, wait=True)
        if not lock.exists() or not os.path.samestat(os.fstat(handle.fileno()), lock.stat()):
            handle.close()
            handle = None  # the one before us removed this lock: take the new one
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)
        handle.close()
