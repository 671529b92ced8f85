"""Claims: who works on what, among processes that know nothing of each other but a folder.

A claim is a file that only one process can create. Its owner touches it now and then and, where there are locks, holds
one on it, which ends with the process however that ends. A claim is stale when its owner was on this machine and holds
the lock no more, or when it was not touched for a while, by the clock of whoever looks: clocks are never compared. A
stale one is taken over by creating the next file, 1 beside 0: of all that try, one succeeds, and nothing is removed that
another might just have made. Whoever has a claim must then look whether the work was done in the meantime: owners
write down what they did before they let go.
"""

import json
import os
import platform
import secrets
import threading
import time
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path

from ...common import locks

STALE_SECONDS = 120.0
_BEATS = 6  # touches in that time
_TRIES = 100


class Claim:
    """Work that this process has to itself.

    Args:
        path: the file.
        file: its descriptor, which holds the lock; None where there are no locks.
        token: what the file says.

    Attributes:
        taken_over: whether somebody began this work and did not finish it.
    """

    def __init__(self, path: Path, file: int | None, token: str) -> None:
        self.path, self.file, self.token = path, file, token
        self.taken_over = path.name != "0"

    def mine(self) -> bool:
        """Whether nobody has taken it over, as may happen to a process that stood still for long."""
        return _generations(self.path.parent)[-1:] == [int(self.path.name)] and _read(self.path)[0] == self.token

    def release(self) -> None:
        """Let others have it. Older files go first: whoever looks in between sees the work taken."""
        if self.mine():
            for number in _generations(self.path.parent):
                (self.path.parent / str(number)).unlink(missing_ok=True)
        self.close()
        with suppress(OSError):  # somebody has a newer one
            self.path.parent.rmdir()

    def close(self) -> None:
        """Hold the lock no more."""
        if self.file is not None:
            os.close(self.file)


class Claims:
    """The claims of this process in a folder, as a context: what is still held at its end is let go.

    Args:
        folder: shared by all processes.
        stale: seconds after which an untouched claim is stale.
    """

    def __init__(self, folder: str | Path, stale: float = STALE_SECONDS) -> None:
        self.folder, self.stale = Path(folder), stale
        self.held: dict[str, Claim] = {}
        self.seen: dict[Path, tuple[tuple[str, float], float]] = {}
        self.lock, self.ended = threading.Lock(), threading.Event()

    def __enter__(self) -> "Claims":
        self.folder.mkdir(parents=True, exist_ok=True)
        threading.Thread(target=self._beat, daemon=True, name="claims").start()
        return self

    def __exit__(self, *error: object) -> None:
        self.ended.set()
        for name in list(self.held):
            self.release(name)

    def take(self, name: str) -> Claim | None:
        """Claim a piece of work, or None if somebody is at it."""
        folder = self.folder / blake2b(name.encode("utf-8", "surrogateescape"), digest_size=10).hexdigest()
        for _ in range(_TRIES):
            folder.mkdir(parents=True, exist_ok=True)
            try:
                claim = self._try(folder)
            except FileNotFoundError:  # its last owner has just tidied up
                continue
            if claim is not None:
                with self.lock:
                    self.held[name] = claim
            return claim
        return None

    def release(self, name: str) -> None:
        """Let others have a piece of work."""
        with self.lock:
            claim = self.held.pop(name)
        claim.release()

    def _try(self, folder: Path) -> Claim | None:
        before = _generations(folder)
        old = _read(folder / str(before[-1]))[0] if before else ""
        if before and not self._stale(folder / str(before[-1])):
            return None
        number = before[-1] + 1 if before else 0
        claim = _create(folder / str(number))
        if claim is None:
            return None
        after = _generations(folder)
        below = folder / str(number - 1)
        if after[-1] > number or (number - 1 in after and _read(below)[0] not in (old, "")):
            claim.path.unlink(missing_ok=True)
            claim.close()
            return None
        return claim

    def _stale(self, path: Path) -> bool:
        token, machine, touched = _read(path)
        if machine == _MACHINE and _unlocked(path):
            return True
        state, now = (token, touched), time.monotonic()
        known, since = self.seen.get(path, (None, now))
        if known != state:
            self.seen[path] = (state, now)
            return False
        return now - since > self.stale

    def _beat(self) -> None:
        while not self.ended.wait(self.stale / _BEATS):
            with self.lock:
                held = list(self.held.values())
            for claim in held:
                with suppress(OSError):  # released meanwhile
                    os.utime(claim.path)


def _machine() -> str:
    """What tells this machine, since it was started, from others."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return platform.node()


_MACHINE = _machine()


def _create(path: Path) -> Claim | None:
    """A claim of its own, locked before it says whose it is; None if somebody was faster."""
    try:
        file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666)
    except FileExistsError:
        return None
    locks.hold(file)
    token = secrets.token_hex(8)
    owner = {"token": token, "machine": _MACHINE, "host": platform.node(), "pid": os.getpid()}
    os.write(file, json.dumps(owner).encode())
    if locks.fcntl is None:  # Windows removes no file that is open
        os.close(file)
        return Claim(path, None, token)
    return Claim(path, file, token)


def _generations(folder: Path) -> list[int]:
    """Numbers of the files of one piece of work, rising; none where nobody has begun it."""
    try:
        return sorted(int(name) for name in os.listdir(folder) if name.isdigit())
    except FileNotFoundError:
        return []


def _read(path: Path) -> tuple[str, str, float]:
    """Token, machine and time of the last touch; empty texts while its owner is still writing them."""
    try:
        owner, touched = json.loads(path.read_text(encoding="utf-8")), path.stat().st_mtime
        return owner["token"], owner["machine"], touched
    except FileNotFoundError:
        return "", "", 0.0
    except ValueError:
        return "", "", path.stat().st_mtime


def _unlocked(path: Path) -> bool:
    """Whether nobody holds the lock, on a machine that has locks."""
    try:
        with open(path, "rb") as found:
            return locks.hold(found)
    except OSError:
        return False
