"""Every block of the documentation runs, or says why not; what it names exists."""

import re
import shlex
import shutil
import sys

import pytest
from documentation import LANGUAGES, PAGES, blocks, make_world, run, train_base
from helpers import ROOT

from asteroid_bsrnn.cli.main import parse

EVERY = [block for page in PAGES for block in blocks(page)]
RUN = [page for page in PAGES if any(block.reason is None for block in blocks(page))]


def where(block):
    return f"{block.page.relative_to(ROOT)}:{block.line}"


@pytest.mark.parametrize("block", EVERY, ids=where)
def test_a_block_is_of_a_language_that_runs_or_says_why_not(block):
    assert block.language in LANGUAGES
    assert block.reason is None or len(block.reason) > 5


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_has_no_block_that_the_tests_cannot_see(page):
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    assert "```" not in text
    assert not re.search(r"\n\n    (asteroid-bsrnn|\./run\.sh|make|pip|python|cd) ", text), (
        "an indented block is never run"
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8")):
        if not target.startswith(("http://", "https://", "mailto:")):
            assert (page.parent / target).exists(), target


def commands(block):
    """Calls of the console command in a block, as lists of arguments."""
    for line in block.text.replace("\\\n", " ").splitlines():
        found = re.match(r"\s*(?:docker run .*? asteroid_bsrnn|asteroid-bsrnn) (.*)", line)
        if found:
            yield shlex.split(found[1], comments=True)


@pytest.mark.parametrize("block", [block for block in EVERY if any(commands(block))], ids=where)
def test_the_commands_of_every_block_have_the_options_that_it_shows(block, capsys):
    for arguments in commands(block):
        try:
            parse(arguments)
        except SystemExit as end:
            assert not end.code, f"{' '.join(arguments)}: {capsys.readouterr().err}"


@pytest.mark.parametrize("block", [block for block in EVERY if "run.sh" in block.text], ids=where)
def test_the_options_of_run_sh_exist(block):
    for line in block.text.replace("\\\n", " ").splitlines():
        if "run.sh" in line:
            named = re.search(r"recipes/([\w-]+)/run\.sh", line)
            recipes = [named[1]] if named else [path.parent.name for path in ROOT.glob("recipes/*/run.sh")]
            scripts = [(ROOT / "recipes" / recipe / "run.sh").read_text() for recipe in recipes]
            for option in re.findall(r" --([\w-]+)", line.partition("#")[0]):
                assert any(re.search(rf"^{option.replace('-', '_')}=", script, re.M) for script in scripts), option


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    make_world(folder)
    train_base(folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("page", RUN, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_block_of_a_page_runs(page, world, tmp_path):
    shutil.copytree(world, tmp_path / "here")
    for block in blocks(page):
        if block.reason is None:
            command = ["bash", "-e", "-o", "pipefail", "-c"] if block.language == "sh" else [sys.executable, "-c"]
            run([*command, block.text], tmp_path / "here")


@pytest.mark.slow
def test_the_table_of_models_is_what_its_command_writes(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    import model_table

    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert model_table.BEGIN in readme and model_table.written(readme) == readme
