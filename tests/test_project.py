"""Files by which others find, cite and build the project."""

import subprocess
from importlib import resources

import pytest
import yaml
from helpers import ROOT

from asteroid_bsrnn.common.version import __version__
from asteroid_bsrnn.models.names import MODELS

tomllib = pytest.importorskip("tomllib")  # Python 3.11
FORGE = sorted((ROOT / ".github").rglob("*.yml"))


def test_the_citation_names_this_version_and_a_paper_for_every_model():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == __version__ and citation["license"] == "MIT"
    named = {name.strip() for paper in citation["references"] for name in paper["notes"].split(",")}
    ours = {cls.__name__ for cls in MODELS.values() if cls.__module__.startswith("asteroid_bsrnn.")}
    assert ours <= named, f"no paper of {sorted(ours - named)}"
    for paper in citation["references"]:
        assert {"type", "title", "authors", "year"} <= set(paper) and all(
            person["family-names"] for person in paper["authors"]
        )


def test_metadata_stand_in_one_place():
    metadata = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert (ROOT / "setup.py").read_text().count("\n") < 6
    extras = metadata["project"]["optional-dependencies"]
    everything = extras["all"][0].partition("[")[2].rstrip("]").split(",")
    assert set(everything) == set(extras) - {"all", "docs", "test", "dev"}
    assert metadata["tool"]["ruff"]["target-version"] == "py" + metadata["project"]["requires-python"].strip(
        ">="
    ).replace(".", "")


def test_type_checkers_of_users_read_our_annotations():
    metadata = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert "py.typed" in metadata["tool"]["setuptools"]["package-data"]["asteroid_bsrnn"]
    assert (resources.files("asteroid_bsrnn") / "py.typed").is_file()


@pytest.mark.parametrize("path", FORGE, ids=lambda path: path.name)
def test_a_file_for_the_forge_is_yaml_and_asks_for_what_reports_need(path):
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    if path.parent.name == "workflows":
        jobs = content["jobs"].values()
        assert jobs and all(job["timeout-minutes"] and job["steps"] for job in jobs)
        assert content["permissions"] == {"contents": "read"}
    elif path.stem in ("fault", "result"):
        needed = {field["id"] for field in content["body"] if field["validations"]["required"]}
        assert {"command", "info"} <= needed


def test_the_workflow_runs_the_script_and_files_that_exist():
    text = (ROOT / ".github" / "workflows" / "tests.yml").read_text(encoding="utf-8")
    assert "bash .ci/run" in text
    for word in text.split():
        assert not word.startswith("tests/") or (ROOT / word).is_file(), word


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="an unpacked archive")
def test_the_archive_would_hold_every_tracked_file():
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    manifest = (ROOT / "MANIFEST.in").read_text().split()
    grafted = {word for before, word in zip(manifest, manifest[1:]) if before == "graft"}
    for name in tracked:
        top, _, rest = name.partition("/")
        assert (
            (top in grafted) if rest else (top in manifest or f"*.{top.rpartition('.')[2]}" in manifest or top in KNOWN)
        ), name


KNOWN = {"LICENSE", "MANIFEST.in", "setup.py", "pyproject.toml"}  # setuptools takes these by itself
