"""Groups of parts, the most important first, each in a process of its own that ends when its share of the time is over."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
GROUPS = {
    "acceptance": 0.34,
    "speed": 0.34,
    "endurance": 0.18,
    "lstm": 0.14,
}  # shares of the time, in order of importance
GRACE = 20.0  # s that a group may go on after its last part should have begun
Result = dict[str, Any]  # part, name; ok (None: no verdict), value, limit, text; skipped: why there is none


class Setting(NamedTuple):
    """What every part is told.

    Attributes:
        device: ``"cuda"`` or ``"cpu"``.
        dry: tiny sizes, to see that everything runs.
        deadline: moment (``time.time()``) after which no part begins.
    """

    device: str
    dry: bool
    deadline: float


def result(name: str, ok: bool | None = None, value: Any = None, limit: Any = None, text: str = "") -> Result:
    """One line of what is written."""
    return {"name": name, "ok": ok, "value": value, "limit": limit, "text": text}


def within(name: str, value: float, limit: float, text: str = "") -> Result:
    """A number that must not be above its limit."""
    return result(name, value <= limit, value, limit, text)


def each(setting: Setting, parts: dict[str, Callable[[], Result]]) -> Iterator[Result]:
    """Results of the parts in turn: a failure is one too, a missing package or lack of time a note."""
    for name, part in parts.items():
        if time.time() > setting.deadline:
            yield {"name": name, "skipped": "no time was left"}
            continue
        try:
            yield part()
        except ImportError as error:
            yield {"name": name, "skipped": f"{error} (a package is missing here)"}
        except Exception as error:
            yield result(
                name, False, text=f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
            )


def run_groups(
    minutes: float, device: str, dry: bool, keep: Callable[[list[Result]], None], command: Any = None
) -> list[Result]:
    """Run every group; ``keep`` is given all results so far whenever there is one more.

    Args:
        command: group, deadline -> command line; for tests.
    """
    found: list[Result] = []
    end, shares = time.time() + 60 * minutes, dict(GROUPS)
    while shares:
        group, share = next(iter(shares.items()))
        start = time.time()
        deadline = start + max(end - start, 0) * share / sum(shares.values())
        del shares[group]
        for entry in _run(command or _command, group, deadline, device, dry):
            found.append({"part": group, **entry})
            keep(found)
    return found


def _command(group: str, deadline: float, device: str, dry: bool) -> list[str]:
    words = [sys.executable, "-m", "benchmarks.gpu", "--group", group, "--deadline", str(deadline), "--device", device]
    return words + (["--dry"] if dry else [])


def _run(command: Any, group: str, deadline: float, device: str, dry: bool) -> Iterator[Result]:
    """What a process says, line by line, until it ends or must."""
    environment = {**os.environ, "CUBLAS_WORKSPACE_CONFIG": ":4096:8", "PYTHONWARNINGS": "ignore"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    words = command(group, deadline, device, dry)
    process = subprocess.Popen(words, cwd=ROOT, env=environment, start_new_session=True, **pipes)
    lines: queue.Queue[str | None] = queue.Queue()
    errors: list[str] = []
    threading.Thread(target=_read, args=(process.stdout, lines), daemon=True).start()
    threading.Thread(target=lambda: errors.extend(process.stderr or ()), daemon=True).start()
    try:
        while True:
            line = lines.get(timeout=max(deadline + GRACE - time.time(), 0.1))
            if line is None:
                break
            if line.startswith("{"):
                yield json.loads(line)
        if process.wait(GRACE):
            last = errors[-1].strip() if errors else "nothing was said"
            yield result(group, False, text=f"its process ended with {process.returncode}: {last}")
    except (queue.Empty, subprocess.TimeoutExpired):
        yield {"name": group, "skipped": "the rest: its time was over"}
    finally:
        with suppress(ProcessLookupError):  # with what it has started itself
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _read(stream: Any, lines: "queue.Queue[str | None]") -> None:
    for line in stream:
        lines.put(line)
    lines.put(None)
