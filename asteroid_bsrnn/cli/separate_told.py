"""What ``asteroid-bsrnn separate`` prints."""

import json
import math
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, TextIO


def as_json(value: Any) -> str:
    """JSON that the standard output can hold: with letters where it has them, else with their numbers."""
    text = json.dumps(value, ensure_ascii=False, indent=2)
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "ascii")
    except UnicodeEncodeError:
        return json.dumps(value, indent=2)
    return text


def say(text: str, stream: TextIO) -> None:
    """Print a line; where nobody reads any more, the work goes on."""
    with suppress(OSError):
        print(text, file=stream, flush=True)


def report(result: dict[str, Any], stream: TextIO) -> None:
    """Print what became of a recording; notes and errors go to the standard error."""
    from tqdm import tqdm

    with suppress(OSError):  # nobody reads any more; the songs go on
        for line, where in _lines(result, stream):
            tqdm.write(line, file=where)


def _lines(result: dict[str, Any], stream: TextIO) -> Iterator[tuple[str, TextIO]]:
    """What is told of a song, and where."""
    for remark in result.get("remarks", ()):
        yield f"note: {result['file']}: {remark}", sys.stderr
    if result["status"] == "failed":
        yield f"error: {result['error']}", sys.stderr
    elif result["status"] == "skipped":
        yield f"{result['file']}: skipped, its stems exist", stream
    else:
        folders = sorted({os.path.dirname(stem) for stem in result["stems"].values()})
        folder = folders[0] if len(folders) == 1 else os.path.commonpath(folders)
        speed = f"{result['seconds']:.1f} s, {1 / max(result['rtf'], 1e-9):.1f} times real time"
        yield f"{result['file']}: {', '.join(result['stems'])} in {folder} ({speed})", stream
        if result["gain"] != 1:
            level = f"{20 * math.log10(result['gain']):.2f} dB"
            yield f"{result['file']}: all stems have a gain of {level}, because one would clip", stream
