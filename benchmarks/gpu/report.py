"""What was found, as JSON and as a section of RESULTS.md; with the standard library alone, whatever is missing here."""

import json
import platform
import re
import subprocess
import time
from pathlib import Path
from typing import Any

HEADING = "## A card: "


def facts() -> dict[str, Any]:
    """The card and what runs it."""
    import torch

    there = torch.cuda.is_available()
    found = {
        "card": torch.cuda.get_device_name() if there else None,
        "cards": torch.cuda.device_count(),
        "memory_gib": round(torch.cuda.get_device_properties(0).total_memory / 2**30, 1) if there else None,
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "python": platform.python_version(),
        "commit": _commit(),
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
    }
    return found


def _commit() -> str:
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    try:
        return subprocess.run(command, capture_output=True, text=True).stdout.strip() or "unknown"
    except OSError:
        return "unknown"


def line(entry: dict[str, Any]) -> str:
    """One result for the eye."""
    if "skipped" in entry:
        return f"{entry['part']}: {entry['name']}: skipped: {entry['skipped']}"
    verdict = {True: "ok", False: "NOT OK", None: ""}[entry["ok"]]
    return " ".join(filter(None, (f"{entry['part']}: {entry['name']}:", verdict, _numbers(entry), entry["text"])))


def _numbers(entry: dict[str, Any]) -> str:
    value, limit = entry["value"], entry["limit"]
    shown = f"{value:.3g}" if isinstance(value, float) else "" if value is None else str(value)
    return shown + (f" (at most {limit:g})" if limit is not None else "")


def write(results: list[dict[str, Any]], out: Path, section: bool = False) -> None:
    """``gpu/<card>.json``, and at the end its section of RESULTS.md in the place of an older one of the same card."""
    about = facts()
    name = about["card"] or "dry form, no card"
    path = out / "gpu_results" / (re.sub(r"\W+", "-", name).strip("-").lower() + ".json")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"facts": about, "results": results}, indent=1) + "\n", encoding="utf-8")
    if not section:
        return
    file = out / "RESULTS.md"
    old = file.read_text(encoding="utf-8") if file.exists() else "# Results of the benchmarks\n"
    file.write_text(_without(old, name).rstrip() + "\n\n" + markdown(name, about, results), encoding="utf-8")


def _without(text: str, name: str) -> str:
    """RESULTS.md without the section of this card."""
    return re.sub(rf"^{re.escape(HEADING + name)}\n.*?(?=^## |\Z)", "", text, flags=re.M | re.S)


def markdown(name: str, about: dict[str, Any], results: list[dict[str, Any]]) -> str:
    """The section."""
    lines = [f"{HEADING}{name}", "", "; ".join(f"{key}: {value}" for key, value in about.items()) + ".", ""]
    lines += ["Written by `python -m benchmarks.gpu`. Without a verdict: measured, nothing is promised.", ""]
    for part in dict.fromkeys(entry["part"] for entry in results):
        lines += [f"### {part}", "", "| what | verdict | value | |", "| --- | --- | --- | --- |"]
        for entry in (entry for entry in results if entry["part"] == part):
            if "skipped" in entry:
                lines.append(f"| {entry['name']} | skipped | | {entry['skipped']} |")
            else:
                verdict = {True: "yes", False: "**no**", None: ""}[entry["ok"]]
                lines.append(f"| {entry['name']} | {verdict} | {_numbers(entry)} | {entry['text']} |")
        lines.append("")
    return "\n".join(lines)
