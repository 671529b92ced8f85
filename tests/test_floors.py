"""The house: a room imports only from rooms above it, nobody inside imports a thin module or the package's root."""

import ast
from collections import Counter

import pytest
from helpers import ROOT

PACKAGE = ROOT / "asteroid_bsrnn"
FLOORS = ("common audio dsp metrics losses models data weights separation experiment training evaluation publishing report "
          "recipe cli").split()  # fmt: skip
THIN = ("config", "convert", "energy", "engine")  # names of version 0.1.0, beside cli/
ALONE = ("host", "__init__", "__main__")  # the top: repairs, registration, python -m
REPEATED = {"__init__"}  # and what is inside a family, whose rooms look alike
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if "__pycache__" not in path.parts)


def room(module):
    """First part of a dotted name below the package; "" for the root."""
    return module.split(".")[0]


def imported(path):
    """Dotted names below the package that a file imports, inside functions too; the root is ""."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    package = parts[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names if alias.name.split(".")[0] == PACKAGE.name]
            yield from (name.partition(".")[2] for name in names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                base = package[: len(package) - (node.level - 1)]
                name = ".".join([*base, *([node.module] if node.module else [])])
            elif node.module and node.module.split(".")[0] == PACKAGE.name:
                name = node.module.partition(".")[2]
            else:
                continue
            yield from ([name] if name else [alias.name for alias in node.names])


def test_the_rooms_are_those_of_the_list():
    found = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert found - set(THIN) == set(FLOORS)
    files = {path.stem for path in PACKAGE.glob("*.py")}
    assert files <= {*THIN, *ALONE}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_from_its_own_floor_and_those_above(path):
    own = room(".".join(path.relative_to(PACKAGE).with_suffix("").parts))
    if own in ALONE or own in THIN:
        return
    for name in imported(path):
        if own == "cli" and name == "host":  # `info` says what was repaired
            continue
        assert room(name) in FLOORS, f"{name}: not a room"
        assert FLOORS.index(room(name)) <= FLOORS.index(own), f"{own} imports {name}, which is further down"


def test_no_two_modules_have_one_name():
    family = {path for path in MODULES if path.parent.parent == PACKAGE / "models" and path.parent.name != "layers"}
    thin = {path for path in MODULES if path.parent == PACKAGE and path.stem in THIN}
    counts = Counter(path.stem for path in set(MODULES) - family - thin)
    assert not [name for name, count in counts.items() if count > 1 and name not in REPEATED]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_four_stems_are_named_by_the_corpora_that_have_them_alone(path):
    if path.relative_to(PACKAGE).parts[0] == "data":
        return
    stems = {"vocals", "bass", "drums", "other"}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, (ast.Tuple, ast.List, ast.Set)):
            values = {entry.value for entry in node.elts if isinstance(entry, ast.Constant)}
            assert not stems <= values, f"line {node.lineno} lists four stems"
