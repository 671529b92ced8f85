"""A queue that takes what submitit gives to SLURM, and runs it when a test says so: sbatch and srun on the PATH."""

import os
import re
import signal
import subprocess
from pathlib import Path

_SBATCH = """#!/usr/bin/env bash
number=$(($(ls "{queue}" | wc -l) + 1))
cp "${{@: -1}}" "{queue}/$number.sh"
echo "Submitted batch job $number"
"""
_SRUN = """#!/usr/bin/env bash
while [ $# -gt 0 ]; do case "$1" in
  --output | --error) shift 2 ;;
  --*) shift ;;
  *) break ;;
esac; done
exec "$@"
"""
_SCONTROL = """#!/usr/bin/env bash
echo "$*" >> "{queue}.scontrol"
"""


class StandIn:
    """The queue.

    Args:
        folder: for it and the programs.
        monkeypatch: puts the programs first on the PATH.
    """

    def __init__(self, folder: Path, monkeypatch) -> None:
        self.queue = folder / "queue"
        self.queue.mkdir(parents=True)
        (folder / "bin").mkdir()
        for name, text in (("sbatch", _SBATCH), ("srun", _SRUN), ("scontrol", _SCONTROL)):
            program = folder / "bin" / name
            program.write_text(text.format(queue=self.queue))
            program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder / 'bin'}:{os.environ['PATH']}")

    def flags(self, number: int) -> dict[str, str]:
        """Options of a queued job."""
        found = re.findall(r"^#SBATCH --([a-z-]+)(?:=(.*))?$", (self.queue / f"{number}.sh").read_text(), re.M)
        return {name: value.strip("'") for name, value in found}

    def tasks(self, number: int) -> list[int]:
        """Ids of the tasks of an array; [] for a job alone."""
        found = re.match(r"0-(\d+)", self.flags(number).get("array", ""))
        return list(range(int(found[1]) + 1)) if found else []

    def start(self, number: int, task: int | None = None) -> subprocess.Popen:
        """Start a job, or a task of an array, as SLURM does."""
        tasks = self.tasks(number)
        array = {"ARRAY_JOB_ID": number, "ARRAY_TASK_ID": task, "ARRAY_TASK_MIN": 0, "ARRAY_TASK_COUNT": len(tasks)}
        once = {"JOB_ID": number, "NTASKS": 1, "NNODES": 1, "NODEID": 0, "PROCID": 0, "LOCALID": 0, "JOB_NUM_NODES": 1}
        words = {**once, **(array if tasks else {}), "JOB_NODELIST": "here", "NODELIST": "here"}
        environment = {**os.environ, **{f"SLURM_{name}": str(value) for name, value in words.items()}}
        command = ["bash", str(self.queue / f"{number}.sh")]
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def run(self, number: int) -> list[str]:
        """Run a job, or all tasks of an array one after the other; what each said."""
        said = []
        for task in self.tasks(number) or [None]:
            process = self.start(number, task)
            said.append(process.communicate()[0])
            assert process.returncode == 0, said[-1]
        return said

    @property
    def signal(self) -> int:
        """What submitit is sent before the time limit."""
        return signal.SIGUSR2
