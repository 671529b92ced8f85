"""What is measured, kept per machine as JSON, and RESULTS.md made of it."""

import platform
import re
import subprocess
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path

import torch

from asteroid_bsrnn.common.files import read_json, write_json, write_text

HERE = Path(__file__).parent
PACKAGES = ("asteroid_bsrnn", "torch", "asteroid", "numpy", "museval", "soundfile")


class Block:
    """Markdown and targets of one benchmark.

    Args:
        title (str): heading.
    """

    def __init__(self, title):
        self.title, self.parts, self.targets = title, [], []

    def text(self, paragraph):
        """Add a paragraph."""
        self.parts.append(paragraph)

    def table(self, header, rows):
        """Add a table; cells are anything that prints."""
        lines = ["| " + " | ".join(map(str, row)) + " |" for row in (header, ["---"] * len(header), *rows)]
        self.parts.append("\n".join(lines))

    def target(self, what, wanted, reached, limit="", at_most=False):
        """Add a line to the table of targets.

        Args:
            what (str): the figure.
            wanted (float): the ratio that is aimed at.
            reached (float): the ratio that was measured.
            limit (str): what keeps it from more.
            at_most (bool): whether smaller is better.
        """
        met = reached <= wanted if at_most else reached >= wanted
        sign = "<=" if at_most else ">="
        entry = {
            "what": what,
            "wanted": f"{sign} {wanted:g}x",
            "reached": f"{reached:.2f}x",
            "met": met,
            "limit": limit,
        }
        self.targets.append(entry)

    def as_dict(self):
        """For JSON."""
        return {"title": self.title, "parts": self.parts, "targets": self.targets, **_origin()}


def machine():
    """Name and facts of this machine."""
    facts = {
        "processor": _processor(),
        "cores": torch.get_num_threads(),
        "memory": f"{_memory_gib():.0f} GiB",
        "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }
    name = facts["accelerator"] if torch.cuda.is_available() else f"{facts['processor']}, {facts['cores']} threads"
    return name, facts


def save(blocks, folder=HERE):
    """Keep ``blocks`` (name -> :class:`Block`) as this machine's newest numbers and write RESULTS.md of all machines."""
    name, facts = machine()
    path = Path(folder) / "machines" / (re.sub(r"\W+", "-", name).strip("-").lower() + ".json")
    known = read_json(path)["blocks"] if path.exists() else {}
    known.update({key: block.as_dict() for key, block in blocks.items()})
    write_json(path, {"name": name, "facts": facts, "blocks": known})
    machines = [read_json(file) for file in sorted(path.parent.glob("*.json"))]
    file = Path(folder) / "RESULTS.md"
    cards = re.findall(
        r"^## A card: .*?(?=^## |\Z)", file.read_text("utf-8") if file.exists() else "", flags=re.M | re.S
    )
    write_text(file, "\n".join([render(machines), *(text.rstrip() + "\n" for text in cards)]))


def render(machines):
    """RESULTS.md as text."""
    lines = [
        "# Results of the benchmarks",
        "",
        "Written by `python -m benchmarks`. Each ratio is taken against a baseline in the same run, in turn; given are the",
        "median over the repeats and, in brackets, least and most. The baseline of the music models is the textbook",
        "implementation in `benchmarks/baseline.py`, with the same weights and equal outputs.",
    ]
    for entry in machines:
        lines += [
            "",
            f"## {entry['name']}",
            "",
            "; ".join(f"{key}: {value}" for key, value in entry["facts"].items()) + ".",
        ]
        blocks = entry["blocks"].values()
        targets = [target for block in blocks for target in block["targets"]]
        if targets:
            lines += ["", "| Target | wanted | reached | met | what limits it |", "| --- | --- | --- | --- | --- |"]
            lines += [
                "| {what} | {wanted} | {reached} | {} | {limit} |".format("yes" if t["met"] else "no", **t)
                for t in targets
            ]
        for block in blocks:
            lines += ["", f"### {block['title']}", ""]
            lines += [line for part in block["parts"] for line in (part, "")]
            lines += [f"Measured {block['date']} at commit {block['commit']}; {block['versions']}."]
    return "\n".join(lines) + "\n"


def _origin():
    versions = ", ".join(f"{name} {_version(name)}" for name in PACKAGES)
    return {
        "commit": _commit(),
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "versions": versions,
    }


def _version(name):
    try:
        return version(name)
    except ModuleNotFoundError:
        return "not installed"


def _commit():
    def git(*words):
        return subprocess.run(["git", *words], cwd=HERE, capture_output=True, text=True).stdout.strip()

    commit = git("rev-parse", "--short", "HEAD") or "unknown"
    results = [f":(exclude){name}" for name in ("RESULTS.md", "machines", "figures")]  # what a run itself changes
    return commit + (
        " with changes" if git("status", "--porcelain", "--untracked-files=no", ":(top)", *results) else ""
    )


def _processor():
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        found = re.search(r"model name\s*: (.+)", cpuinfo.read_text())
        if found:
            return found[1].strip()
    return platform.processor() or platform.machine()


def _memory_gib():
    meminfo = Path("/proc/meminfo")
    return int(re.search(r"MemTotal:\s+(\d+)", meminfo.read_text())[1]) / 2**20 if meminfo.exists() else float("nan")
